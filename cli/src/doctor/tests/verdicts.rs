//! The sentences.

use super::*;
use crate::doctor::daemon::Unanswered;
use crate::output::escape;

fn check(make: impl FnOnce(&mut Rig), service: &str, sentence: &str) {
    let mut rig = Rig::sound();
    make(&mut rig);
    assert_eq!(rig.sentence(service), sentence);
}

/// covers: P9
#[test]
fn a_user_with_a_token_is_asked_for_it_everywhere() {
    let rig = Rig::sound();
    let asked = format!("password, then a one-time password (token {SERIAL})");
    for service in ["login", "sudo", "su"] {
        assert_eq!(rig.sentence(service), asked, "{service}");
    }
    assert_eq!(rig.sentence("sshd"), format!("key, then {asked}"));
}

#[test]
fn the_users_state_decides_what_is_asked() {
    check(|rig| rig.knows(|user| user.otp = OnOff::Off), "login", "password");
    check(
        |rig| rig.knows(|user| user.tokens = vec![token(TokenState::Lost)]),
        "login",
        "password, then a recovery code (the only token is lost; recovery codes: 9)",
    );
    let refused = |rig: &mut Rig| {
        rig.knows(|user| {
            user.tokens = vec![token(TokenState::Disabled)];
            user.recovery_codes_left = Some(0);
        });
    };
    let why = "password, then a refusal: the only token is disabled, and there are no recovery codes";
    check(refused, "login", why);
    for (count, which) in [(2, "both"), (3, "all 3")] {
        let make = |rig: &mut Rig| rig.knows(|user| user.tokens = vec![token(TokenState::Lost); count]);
        let words = format!("password, then a recovery code ({which} tokens are lost; recovery codes: 9)");
        check(make, "login", &words);
    }
    check(
        |rig| rig.knows(|user| user.tokens.clear()),
        "login",
        "password, then the serial number of a token, and a one-time password of it",
    );
    let waiting = |rig: &mut Rig| {
        rig.knows(|user| {
            user.activated = false;
            user.grace_logins_left = Some(3);
            user.tokens = vec![token(TokenState::Assigned)];
        });
    };
    let words = "password, then a one-time password (token 2600123456789, activated by its first code; \
                 may be put off 3 times)";
    check(waiting, "login", words);
}

#[test]
fn somebody_unknown_is_treated_as_the_configuration_says() {
    let table = [
        ("deny", "password, then a refusal: Postern does not know this user, and on_unenrolled is \"deny\""),
        ("ignore", "password"),
        (
            "enroll",
            "password, then a one-time password of an authenticator app, whose QR code is shown first",
        ),
    ];
    for (setting, sentence) in table {
        let make = |rig: &mut Rig| {
            rig.daemon().user = Some(Ok(None));
            rig.write(
                "/etc/postern/verifierd.toml",
                &format!("version = 1\non_unenrolled = \"{setting}\"\n"),
            );
        };
        check(make, "login", sentence);
    }
}

#[test]
fn where_verifierd_cannot_be_asked_the_sentence_says_so() {
    check(
        |rig| rig.daemon().user = Some(Err(Unanswered::NotAllowed)),
        "login",
        "password, then a one-time password, if one is demanded (verifierd could not be asked)",
    );
}

#[test]
fn where_the_line_cannot_ask_the_sentence_says_what_that_leads_to() {
    let down = |rig: &mut Rig| {
        rig.daemon().status = Err(Unanswered::Unreachable("connection refused".into()));
    };
    check(down, "login", "password, then a refusal: verifierd does not answer");
    let open = |rig: &mut Rig| {
        down(rig);
        rig.service("@include common-auth\nauth requisite pam_postern.so fail=open\n");
    };
    check(open, "door", "password");
    check(
        |rig| rig.status(|status| status.ready = false),
        "su",
        "password, then a refusal: verifierd is not ready",
    );
    check(|rig| rig.remove(MODULE), "su", "password, then a refusal: pam_postern.so is not installed");
    check(
        |rig| rig.service("@include common-auth\nauth requisite pam_postern.so nullok\n"),
        "door",
        "password, then a refusal: the module refuses its arguments",
    );
    check(
        |rig| rig.machine.told.account = Some(Ok(String::new())),
        "sshd",
        "is refused: there is no such account",
    );
    let blind = "not known for sshd itself; by its PAM stack: password, then a one-time password (token 2600123456789)";
    check(|rig| rig.machine.told.sshd = Err("only root may".into()), "sshd", blind);
}

#[test]
fn a_required_token_is_asked_of_whoever_has_none() {
    let make = |rig: &mut Rig| {
        rig.write("/etc/postern/verifierd.toml", "version = 1\n[access]\nrequire_token = true\n");
        rig.knows(|user| {
            user.otp = OnOff::Off;
            user.tokens.clear();
        });
    };
    check(make, "su", "password, then the serial number of a token, and a one-time password of it");
}

#[test]
fn every_way_into_sshd_is_named() {
    let code = format!("a one-time password (token {SERIAL})");
    check(
        |rig| rig.sshd("authenticationmethods", "keyboard-interactive:pam publickey"),
        "sshd",
        &format!("password, then {code}; or key; no code is asked"),
    );
    check(
        |rig| {
            rig.sshd("passwordauthentication", "yes");
            rig.sshd("authenticationmethods", "password");
        },
        "sshd",
        "password, then a refusal: the `password` method cannot ask for a code",
    );
    check(|rig| rig.sshd("usepam", "no"), "sshd", "is refused: sshd offers no method that is switched on");
    check(
        |rig| {
            rig.instead_of_common_auth("sshd", "auth requisite pam_postern.so\nauth required pam_permit.so\n")
        },
        "sshd",
        &format!("key, then {code}"),
    );
}

#[test]
fn root_by_ssh_depends_on_permit_root_login() {
    let root = |setting: &'static str| {
        move |rig: &mut Rig| {
            rig.question.user = Some("root".to_owned());
            rig.machine.told.account = Some(Ok("root:x:0:0:root:/root:/bin/bash\n".to_owned()));
            rig.sshd("permitrootlogin", setting);
        }
    };
    let asked = format!("key, then password, then a one-time password (token {SERIAL})");
    check(root("yes"), "sshd", &asked);
    check(root("no"), "sshd", &format!("{asked}, then a refusal: PermitRootLogin is no"));
    let mut rig = Rig::sound();
    root("no")(&mut rig);
    assert_eq!(rig.finding(Code::SshdRootRefused), None, "`no` is meant");
}

#[test]
fn sudo_names_the_rule_that_asks_nothing() {
    let free = |rig: &mut Rig| {
        rig.sudo(&SUDO.replace(") ALL", ") NOPASSWD: ALL"));
        rig.write("/etc/sudoers.d/x.bak", "alice ALL=(ALL) NOPASSWD: ALL\n");
        rig.write(
            "/etc/sudoers.d/x",
            "# rules\n%wheel ALL=(ALL) NOPASSWD: ALL\nalice ALL=(ALL) NOPASSWD: ALL\n",
        );
    };
    check(free, "sudo", "nothing is asked: NOPASSWD in /etc/sudoers.d/x:3");
    let some = SUDO.replace(") ALL", ") ALL\n    (root) NOPASSWD: /usr/bin/apt");
    let asked = format!("password, then a one-time password (token {SERIAL})");
    check(|rig| rig.sudo(&some), "sudo", &format!("{asked}; nothing for some commands: NOPASSWD"));
    let none = "User alice is not allowed to run sudo on box.\n";
    check(|rig| rig.sudo(none), "sudo", "may not use sudo");
}

#[test]
fn sudo_may_use_another_pam_service() {
    let renamed = SUDO.replace("use_pty", "pam_service=door");
    let make = |rig: &mut Rig| {
        rig.sudo(&renamed);
        rig.write("/etc/pam.d/door", "auth requisite pam_unix.so\n");
    };
    check(make, "sudo", "password; no code is asked");
}

#[test]
fn what_sshd_does_before_pam_is_not_guessed() {
    let mut rig = Rig::sound();
    rig.instead_of_common_auth("sshd", "auth requisite pam_postern.so\nauth required pam_permit.so\n");
    rig.machine.told.sshd = Err("only root may".into());
    rig.ask("sshd");
    assert!(problems(&rig.report()).is_empty(), "a key may come first");
}

#[test]
fn where_nothing_asks_for_codes_what_postern_demands_is_no_problem() {
    let mut rig = Rig::sound();
    for service in ["sshd", "login", "sudo", "su"] {
        rig.instead_of_common_auth(service, "@include common-auth\n");
    }
    rig.daemon().user = Some(Ok(None));
    rig.daemon().status = Err(Unanswered::Unreachable("connection refused".into()));
    let report = rig.report();
    assert!(problems(&report).is_empty(), "{:#?}", problems(&report));
    assert_eq!(rig.sentence("login"), "password; no code is asked");
}

#[test]
fn recovery_codes_that_wait_let_nobody_in() {
    let mut rig = Rig::sound();
    rig.knows(|user| user.tokens = vec![token(TokenState::Lost); 2]);
    rig.daemon().recovery = Some(Ok(recovery(true)));
    let why = "both tokens are lost, and the recovery codes wait for an administrator after an unclean stop";
    assert_eq!(rig.sentence("login"), format!("password, then a refusal: {why}"));
    let finding = rig.finding(Code::UserRefused).expect("he is refused");
    assert_eq!(finding.message.plain(), why);
    assert!(finding.remedy.plain().starts_with("`postern store settle`, or another token"), "{finding:?}");
    assert_eq!(rig.finding(Code::RecoveryOnly), None);
    rig.knows(|user| user.tokens.push(token(TokenState::Lost)));
    assert_eq!(problems(&rig.report()).len(), 0, "one token still works");
}

fn asks(rig: &Rig) -> Vec<Option<bool>> {
    rig.report().verdicts.iter().map(|verdict| verdict.asks_code).collect()
}

#[test]
fn whether_the_login_gets_as_far_as_our_line_is_told_to_programs() {
    let mut rig = Rig::sound();
    assert_eq!(asks(&rig), [Some(true); 4]);
    rig.sudo(&SUDO.replace(") ALL", ") NOPASSWD: ALL"));
    assert_eq!(asks(&rig), [Some(false)]);
    rig.sshd("authenticationmethods", "publickey");
    assert_eq!(asks(&rig), [Some(false)]);
    rig.machine.told.sshd = Err("only root may".into());
    assert_eq!(asks(&rig), [None]);
}

#[test]
fn whether_the_user_will_be_asked_for_a_code_is_told_to_programs() {
    let mut rig = Rig::sound();
    rig.ask("login");
    rig.knows(|user| user.otp = OnOff::Off);
    assert_eq!(asks(&rig), [Some(false)], "nothing is demanded of him");
    rig.knows(|user| user.tokens = vec![token(TokenState::Lost)]);
    assert_eq!(asks(&rig), [Some(true)], "a recovery code");
    rig.daemon().recovery = Some(Ok(recovery(true)));
    assert_eq!(asks(&rig), [Some(true)], "asked, and refused whatever it is");
    rig.daemon().user = Some(Err(Unanswered::NotAllowed));
    assert_eq!(asks(&rig), [None], "who knows?");
    rig.ask_about_nobody();
    assert_eq!(asks(&rig), [Some(true)], "of whoever needs one");
    rig.daemon().status = Err(Unanswered::Unreachable("connection refused".into()));
    assert_eq!(asks(&rig), [Some(false)], "there is nobody to ask what to ask");
}

#[test]
fn without_a_user_the_sentence_speaks_of_everybody() {
    check(Rig::ask_about_nobody, "sudo", "password, then a one-time password, of whom one is demanded");
}

/// covers: I01
#[test]
fn nothing_from_a_file_draws_on_the_terminal() {
    let mut rig = Rig::sound();
    rig.service("@include common-auth\nauth requisite pam_postern.so \u{1b}]52;c;aGk=\u{7}\u{202e}\n");
    rig.machine.told.sshd = Err("\u{1b}[2J".to_owned());
    let text = rig.report().text();
    assert!(text.contains(r"\x1b]52;c;aGk=\x07\u{202e}"), "{text}");
    let risky = |c: char| c != '\n' && escape::is_risky(c);
    assert!(!text.contains(risky), "{text:?}");
}
