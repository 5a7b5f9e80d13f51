//! One machine for every finding.

use super::*;
use crate::doctor::agent::Unasked;
use crate::doctor::daemon::Unanswered;

/// What is wrong, and the finding that must name it.
type Mistake = (Code, fn(&mut Rig));

const OURS: &str = "auth requisite pam_postern.so\n";

const UNIX: &str = "auth requisite pam_unix.so\n";

/// Mistakes in the PAM files.
const IN_PAM: &[Mistake] = &[
    (Code::ServiceFileMissing, |rig| rig.ask("sshdd")),
    (Code::FileUnusual, |rig| rig.service("@include /etc/pam.d\n")),
    (Code::FileUnusual, |rig| {
        rig.remove("/etc/pam.d/su");
        rig.folder_of("/etc/pam.d/su/x");
    }),
    (Code::IncludeMissing, |rig| rig.service("@include comon-auth\nauth requisite pam_postern.so\n")),
    (Code::IncludeMissing, |rig| rig.service("auth include nowhere\nauth requisite pam_postern.so\n")),
    (Code::IncludeLoop, |rig| rig.service("@include door\n")),
    (Code::IncludeLoop, |rig| {
        rig.write("/etc/pam.d/hall", "auth substack door\n");
        rig.service("auth include hall\n");
    }),
    (Code::LineMalformed, |rig| rig.service("@include common-auth\nauth requisit pam_postern.so\n")),
    (Code::LineEndsCrlf, |rig| rig.service("@include common-auth\r\nauth requisite pam_postern.so\r\n")),
    (Code::JumpTooFar, |rig| {
        rig.service("auth [success=3 default=ignore] pam_unix.so\nauth requisite pam_postern.so\n")
    }),
    (Code::ArgumentUnknown, |rig| {
        rig.service("@include common-auth\nauth requisite pam_postern.so nullok\n")
    }),
    // A refusal that is not one.
    (Code::RefusalNotFinal, |rig| rig.service("@include common-auth\nauth optional pam_postern.so\n")),
    (Code::RefusalNotFinal, |rig| rig.service("@include common-auth\nauth sufficient pam_postern.so\n")),
    (Code::RefusalNotFinal, |rig| {
        rig.service("@include common-auth\nauth [success=ok auth_err=die default=ignore] pam_postern.so\n");
    }),
    // Our line where it is passed over.
    (Code::ModuleSkipped, |rig| rig.service("auth sufficient pam_unix.so\nauth requisite pam_postern.so\n")),
    (Code::ModuleSkipped, |rig| {
        let between = "auth [success=2 default=ignore] pam_unix.so\nauth requisite pam_postern.so\n\
            auth requisite pam_deny.so\nauth required pam_permit.so\n";
        rig.write("/etc/pam.d/common-auth", between);
        rig.service("@include common-auth\n");
    }),
    (Code::ModuleSkipped, |rig| {
        rig.write("/etc/pam.d/system-auth", "auth sufficient pam_unix.so\nauth required pam_deny.so\n");
        rig.service("auth include system-auth\nauth requisite pam_postern.so\n");
    }),
    (Code::UsersExempted, |rig| rig.ask("su")),
    (Code::AskedAfterWrongPassword, |rig| {
        rig.service("auth required pam_unix.so\nauth requisite pam_postern.so\n")
    }),
    // A substack's decisions end the substack alone.
    (Code::AskedAfterWrongPassword, |rig| {
        rig.write("/etc/pam.d/system-auth", "auth sufficient pam_unix.so\nauth requisite pam_deny.so\n");
        rig.service("auth substack system-auth\nauth requisite pam_postern.so\n");
    }),
    (Code::AskedBeforePassword, |rig| rig.service("auth requisite pam_postern.so\n@include common-auth\n")),
    (Code::FirstFactorMissing, |rig| {
        rig.service("auth requisite pam_postern.so\nauth required pam_permit.so\n")
    }),
    (Code::FirstFactorMissing, |rig| rig.service(OURS)),
    (Code::FailsOpen, |rig| rig.service("@include common-auth\nauth requisite pam_postern.so fail=open\n")),
    (Code::FailsOpen, |rig| {
        rig.service(
            "@include common-auth\nauth [success=ok authinfo_unavail=ignore default=die] pam_postern.so\n",
        );
    }),
    (Code::NobodyGetsIn, |rig| {
        rig.service("@include common-auth\nauth requisite pam_postern.so\nauth required pam_deny.so\n")
    }),
    (Code::NotDemandedRefused, |rig| rig.service(OURS)),
    (Code::NotDemandedRefused, |rig| {
        rig.service("@include common-auth\nauth [success=ok default=die] pam_postern.so\n");
    }),
    (Code::AskedTwice, |rig| {
        rig.write("/etc/pam.d/common-auth", &[UNIX, OURS].concat());
        rig.service("@include common-auth\nauth requisite pam_postern.so\n");
    }),
    (Code::RecorderNotFinal, |rig| {
        rig.service("@include common-auth\nsession optional pam_postern.so recorder_unknown=refuse\n");
    }),
    (Code::RecorderNotFinal, |rig| {
        let line = "session [success=ok default=ignore] pam_postern.so recorder_unknown=refuse\n";
        rig.service(&["@include common-auth\n", line].concat());
    }),
    (Code::RecorderNotFinal, |rig| {
        let recorder = "[session]\nrecorder = [\"/etc/postern/recorders/tlog\"]\n";
        let file = ["version = 1\nkey_file = \"/etc/postern/master.key\"\n", recorder].concat();
        rig.write("/etc/postern/verifierd.toml", &file);
        rig.service("@include common-auth\nsession optional pam_postern.so\n");
    }),
    (Code::LineNotReached, |rig| {
        rig.write("/etc/pam.d/common-auth", &[UNIX, OURS].concat());
        rig.write("/etc/pam.d/sshd", UNIX);
        rig.ask("sshd");
    }),
    (Code::LineOfWrongType, |rig| rig.service("@include common-auth\npassword required pam_postern.so\n")),
    (Code::AccountLine, |rig| rig.service("@include common-auth\naccount required pam_postern.so\n")),
    (Code::NotAsked, |rig| rig.service("@include common-auth\n")),
    (Code::ModuleNowhere, |rig| {
        for service in ["sshd", "login", "sudo", "su"] {
            rig.instead_of_common_auth(service, "@include common-auth\n");
        }
    }),
    (Code::StackTooWide, |rig| rig.service(&"auth optional pam_strange.so\n".repeat(20))),
];

/// Mistakes in sshd's and sudo's settings.
const IN_SETTINGS: &[Mistake] = &[
    (Code::SshdPamOff, |rig| rig.sshd("usepam", "no")),
    (Code::SshdKeyboardInteractiveOff, |rig| rig.sshd("kbdinteractiveauthentication", "no")),
    (Code::SshdPasswordMethod, |rig| {
        rig.sshd("passwordauthentication", "yes");
        rig.sshd("authenticationmethods", "any");
    }),
    (Code::SshdKeyAlone, |rig| rig.sshd("authenticationmethods", "publickey")),
    (Code::SshdKeyAlone, |rig| rig.sshd("authenticationmethods", "any")),
    (Code::SshdMethodDisabled, |rig| rig.sshd("pubkeyauthentication", "no")),
    (Code::SshdGraceShort, |rig| rig.sshd("logingracetime", "20")),
    (Code::SshdRootRefused, |rig| {
        rig.question.user = Some("root".to_owned());
        rig.machine.told.account = Some(Ok("root:x:0:0:root:/root:/bin/bash\n".to_owned()));
    }),
    (Code::FirstFactorMissing, |rig| {
        rig.instead_of_common_auth("sshd", "auth requisite pam_postern.so\nauth required pam_permit.so\n");
        rig.sshd("authenticationmethods", "keyboard-interactive:pam");
    }),
    (Code::SudoAsksNothing, |rig| rig.sudo(&SUDO.replace(") ALL", ") NOPASSWD: ALL"))),
    (Code::SudoAsksNothing, |rig| rig.sudo(&SUDO.replace("use_pty", "!authenticate"))),
    (Code::SudoRemembers, |rig| rig.sudo(&SUDO.replace(", timestamp_timeout=0", ""))),
    (Code::SudoAsksAnother, |rig| rig.sudo(&SUDO.replace("use_pty", "rootpw"))),
];

/// What is wrong with the user or the machine.
const ELSEWHERE: &[Mistake] = &[
    (Code::AccountMissing, |rig| rig.machine.told.account = Some(Ok(String::new()))),
    (Code::NoShell, |rig| {
        rig.machine.told.account = Some(Ok("alice:x:1000:1000::/:/usr/sbin/nologin\n".to_owned()));
    }),
    (Code::UserRefused, |rig| rig.daemon().user = Some(Ok(None))),
    (Code::UserRefused, |rig| {
        rig.knows(|user| {
            user.tokens = vec![token(TokenState::Disabled), token(TokenState::Lost)];
            user.recovery_codes_left = None;
        })
    }),
    (Code::UserRefused, |rig| {
        rig.knows(|user| user.tokens = vec![token(TokenState::Lost); 2]);
        rig.daemon().recovery = Some(Ok(recovery(true)));
    }),
    (Code::AccountsUnknown, |rig| {
        rig.ask_about_nobody();
        rig.write("/etc/passwd", "bob:x:1001:1001::/home/bob:/bin/bash\n");
    }),
    (Code::RecoveryOnly, |rig| rig.knows(|user| user.tokens = vec![token(TokenState::Lost)])),
    (Code::ModuleFileMissing, |rig| rig.remove(MODULE)),
    (Code::ModuleFileWritable, |rig| rig.mode(MODULE, 0o664)),
    (Code::ModuleFileWritable, |rig| rig.mode("/usr/lib/x86_64-linux-gnu/security", 0o777)),
    (Code::SocketMissing, |rig| rig.remove("/run/postern/login.sock")),
    (Code::SocketOpen, |rig| rig.mode("/run/postern/login.sock", 0o666)),
    (Code::SocketOpen, |rig| rig.mode("/run/postern/admin.sock", 0o660)),
    (Code::SocketOpen, |rig| rig.mode("/run/postern", 0o777)),
    (Code::SocketDiffers, |rig| {
        rig.service("@include common-auth\nauth requisite pam_postern.so socket=/run/x.sock\n");
    }),
    (Code::ConfigurationFaulty, |rig| rig.remove("/etc/postern/verifierd.toml")),
    (Code::ConfigurationFaulty, |rig| rig.write("/etc/postern/verifierd.toml", "version = ")),
    (Code::ConfigRefused, |rig| {
        rig.machine.told.configuration = Ok(vec!["verifierd: x is not a configuration:".to_owned()]);
    }),
    (Code::ConfigurationWritable, |rig| rig.mode("/etc/postern/verifierd.toml", 0o666)),
    (Code::ConfigurationWritable, |rig| rig.mode("/etc/postern", 0o775)),
    (Code::KeyFileMissing, |rig| rig.remove("/etc/postern/master.key")),
    (Code::KeyFileOpen, |rig| rig.mode("/etc/postern/master.key", 0o440)),
    (Code::StateFolderOpen, |rig| rig.mode("/var/lib/postern", 0o755)),
    (Code::VerifierdUnreachable, |rig| {
        rig.daemon().status = Err(Unanswered::Unreachable("connection refused".into()));
    }),
    (Code::VerifierdNotReady, |rig| rig.status(|status| status.ready = false)),
    (Code::VerifierdDegraded, |rig| rig.status(|status| status.reasons = vec!["the disk is slow".into()])),
    (Code::StoreEndedEarly, |rig| rig.status(|status| status.store_start = "short".into())),
    (Code::AgentUnreachable, |rig| {
        rig.become_host(Err(Unasked::NotRunning("no agent answers at /run/postern/login.sock".into())));
    }),
    (Code::OfflineUnready, |rig| {
        rig.become_host(Ok(host::status(|status| status.offline = Some(host::offline(Some("no key"))))));
    }),
    (Code::AgentDegraded, |rig| rig.become_host(Ok(host::status(|status| status.ready = false)))),
    (Code::ClockUnsynchronized, |rig| rig.machine.told.clock = Ok("no\n".into())),
    (Code::NotChecked, |rig| rig.machine.told.sshd = Err("only root may".into())),
    (Code::NotChecked, |rig| rig.machine.told.configuration = Err("/usr/sbin/verifierd is not there".into())),
    (Code::NotChecked, |rig| {
        rig.knows(|user| user.tokens = vec![token(TokenState::Lost)]);
        rig.daemon().recovery = Some(Err(Unanswered::NotAllowed));
    }),
];

/// covers: P9
#[test]
fn every_mistake_is_named() {
    for (code, make) in [IN_PAM, IN_SETTINGS, ELSEWHERE].concat() {
        let mut rig = Rig::sound();
        make(&mut rig);
        let finding = rig.finding(code).unwrap_or_else(|| {
            let found: Vec<&str> = rig.report().findings.iter().map(|found| found.code.name()).collect();
            panic!("{} was not found, but {found:?}", code.name())
        });
        assert_eq!(finding.level, code.level(), "{}", code.name());
        assert!(!finding.message.plain().is_empty() && !finding.remedy.plain().is_empty(), "{finding:?}");
    }
}

#[test]
fn every_finding_has_a_mistake_that_shows_it() {
    let shown: Vec<Code> = [IN_PAM, IN_SETTINGS, ELSEWHERE].concat().iter().map(|(code, _)| *code).collect();
    for code in Code::ALL {
        assert!(shown.contains(code), "{} is never shown", code.name());
    }
}

#[test]
fn a_finding_names_the_file_and_the_line() {
    let mut rig = Rig::sound();
    rig.service("# our door\n@include common-auth\nauth optional pam_postern.so\n");
    let place = rig.finding(Code::RefusalNotFinal).and_then(|finding| finding.place).expect("a place");
    assert_eq!(place.text(), "/etc/pam.d/door:3");
}

#[test]
fn match_blocks_are_told_of_where_no_user_is_named() {
    let mut rig = Rig::sound();
    rig.write("/etc/ssh/sshd_config.d/x.conf", "Port 22\nmatch User deploy\n");
    assert_eq!(rig.finding(Code::NotChecked), None, "`sshd -T -C` has looked at them");
    rig.question.user = None;
    let message = rig.finding(Code::NotChecked).expect("they were not looked at").message.plain().to_owned();
    assert!(message.contains("/etc/ssh/sshd_config.d/x.conf:2"), "{message}");
}

#[test]
fn a_finding_about_sshd_names_the_line_that_holds() {
    let mut rig = Rig::sound();
    rig.write("/etc/ssh/sshd_config.d/10.conf", "# UsePAM yes\n");
    rig.write("/etc/ssh/sshd_config", "Port 22\nusepam   \"no\"\nLoginGraceTime=20s\n");
    rig.sshd("usepam", "no");
    let place =
        |rig: &Rig, code| rig.finding(code).and_then(|finding| finding.place).expect("a place").text();
    assert_eq!(place(&rig, Code::SshdPamOff), "/etc/ssh/sshd_config:2");
    rig.sshd("logingracetime", "20");
    assert_eq!(place(&rig, Code::SshdGraceShort), "/etc/ssh/sshd_config:3");
    rig.sshd("authenticationmethods", "publickey");
    assert_eq!(place(&rig, Code::SshdKeyAlone), "/etc/ssh/sshd_config", "nothing is written there");
}

#[test]
fn a_module_that_is_not_known_may_be_the_first_factor() {
    let mut rig = Rig::sound();
    rig.service("auth requisite pam_strange.so\nauth requisite pam_postern.so\n");
    let level = rig.finding(Code::FirstFactorMissing).map(|finding| finding.level);
    assert_eq!(level, Some(Level::Warning));
    let asked = format!("whatever pam_strange.so asks, then a one-time password (token {SERIAL})");
    assert_eq!(rig.sentence("door"), asked);
}

#[test]
fn a_circle_names_the_files_on_it() {
    let mut rig = Rig::sound();
    rig.write("/etc/pam.d/hall", "auth include door\n");
    rig.service("auth include hall\n");
    let message = rig.finding(Code::IncludeLoop).expect("a circle").message.plain().to_owned();
    assert!(message.ends_with("/etc/pam.d/door -> /etc/pam.d/hall -> /etc/pam.d/door"), "{message}");
}

#[test]
fn what_only_looks_like_a_mistake_is_none() {
    let table = [
        "@include common-auth\nauth required pam_postern.so\n",
        "@include common-auth\nauth [success=ok ignore=ignore default=die] pam_postern.so\n",
        "auth \\\n  include common-auth # all\n-AUTH Requisite /usr/lib/x86_64-linux-gnu/security/pam_postern.so \\\n quiet\n",
        "auth [success=2 default=ignore] pam_unix.so\nauth [success=1 default=ignore] pam_sss.so use_first_pass\n\
         auth requisite pam_deny.so\nauth required pam_permit.so\nauth requisite pam_postern.so\n",
    ];
    for text in table {
        let mut rig = Rig::sound();
        rig.service(text);
        let report = rig.report();
        assert!(report.findings.is_empty(), "{text}\n{:#?}", report.findings);
        assert_eq!(rig.sentence("door"), format!("password, then a one-time password (token {SERIAL})"));
    }
}

#[test]
fn a_key_alone_is_a_problem_only_for_whom_a_code_is_demanded() {
    let mut rig = Rig::sound();
    rig.sshd("authenticationmethods", "publickey");
    let level = |rig: &Rig| rig.finding(Code::SshdKeyAlone).map(|finding| finding.level);
    assert_eq!(level(&rig), Some(Level::Problem));
    rig.knows(|user| user.otp = OnOff::Off);
    assert_eq!(level(&rig), None);
    rig.question.user = None;
    rig.daemon().user = None;
    assert_eq!(level(&rig), Some(Level::Warning));
}

#[test]
fn a_services_own_file_is_not_one_to_be_included_by_others() {
    let mut rig = Rig::sound();
    rig.instead_of_common_auth("sshd", "@include common-auth\n");
    rig.write("/etc/pam.d/su-l", "auth include su\n");
    rig.ask("sshd");
    assert_eq!(rig.finding(Code::LineNotReached), None, "su is a service");
    assert_eq!(rig.finding(Code::NotAsked).map(|finding| finding.level), Some(Level::Note));
    // What other services include is there for all.
    rig.write("/etc/pam.d/our-auth", &[UNIX, OURS].concat());
    rig.write("/etc/pam.d/door", "auth include our-auth\n");
    let remedy = rig.finding(Code::LineNotReached).expect("our-auth is shared").remedy;
    assert!(remedy.plain().contains("`@include our-auth`"), "{remedy:?}");
    rig.remove("/etc/pam.d/door");
    rig.remove("/etc/pam.d/our-auth");
    rig.write("/etc/pam.d/password-auth", &[UNIX, OURS].concat());
    assert!(rig.finding(Code::LineNotReached).is_some(), "its name says what it is for");
}

#[test]
fn a_folder_in_the_place_of_a_services_file_is_named_and_other_holds() {
    let mut rig = Rig::sound();
    rig.remove("/etc/pam.d/su");
    rig.folder_of("/etc/pam.d/su/x");
    rig.ask("su");
    let place = rig.finding(Code::FileUnusual).and_then(|finding| finding.place).expect("a place");
    assert_eq!(place.text(), "/etc/pam.d/su");
    assert_eq!(rig.sentence("su"), "password; no code is asked", "so PAM takes `other`");
}

#[test]
fn of_a_service_whose_file_is_closed_to_us_nothing_is_claimed() {
    let mut rig = Rig::sound();
    rig.remove("/etc/pam.d/su");
    // Reading it from its start fails, for root too.
    std::os::unix::fs::symlink("/proc/self/mem", rig.path("/etc/pam.d/su")).expect("a link");
    rig.write("/etc/pam.d/door", "@include su\nauth requisite pam_postern.so\n");
    for service in ["su", "door"] {
        rig.ask(service);
        let report = rig.report();
        assert!(!report.findings.is_empty());
        for finding in &report.findings {
            assert_eq!(finding.code, Code::NotChecked, "{finding:?}");
            assert!(finding.message.plain().contains("/etc/pam.d/su"), "{finding:?}");
        }
        let verdict = report.verdicts.first().expect("one service");
        assert_eq!(verdict.sentence, "not known: a PAM file of it could not be read");
        assert_eq!(verdict.asks_code, None);
    }
}

#[test]
fn a_session_line_whose_refusal_counts_or_that_refuses_nothing_is_right() {
    for line in [
        "required pam_postern.so recorder_unknown=refuse",
        "requisite pam_postern.so",
        "optional pam_postern.so",
    ] {
        let mut rig = Rig::sound();
        rig.service(&format!("@include common-auth\nsession {line}\n"));
        assert!(rig.finding(Code::RecorderNotFinal).is_none(), "{line}");
    }
}
