//! docs/recipes.md: the doctor finds no problem in what we recommend.

use super::*;

const RECIPES: &str = include_str!("../../../../docs/recipes.md");

/// A `text` block and the heading above it.
struct Block {
    heading: &'static str,
    text: &'static str,
}

fn blocks() -> Vec<Block> {
    let sections = RECIPES.split("\n## ").skip(1);
    sections
        .flat_map(|section| {
            let heading = section.lines().next().unwrap_or_default();
            let texts = section.split("```text\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0));
            texts.map(move |text| Block { heading, text })
        })
        .collect()
}

fn is_pam(block: &Block) -> bool {
    block.text.lines().all(|line| line.starts_with("auth") || line.starts_with("@include"))
}

/// The recipe's settings as `sshd -T` would print them, over those of Debian.
fn sshd_of(block: &Block) -> String {
    let own = block.text.lines().filter_map(|line| line.split_once(' '));
    let own: Vec<(String, &str)> = own.map(|(key, value)| (key.to_lowercase(), value)).collect();
    let others = SSHD.lines().filter(|line| own.iter().all(|(key, _)| !line.starts_with(&format!("{key} "))));
    let own = own.iter().map(|(key, value)| format!("{key} {value}\n"));
    own.chain(others.map(|line| format!("{line}\n"))).collect()
}

#[test]
fn no_recipe_has_a_problem() {
    let blocks = blocks();
    let mut seen = 0;
    for (index, block) in blocks.iter().enumerate().filter(|(_, block)| is_pam(block)) {
        let mut rig = Rig::sound();
        let service = match block.heading {
            "sudo" | "su" => block.heading,
            "Console" => "login",
            heading if heading.starts_with("SSH") => {
                let settings = blocks.get(index + 1).expect("its sshd_config");
                rig.machine.told.sshd = Ok(sshd_of(settings));
                "sshd"
            }
            // A line of any service, after the password.
            _ => "sudo",
        };
        let whole = block.text.contains("@include") || block.text.contains("pam_permit.so");
        let before = if whole { "" } else { "@include common-auth\n" };
        rig.instead_of_common_auth(service, &format!("{before}{}", block.text));
        rig.ask(service);
        let report = rig.report();
        assert!(problems(&report).is_empty(), "{}: {:#?}", block.heading, problems(&report));
        let sentence = rig.sentence(service);
        assert!(
            sentence.ends_with(&format!("a one-time password (token {SERIAL})")),
            "{}: {sentence}",
            block.heading
        );
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} recipes were found");
}
