//! What is said would be right: it can be copied, and it is there.

use super::*;
use crate::doctor::installed::{BUILT_MODULE, INSTALLED_MODULE};

fn check(make: impl FnOnce(&mut Rig), code: Code, remedy: &str) {
    let mut rig = Rig::sound();
    make(&mut rig);
    assert_eq!(rig.finding(code).expect("it is found").remedy.plain(), remedy);
}

#[test]
fn the_command_against_carriage_returns_can_be_copied() {
    let mut rig = Rig::sound();
    rig.service("@include common-auth\r\nauth requisite pam_postern.so\r\n");
    let text = rig.report().text();
    let command = r"  right: line feeds alone: sed -i 's/\r$//' /etc/pam.d/door";
    assert!(text.lines().any(|line| line == command), "{text}");
}

#[test]
fn the_module_is_installed_as_the_readme_says() {
    let line = format!("install -m 644 {BUILT_MODULE} {INSTALLED_MODULE}");
    assert!(include_str!("../../../../README.md").contains(&format!("\n{line}\n")), "{line}");
    let remedy = format!("in Postern's source folder `{line}`, or no such line");
    check(|rig| rig.remove(MODULE), Code::ModuleFileMissing, &remedy);
    let elsewhere = "in Postern's source folder `install -m 644 target/release/libpam_postern.so \
                     /opt/pam_postern.so`, or no such line";
    check(
        |rig| rig.service("@include common-auth\nauth requisite /opt/pam_postern.so\n"),
        Code::ModuleFileMissing,
        elsewhere,
    );
}

#[test]
fn the_way_out_that_a_reason_names_is_the_remedy() {
    let waits = "the recovery codes of 1 user wait: `postern store settle` lets them be used again";
    check(
        |rig| rig.status(|status| status.reasons = vec![waits.to_owned()]),
        Code::VerifierdDegraded,
        "find out why, then `postern store settle`",
    );
    check(
        |rig| rig.status(|status| status.reasons = vec!["the disk is slow".to_owned()]),
        Code::VerifierdDegraded,
        "`postern status`",
    );
}

#[test]
fn root_is_not_sent_to_root() {
    let blind = |rig: &mut Rig| rig.machine.told.sshd = Err("/usr/sbin/sshd is not there".to_owned());
    check(blind, Code::NotChecked, "a look at it by hand");
    let other = |rig: &mut Rig| {
        blind(rig);
        rig.machine.is_asked_by_root = false;
    };
    check(other, Code::NotChecked, "`postern doctor` as root, who can read more; else a look at it by hand");
}

#[test]
fn what_verifierd_says_of_its_configuration_is_told_line_by_line_and_not_without_end() {
    let mut rig = Rig::sound();
    let mut words = vec!["verifierd: it is wrong:".to_owned(), "  \u{1b}[2J".to_owned(), "é".repeat(1000)];
    words.extend((4..=30).map(|number| format!("line {number}")));
    rig.machine.told.configuration = Ok(words);
    let text = rig.report().text();
    let (_, told) = text.split_once("problem config_refused\n").expect("it is a problem");
    let lines: Vec<&str> = told.lines().take_while(|line| !line.starts_with("  right: ")).collect();
    assert_eq!(lines.len(), 22, "{told}");
    assert!(lines[0].starts_with("  /etc/postern/verifierd.toml: the next start of verifierd may fail"));
    assert_eq!(lines[1..3], ["    verifierd: it is wrong:", r"      \x1b[2J"]);
    assert_eq!(lines[3], format!("    {}", "é".repeat(240)));
    assert_eq!(lines[20..], ["    line 20", "    and 10 lines more"]);
}

#[test]
fn what_verifierd_would_only_repeat_is_said_once() {
    let mut rig = Rig::sound();
    rig.machine.told.configuration = Ok(vec!["verifierd: TOML parse error at line 1".to_owned()]);
    assert!(rig.finding(Code::ConfigRefused).is_some());
    rig.write("/etc/postern/verifierd.toml", "version = ");
    assert_eq!(rig.finding(Code::ConfigRefused), None);
}
