//! What the doctor says about a login is what then happens at the login.

use std::fs;
use std::process::Output;

use serde::Deserialize;
use system_tests::agent::fleet_section;
use system_tests::cut_off::{ADDRESS, CutOffHost};
use system_tests::flows::{
    GRACE_QUESTION, QUESTION, SAY_WHO, activated, console, ssh_login, ssh_outcome, sudo,
};
use system_tests::machine::{ALICE, BOB, MODULE, Machine, folder};
use system_tests::postern::{self, said};
use system_tests::sshd::{self, Sshd};
use system_tests::time::wait_for;
use system_tests::verifier::{Verifier, config};

/// What `postern doctor --json` says, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct Report {
    problems: usize,
    verdicts: Vec<Verdict>,
    findings: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    service: String,
    sentence: String,
    #[serde(default)]
    asks_code: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Finding {
    level: String,
    code: String,
    #[serde(default)]
    file: Option<String>,
    #[serde(default)]
    line: Option<u32>,
    message: String,
    remedy: String,
}

impl Report {
    fn finding(&self, code: &str) -> &Finding {
        self.findings.iter().find(|it| it.code == code).unwrap_or_else(|| panic!("no {code} in {self:#?}"))
    }

    fn verdict(&self, service: &str) -> &Verdict {
        let verdict = self.verdicts.iter().find(|verdict| verdict.service == service);
        verdict.unwrap_or_else(|| panic!("nothing about {service} in {self:#?}"))
    }

    /// Whether alice will be asked for a code.
    fn asks_code(&self, service: &str) -> Option<bool> {
        self.verdict(service).asks_code
    }

    /// What alice is asked.
    fn sentence(&self, service: &str) -> &str {
        &self.verdict(service).sentence
    }
}

/// The machine of the other tests, with sshd's settings in their usual place, where the doctor looks.
fn start() -> (Machine, Verifier, Sshd) {
    let started = (Machine::new(), Verifier::start(), Sshd::start());
    fs::copy(folder().join("sshd_config"), "/etc/ssh/sshd_config").expect("sshd's settings");
    started
}

/// Asks the doctor about alice; it fails just when it tells of problems.
#[track_caller]
fn doctor(services: &[&str]) -> Report {
    let mut line = vec!["--json", "doctor", "--user", "alice"];
    services.iter().for_each(|service| line.extend(["--service", service]));
    report(&postern::run(&line))
}

/// What it says at a host of a fleet.
fn doctor_at(host: &CutOffHost) -> Report {
    let command = postern::command(&["--json", "doctor", "--user", "alice", "--service", "login"]);
    report(&host.host.agent.enter(&command).output().expect("postern doctor"))
}

fn report(output: &Output) -> Report {
    let report: Report = postern::read(output);
    assert_eq!(output.status.code(), Some(i32::from(report.problems > 0)), "{report:#?}");
    for finding in &report.findings {
        assert!(!finding.message.is_empty() && !finding.remedy.is_empty(), "{finding:?}");
        assert!(["problem", "warning", "note"].contains(&finding.level.as_str()), "{finding:?}");
    }
    report
}

// covers: P9
#[test]
fn on_a_machine_that_is_set_up_right_it_finds_no_problem_and_a_code_is_asked() {
    let (machine, verifier, _sshd) = start();
    let phone = activated(&verifier, "alice");
    let report = doctor(&["sshd", "sudo", "login"]);
    assert_eq!(report.problems, 0, "{report:#?}");
    for service in ["sshd", "sudo", "login"] {
        assert_eq!(report.asks_code(service), Some(true), "{service}: {report:#?}");
        assert!(report.sentence(service).contains("password, then a one-time password"), "{report:#?}");
    }
    ssh_login(ALICE, &verifier.next_code(&phone)).logged_in();
    sudo(&machine, ALICE, &verifier.next_code(&phone)).logged_in();
    console(ALICE, &verifier.next_code(&phone)).logged_in();

    postern::otp_off("alice");
    let report = doctor(&["sshd"]);
    assert!(!report.sentence("sshd").contains("one-time password"), "{report:#?}");
    assert_eq!(report.asks_code("sshd"), Some(false), "{report:#?}");
    ssh_outcome(sshd::login_up_to_password(ALICE, SAY_WHO)).logged_in();
}

/// What happens at an ssh login whose PAM file is broken.
#[derive(Clone, Copy, Debug)]
enum Truth {
    /// The password is enough.
    NothingIsAsked,
    /// A code is asked for, and a wrong one does.
    AnyCodeDoes,
    /// Not even the right code does.
    NobodyGetsIn,
}

// covers: P9
#[test]
fn what_is_broken_is_named_with_its_line_and_the_login_is_as_it_says() {
    let (machine, verifier, _sshd) = start();
    let phone = activated(&verifier, "alice");
    let password = "auth required pam_unix.so\n";
    let rest = "account required pam_permit.so\nsession required pam_permit.so\n";
    let rows: [(&str, String, Truth); 4] = [
        (
            "module_skipped",
            format!("auth sufficient pam_unix.so\nauth required {MODULE}\n"),
            Truth::NothingIsAsked,
        ),
        ("refusal_not_final", format!("{password}auth optional {MODULE}\n"), Truth::AnyCodeDoes),
        (
            "module_file_missing",
            format!("{password}auth required /gone/pam_postern.so\n"),
            Truth::NobodyGetsIn,
        ),
        ("argument_unknown", format!("{password}auth required {MODULE} fial=open\n"), Truth::NobodyGetsIn),
    ];
    for (code, text, truth) in rows {
        machine.write_pam("sshd", &format!("{text}{rest}"));
        let report = doctor(&["sshd"]);
        let finding = report.finding(code);
        if code != "module_file_missing" {
            assert_eq!(finding.file.as_deref(), Some("/etc/pam.d/sshd"), "{code}");
            // Where it is skipped, the line that skips it.
            let line = if code == "module_skipped" { 1 } else { 2 };
            assert_eq!(finding.line, Some(line), "{code}: the line is named");
        }
        let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
        match truth {
            Truth::NothingIsAsked => {
                assert_eq!(report.asks_code("sshd"), Some(false), "{code}: {report:#?}");
                ssh_outcome(terminal).logged_in();
            }
            Truth::AnyCodeDoes => {
                terminal.expect(QUESTION);
                terminal.type_line(&verifier.wrong_code(&phone));
                let ended = terminal.finish_or_enter();
                assert!(ended.transcript.contains("logged in as "), "{code}: {}", ended.transcript);
            }
            Truth::NobodyGetsIn => {
                let ended = terminal.finish_or_enter();
                assert!(!ended.status.success(), "{code}: {}", ended.transcript);
            }
        }
    }
    machine.write_pam("sshd", &format!("{password}{rest}"));
    assert_eq!(doctor(&["sshd"]).asks_code("sshd"), Some(false));
    ssh_outcome(sshd::login_up_to_password(ALICE, SAY_WHO)).logged_in();
    machine.protect("sshd", "");
    assert_eq!(doctor(&["sshd"]).problems, 0);
    ssh_login(ALICE, &verifier.next_code(&phone)).logged_in();
}

// covers: P9, P12
#[test]
fn it_tells_what_an_outage_will_do() {
    let (machine, mut verifier, _sshd) = start();
    let phone = activated(&verifier, "alice");
    machine.protect("sshd", "fail=open");
    let report = doctor(&["sshd", "sudo"]);
    assert_eq!(report.finding("fails_open").level, "warning");
    verifier.stop();
    let report = doctor(&["sshd", "sudo"]);
    assert_eq!(report.finding("verifierd_unreachable").level, "problem");
    ssh_outcome(sshd::login_up_to_password(ALICE, SAY_WHO)).logged_in();
    sudo_without_daemon(&machine);
    verifier.launch();
    ssh_login(ALICE, &verifier.next_code(&phone)).logged_in();
}

/// sudo is not open: it asks its password anew.
fn sudo_without_daemon(machine: &Machine) {
    let mut terminal = system_tests::flows::sudo_up_to_code(machine, ALICE);
    terminal.expect("password for alice: ");
    assert!(!terminal.interrupt_until_end().0.status.success());
}

// covers: P9
#[test]
fn settings_of_sshd_and_modes_of_files_that_undo_the_demand_are_found() {
    let (_machine, verifier, sshd) = start();
    let _phone = activated(&verifier, "alice");
    drop(sshd);
    let settings: [(&str, &str, &str); 4] = [
        ("UsePAM", "no", "sshd_pam_off"),
        ("KbdInteractiveAuthentication", "no", "sshd_keyboard_interactive_off"),
        ("AuthenticationMethods", "publickey", "sshd_key_alone"),
        ("LoginGraceTime", "10", "sshd_grace_short"),
    ];
    let right = fs::read_to_string("/etc/ssh/sshd_config").expect("sshd's settings");
    for (key, value, code) in settings {
        // sshd itself refuses a list of methods with one that is switched off.
        let kept = right.lines().filter(|line| {
            !line.starts_with(&format!("{key} ")) && !line.starts_with("AuthenticationMethods ")
        });
        let text: String = kept.map(|line| format!("{line}\n")).collect();
        fs::write("/etc/ssh/sshd_config", format!("{text}{key} {value}\n")).expect("sshd's settings");
        doctor(&["sshd"]).finding(code);
    }
    fs::write("/etc/ssh/sshd_config", &right).expect("sshd's settings");
    let modes = [
        ("/etc/postern/master.key", "0400", "key_file_open"),
        ("/var/lib/postern", "0700", "state_folder_open"),
        ("/etc/postern/verifierd.toml", "0644", "configuration_writable"),
        (wire::ADMIN_SOCKET, "0600", "socket_open"),
    ];
    for (path, mode, code) in modes {
        system_tests::machine::run("chmod", &["0666", path]);
        assert_eq!(doctor(&["sshd"]).finding(code).level, "problem", "{path}");
        system_tests::machine::run("chmod", &[mode, path]);
    }
    assert_eq!(doctor(&["sshd"]).problems, 0);
}

// covers: P9
#[test]
fn a_configuration_that_the_next_start_refuses_is_found_while_the_daemon_still_runs() {
    let (_machine, mut verifier, _sshd) = start();
    let phone = activated(&verifier, "alice");
    let path = "/etc/postern/verifierd.toml";
    let right = fs::read_to_string(path).expect("the configuration");
    fs::write(path, format!("x = 1\n{right}")).expect("the configuration");
    let report = doctor(&["sshd"]);
    let finding = report.finding("config_refused");
    assert_eq!((finding.level.as_str(), finding.file.as_deref()), ("problem", Some(path)));
    assert!(finding.message.contains("unknown field `x`"), "verifierd's own words: {}", finding.message);
    ssh_login(ALICE, &verifier.next_code(&phone)).logged_in();
    verifier.stop();
    verifier.spawn_under(&[]);
    assert!(!verifier.wait_for_end().success(), "it does not start");

    fs::write(path, right).expect("the configuration");
    verifier.launch();
    assert_eq!(doctor(&["sshd"]).problems, 0);
}

// covers: P9, P1
#[test]
fn recovery_codes_that_wait_are_not_counted_on() {
    let (_machine, mut verifier, _sshd) = start();
    let _phone = activated(&verifier, "alice");
    let codes = postern::recovery_codes("alice");
    postern::lost(&postern::only_token("alice").serial);
    assert!(doctor(&["sshd"]).sentence("sshd").contains("then a recovery code (the only token is lost"));
    ssh_login(ALICE, &codes[0]).logged_in();
    verifier.kill();
    verifier.launch();
    let report = doctor(&["sshd"]);
    let finding = report.finding("user_refused");
    assert!(finding.remedy.contains("`postern store settle`"), "{finding:?}");
    assert!(report.sentence("sshd").contains("the recovery codes wait"), "{report:#?}");
    let shown = ssh_login(ALICE, &codes[1]).refused();
    assert!(shown.contains("Recovery codes wait for your administrator."), "{shown}");

    postern::done(&["store", "settle", "--yes"]);
    assert_eq!(doctor(&["sshd"]).finding("recovery_only").level, "warning");
    ssh_login(ALICE, &codes[1]).logged_in();
}

// covers: P9
#[test]
fn without_a_user_it_names_the_accounts_that_a_line_will_refuse() {
    let (_machine, mut verifier, _sshd) = start();
    let _phone = activated(&verifier, "alice");
    let everybody = || -> Report { postern::read(&postern::run(&["--json", "doctor"])) };
    let said = |report: &Report| report.findings.iter().any(|finding| finding.code == "accounts_unknown");
    assert!(!said(&everybody()), "on_unenrolled is \"ignore\"");
    let path = "/etc/postern/verifierd.toml";
    let lenient = fs::read_to_string(path).expect("the configuration");
    fs::write(path, lenient.replace("\"ignore\"", "\"deny\"")).expect("the configuration");
    verifier.stop();
    verifier.launch();
    let report = everybody();
    let finding = report.finding("accounts_unknown");
    assert!(finding.message.contains(" root, ") && finding.message.contains("bob"), "{finding:?}");
    assert!(!finding.message.contains("alice"), "{finding:?}");
    ssh_login(BOB, "123456").refused();
    postern::otp_off("bob");
    assert!(!everybody().finding("accounts_unknown").message.contains("bob"));
    ssh_outcome(sshd::login_up_to_password(BOB, SAY_WHO)).logged_in();
}

// covers: P9
#[test]
fn whoever_may_not_look_is_told_so_and_what_he_may_know() {
    let (machine, _verifier, _sshd) = start();
    postern::otp_on("alice");
    let output = postern::run_by(&machine, ALICE, &["--json", "doctor", "--user", "alice"], "");
    let report: Report = postern::read(&output);
    assert_eq!(report.asks_code("sudo"), Some(true), "{report:#?}");
    assert!(report.sentence("sudo").contains("one-time password"), "{report:#?}");
    report.finding("not_checked");
    let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
    terminal.expect(GRACE_QUESTION);

    let nobody = postern::run_by(&machine, BOB, &["doctor", "--user", "nobody-here"], "");
    assert!(!said(&nobody).contains("panicked"), "{}", said(&nobody));
}

// covers: N1, N12
#[test]
fn at_a_host_that_is_cut_off_it_says_whether_offline_passwords_open_it() {
    let _machine = Machine::new();
    let verifier = Verifier::start_with(&config(&fleet_section(&[ADDRESS])));
    let mut web1 = CutOffHost::start(1, "web1", &verifier.clock, None);
    let codes = |report: &Report| -> Vec<String> {
        let of_agent =
            |finding: &&Finding| finding.code.starts_with("agent_") || finding.code.starts_with("offline_");
        report.findings.iter().filter(of_agent).map(|finding| finding.code.clone()).collect()
    };
    let report = doctor_at(&web1);
    assert!(codes(&report).is_empty(), "{report:#?}");
    web1.cut();
    let report = doctor_at(&web1);
    assert_eq!(codes(&report), ["agent_degraded"], "{report:#?}");
    let sentence = &report.verdicts[0].sentence;
    assert!(sentence.ends_with("then an offline password, since no verifier answers"), "{sentence}");
    // And so it is.
    web1.give(ALICE, "0A1BZ-9XK00-00000").refused();
    web1.kill_service();
    let report = wait_for("the agent to notice", || {
        let report = doctor_at(&web1);
        codes(&report).contains(&"offline_unready".to_owned()).then_some(report)
    });
    let sentence = &report.verdicts[0].sentence;
    assert!(sentence.ends_with("a refusal: no verifier answers"), "{sentence}");
    web1.host.expect_refusal_without_question(ALICE);
}
