//! Stacks that the real Linux-PAM has run.

use super::*;
use crate::doctor::line::Kind;
use crate::doctor::{stack, walk};

#[test]
fn every_stack_ends_as_it_does_in_linux_pam() {
    let text = include_str!("libpam.txt");
    let mut seen = 0;
    for block in text.split("\n\n").filter(|block| !block.starts_with('#')) {
        let (outcome, lines) = block.split_once('\n').expect("an outcome and lines");
        let (service, inner) = lines.split_once("\ninner:\n").unwrap_or((lines, ""));
        let rig = Rig::empty();
        rig.write("/etc/pam.d/door", service);
        rig.write("/etc/pam.d/inner", inner);
        let (walks, _) = walk::walks(&stack::load(&rig.machine, "door", Kind::Auth));
        let [walk] = walks.as_slice() else { panic!("one way through {block}") };
        assert_eq!(walk.is_in, outcome == "in", "{block}");
        seen += 1;
    }
    assert_eq!(seen, 120);
}
