//! Whom Postern does not know.

use super::*;

const PASSWD: &str = "daemon:x:1:1::/usr/sbin:/usr/sbin/nologin\nbob:x:1001:1001::/home/bob:/bin/zsh\n\
    root:x:0:0:root:/root:/bin/bash\npostgres:x:105:110::/var/lib/postgresql:/bin/bash\n\
    alice:x:1000:1000::/home/alice:/bin/bash\nweb:x:1002:1002::/srv:/usr/sbin/nologin\n\
    nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\nbroken\n";

/// What is said where these are the users that Postern knows.
fn check(users: &[&str], change: impl FnOnce(&mut Rig)) -> Option<Finding> {
    let mut rig = Rig::sound();
    rig.ask_about_nobody();
    rig.write("/etc/passwd", PASSWD);
    let users = users.iter().map(|user| (*user).to_owned()).collect();
    rig.daemon().users = Some(Ok(users));
    change(&mut rig);
    rig.finding(Code::AccountsUnknown)
}

#[test]
fn accounts_that_would_be_refused_are_named_root_first() {
    let message = check(&[], |_| {}).expect("three people").message;
    assert!(message.plain().starts_with("Postern does not know root, alice, bob: "), "{message:?}");
    let finding = check(&["alice", "bob"], |_| {}).expect("root");
    assert!(finding.message.plain().starts_with("Postern does not know root: "), "{finding:?}");
    for way in ["on_unenrolled = \"ignore\"", "`postern user set NAME --otp on`"] {
        assert!(finding.remedy.plain().contains(way), "{finding:?}");
    }
    assert_eq!(check(&["alice", "bob", "root"], |_| {}), None);
}

#[test]
fn they_are_named_before_any_line_is_there() {
    let unprotected = |rig: &mut Rig| {
        for service in ["sshd", "login", "sudo", "su"] {
            rig.instead_of_common_auth(service, "@include common-auth\n");
        }
    };
    assert!(check(&[], unprotected).is_some());
}

#[test]
fn a_long_list_is_cut_and_counted() {
    let more: String = (0..20).map(|n| format!("u{n:02}:x:{}:100::/:/bin/sh\n", 2000 + n)).collect();
    let message = check(&[], |rig| rig.write("/etc/passwd", &more)).expect("twenty").message;
    assert!(message.plain().contains("u08, u09 and 10 more: "), "{message:?}");
}

#[test]
fn where_they_are_not_refused_or_one_user_was_named_nothing_is_said() {
    for setting in ["ignore", "enroll"] {
        let text = format!("version = 1\non_unenrolled = \"{setting}\"\n");
        assert_eq!(check(&[], |rig| rig.write("/etc/postern/verifierd.toml", &text)), None, "{setting}");
    }
    assert_eq!(check(&[], |rig| rig.daemon().users = None), None);
}

#[test]
fn what_keeps_us_from_knowing_is_said() {
    let mut rig = Rig::sound();
    rig.ask_about_nobody();
    let unlooked = |rig: &Rig| rig.finding(Code::NotChecked).expect("it was not looked at").message;
    assert!(unlooked(&rig).plain().contains("/etc/passwd cannot be read"));
    rig.daemon().users = Some(Err(crate::doctor::daemon::Unanswered::NotAllowed));
    assert!(unlooked(&rig).plain().contains("which accounts Postern does not know: you may not ask"));
}
