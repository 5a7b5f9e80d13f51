//! Access rules and the roll-out on the verifier's own machine, at real programs.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output};

use rustix::process::Signal;
use system_tests::flows::{
    GRACE_QUESTION, Outcome, QUESTION, SERIAL_QUESTION, activated, ssh_dialogue, ssh_login, ssh_outcome,
    sudo, sudo_dialogue,
};
use system_tests::fob::drawer;
use system_tests::login_socket::{Dialogue, Login, reference, verdict};
use system_tests::machine::{ALICE, BOB, Machine, run};
use system_tests::sshd::{Sshd, login_up_to_password};
use system_tests::time::wait_for;
use system_tests::verifier::{CONFIG, Verifier, config, log_text};
use system_tests::{flows, postern, programs};
use wire::admin::{AuditRecord, Demanded, Policy, PolicyTrial, RolloutMode, RolloutStatus};
use wire::login::{Next, Verdict};

fn rule(name: &str, lines: &str) -> String {
    format!("[[access.rule]]\nname = \"{name}\"\n{lines}\n")
}

/// Lets the running daemon take over another configuration. It ends with a rule that never holds, by whose name it is
/// known.
fn reload(verifier: &Verifier, name: &str, lines: &str) {
    let mark = rule(name, "service = [\"none-at-all\"]\nthen = \"deny\"");
    fs::write(CONFIG, config(&format!("{lines}{mark}"))).expect("the configuration");
    verifier.signal(Signal::HUP);
    wait_for("the configuration to be taken over", || {
        let policy: Policy = postern::ask(&["policy", "show"]);
        policy.rules.iter().any(|rule| rule.name == name).then_some(())
    });
}

/// A daemon whose waits run on the clock that the test steps.
fn start_with_stepped_waits() -> Verifier {
    let mut verifier = Verifier::prepare(&config("")).with_stepped_waits();
    verifier.initialise();
    verifier.launch();
    verifier
}

/// Why a refused user was refused, and by which rule.
fn refused_by(outcome: Outcome) -> (String, Option<String>) {
    let AuditRecord { reason, rule, .. } = postern::explain(&outcome.reference());
    (reason, rule)
}

fn append(file: &str, lines: &str) {
    let mut file = fs::OpenOptions::new().append(true).open(file).expect("the file");
    file.write_all(lines.as_bytes()).expect("appending");
}

/// Logs in by ssh with a password, and is asked nothing else.
#[track_caller]
fn ssh_unasked(account: system_tests::machine::Account) {
    let terminal = login_up_to_password(account, flows::SAY_WHO);
    let shown = ssh_outcome(terminal).logged_in();
    assert!(!shown.contains("One-time password"), "{shown}");
}

// covers: A10, I14
#[test]
fn who_is_in_a_denied_group_is_refused_whatever_the_code_until_he_is_not() {
    let machine = Machine::new();
    let _sshd = Sshd::start();
    run("groupadd", &["--force", "contractors"]);
    run("usermod", &["--append", "--groups", "contractors", "bob"]);
    let contractors = rule("contractors", "user_group = [\"contractors\"]\nthen = \"deny\"");
    let verifier = Verifier::start_with(&config(""));
    let (alice, bob) = (activated(&verifier, "alice"), activated(&verifier, "bob"));
    reload(&verifier, "mark", &contractors);
    let code = verifier.code(&bob);
    let refused = ("denied_by_rule".to_owned(), Some("contractors".to_owned()));
    assert_eq!(refused_by(ssh_login(BOB, &code)), refused);
    sudo(&machine, BOB, &code).refused();
    ssh_login(ALICE, &verifier.code(&alice)).logged_in();
    run("gpasswd", &["--delete", "bob", "contractors"]);
    ssh_login(BOB, &code).logged_in();
}

// covers: A10
#[test]
fn a_rule_on_source_and_service_asks_nothing_there_and_everything_elsewhere() {
    let machine = Machine::new();
    let _sshd = Sshd::start();
    let verifier = Verifier::start_with(&config(""));
    let phone = activated(&verifier, "alice");
    let office =
        "source = [\"127.0.0.0/8\", \"::1/128\"]\nservice = [\"sshd\"]\nuser = [\"alice\"]\nthen = \"allow\"";
    reload(&verifier, "mark", &rule("office", office));
    ssh_unasked(ALICE);
    let allowed = postern::audit().into_iter().rfind(|record| record.event == "login").expect("a record");
    assert_eq!((allowed.reason.as_str(), allowed.rule.as_deref()), ("allowed_by_rule", Some("office")));
    sudo(&machine, ALICE, &verifier.code(&phone)).logged_in();
    let elsewhere = Login::by_ssh("alice").begin().expect("an answer");
    assert_eq!(elsewhere.question(), QUESTION);
}

// covers: A10
#[test]
fn a_rule_on_the_time_holds_at_its_hours_and_begins_by_itself() {
    const HOUR: u64 = 3_600;
    let _machine = Machine::new();
    let _sshd = Sshd::start();
    let verifier = Verifier::start_with(&config(""));
    let phone = activated(&verifier, "alice");
    let clock = |at: u64| format!("{:02}:00", at / HOUR % 24);
    let (from, to) = (verifier.now() + 2 * HOUR, verifier.now() + 4 * HOUR);
    let night = format!("time = \"{}-{}\"\nservice = [\"sshd\"]\nthen = \"deny\"", clock(from), clock(to));
    reload(&verifier, "mark", &rule("night", &night));
    ssh_login(ALICE, &verifier.code(&phone)).logged_in();
    verifier.clock.advance(3 * HOUR as i64);
    let refused = ("denied_by_rule".to_owned(), Some("night".to_owned()));
    assert_eq!(refused_by(ssh_login(ALICE, &verifier.next_code(&phone))), refused);
    verifier.clock.advance(2 * HOUR as i64);
    ssh_login(ALICE, &verifier.next_code(&phone)).logged_in();
}

// covers: A9, A10
#[test]
fn where_a_rule_demands_a_token_sudo_associates_one_and_asks_for_it_from_then_on() {
    let machine = Machine::new();
    let _sshd = Sshd::start();
    let stricter = rule("stricter", "service = [\"sudo\"]\nthen = \"require-token\"");
    let verifier = Verifier::start_with(&config(&stricter));
    let mut fob = drawer(1).remove(0);
    postern::add_token(&fob, None);
    ssh_unasked(ALICE);
    let code = fob.press();
    let shown =
        sudo_dialogue(&machine, ALICE, &[(SERIAL_QUESTION, &fob.serial), (QUESTION, &code)]).logged_in();
    assert!(shown.contains("is yours now"), "{shown}");
    let associated = postern::audit().into_iter().rfind(|record| record.reason == "associated");
    assert_eq!(associated.expect("a record").rule.as_deref(), Some("stricter"));
    sudo(&machine, ALICE, &fob.press()).logged_in();
    drop(verifier);
}

// covers: P9
#[test]
fn a_roll_out_observes_then_leaves_time_then_enforces_and_tells_how_far_it_is() {
    const DAY: u64 = 86_400;
    let _machine = Machine::new();
    let _sshd = Sshd::start();
    let verifier = Verifier::start_with(&config(""));
    let phone = activated(&verifier, "alice");
    let day = |days: u64| {
        let at = format!("@{}", verifier.now() + days * DAY);
        run("date", &["-u", "-d", &at, "+%F"]).trim().to_owned()
    };
    let roll_out = |name: &str, mode: &str| {
        let until = day(10);
        reload(&verifier, name, &format!("[access]\nrollout = \"{mode}\"\nrollout_until = \"{until}\"\n"));
    };
    roll_out("observing", "observe");
    ssh_dialogue(ALICE, &[(GRACE_QUESTION, &verifier.wrong_code(&phone))]).logged_in();
    let code = verifier.next_code(&phone);
    ssh_dialogue(ALICE, &[(GRACE_QUESTION, &code)]).logged_in();
    ssh_dialogue(ALICE, &[(GRACE_QUESTION, &code)]).logged_in();
    ssh_dialogue(ALICE, &[(GRACE_QUESTION, "")]).logged_in();
    let reasons: Vec<String> = postern::audit()
        .into_iter()
        .filter(|record| record.event == "login" && record.rollout.is_some())
        .map(|record| record.reason)
        .collect();
    assert_eq!(reasons, ["wrong_code", "replayed", "rollout"]);
    let status: RolloutStatus = postern::ask(&["rollout", "status"]);
    let [place] = status.items.as_slice() else { panic!("{status:?}") };
    assert_eq!(
        (place.place.as_str(), place.mode, place.days_left),
        ("default", RolloutMode::Observe, Some(10))
    );
    assert_eq!((place.users, place.with_token, place.would_be_refused), (1, 1, 3));

    roll_out("leaving time", "grace");
    postern::otp_on_with_token("bob");
    ssh_dialogue(BOB, &[("Serial number of your token (Enter to continue without): ", "")]).logged_in();
    assert_eq!(refused_reason(ssh_login(ALICE, &verifier.wrong_code(&phone))), "wrong_code");
    ssh_login(ALICE, &verifier.next_code(&phone)).logged_in();

    verifier.clock.advance(11 * DAY as i64);
    assert_eq!(refused_reason(ssh_login(ALICE, &verifier.wrong_code(&phone))), "wrong_code");
    let status: RolloutStatus = postern::ask(&["rollout", "status"]);
    assert_eq!((status.items[0].mode, status.items[0].days_left), (RolloutMode::Enforce, None));
    assert_eq!(
        (status.items[0].users, status.items[0].with_token, status.items[0].would_be_refused),
        (2, 1, 4)
    );
}

fn refused_reason(outcome: Outcome) -> String {
    refused_by(outcome).0
}

/// Denies the members of one Unix group, and says who of some users is refused for which reason.
fn denied_among(verifier: &Verifier, name: &str, group: &str, users: &[&str]) -> Vec<String> {
    let lines = rule("group", &format!("user_group = [{group}]\nthen = \"deny\""))
        + rule("rest", "then = \"allow\"").as_str();
    reload(verifier, name, &lines);
    let mut reasons = Vec::new();
    for user in users {
        // Far from each other, so that no throttle answers.
        verifier.clock.advance(86_400);
        let begun = Login::by_ssh(user).begin().expect("an answer");
        let reply = begun.answer("000000").expect("an answer");
        reasons.push(postern::explain(&reference(&reply)).reason);
    }
    reasons
}

// covers: I14
#[test]
fn groups_are_numbers_whatever_they_and_users_are_called() {
    const DENIED: &str = "denied_by_rule";
    const ALLOWED: &str = "allowed_by_rule";
    let _machine = Machine::new();
    let members: String = (0..10_000).map(|number| format!("member{number},")).collect();
    append("/etc/passwd", "twice:x:31000:31000::/:/usr/sbin/nologin\n");
    append(
        "/etc/group",
        &format!(
            "own:x:31000:\ntwice:x:31001:alice\ntwice:x:31002:bob\nother:x:31001:bob\nmany:x:31003:{members}bob\nempty:x:31004:\n"
        ),
    );
    let verifier = start_with_stepped_waits();
    let users = ["alice", "bob", "twice"];
    let check = |name: &str, group: &str, expected: [&str; 3]| {
        assert_eq!(denied_among(&verifier, name, group, &users), expected, "{group}");
    };
    // The first group of a name is the one that is meant; a second name for its number means it, too; and nobody is a
    // member of a group for being called like it.
    check("1", "\"twice\"", [DENIED, DENIED, ALLOWED]);
    check("2", "31001", [DENIED, DENIED, ALLOWED]);
    check("3", "31002", [ALLOWED, DENIED, ALLOWED]);
    check("4", "\"own\"", [ALLOWED, ALLOWED, DENIED]);
    check("5", "\"many\"", [ALLOWED, DENIED, ALLOWED]);
    check("6", "\"empty\"", [ALLOWED, ALLOWED, ALLOWED]);
    // What is not there cannot be told, and so is who is not there.
    check("7", "\"gone\"", ["rule_undecidable"; 3]);
    assert_eq!(denied_among(&verifier, "8", "31004", &["nobody-here"]), ["rule_undecidable"]);
}

// covers: I14
#[test]
fn while_the_name_service_is_down_whoever_a_group_rule_may_concern_is_refused() {
    let _machine = Machine::new();
    let verifier = Verifier::start_with(&config(""));
    let phone = activated(&verifier, "alice");
    let lines = rule("group", "user_group = [\"root\"]\nservice = [\"sshd\"]\nthen = \"deny\"");
    reload(&verifier, "mark", &lines);
    let login = Login::by_ssh("alice");
    assert_eq!(login.verdict(&verifier.next_code(&phone)), Verdict::Allow);
    let whole = fs::read_to_string("/etc/nsswitch.conf").expect("/etc/nsswitch.conf");
    let down: String =
        whole
            .lines()
            .map(|line| {
                if line.starts_with("group:") {
                    "group: postern-nothing\n".into()
                } else {
                    format!("{line}\n")
                }
            })
            .collect();
    assert_ne!(down, whole);
    fs::write("/etc/nsswitch.conf", down).expect("/etc/nsswitch.conf");
    let code = verifier.next_code(&phone);
    let reply = login.attempt(&code).expect("an answer");
    assert_eq!(verdict(&reply), Verdict::Deny);
    assert_eq!(postern::explain(&reference(&reply)).reason, "rule_undecidable");
    assert_eq!(
        login.clone().to("sudo").verdict(&code),
        Verdict::Allow,
        "where no rule asks, nobody misses it"
    );
    fs::write("/etc/nsswitch.conf", whole).expect("/etc/nsswitch.conf");
    assert_eq!(login.verdict(&verifier.next_code(&phone)), Verdict::Allow);
}

/// What a first reply asks.
fn asked_by(dialogue: &Dialogue) -> Demanded {
    let Next::Ask { questions, .. } = &dialogue.reply.next else { return Demanded::Nothing };
    let is_serial = questions[0].text.starts_with("Serial number");
    match (is_serial, dialogue.reply.show.is_empty(), questions[0].empty_allowed) {
        (true, _, false) => Demanded::Association,
        (true, _, true) => Demanded::AssociationOrNothing,
        (false, false, false) => Demanded::Enrolment,
        (false, false, true) => Demanded::EnrolmentOrNothing,
        (false, true, false) => Demanded::Code,
        (false, true, true) => Demanded::CodeOrNothing,
    }
}

// covers: A10
#[test]
fn a_dry_run_says_what_the_login_then_does() {
    let _machine = Machine::new();
    run("groupadd", &["contractors"]);
    run("usermod", &["--append", "--groups", "contractors", "bob"]);
    let verifier = start_with_stepped_waits();
    activated(&verifier, "alice");
    postern::otp_on("bob");
    let conditions = [
        "",
        "source = [\"192.0.2.0/24\"]",
        "service = [\"sudo\"]",
        "user_group = [\"contractors\"]",
        "user = [\"alice\"]",
    ];
    let mut compared = 0;
    for then in ["deny", "require-token", "require-any-otp", "allow"] {
        for condition in conditions {
            let name = format!("{then} {compared}");
            reload(&verifier, &name, &rule("r", &format!("then = \"{then}\"\n{condition}")));
            for (user, service, from) in [
                ("alice", "sshd", "192.0.2.7"),
                ("bob", "sshd", "198.51.100.7"),
                ("bob", "sudo", "192.0.2.7"),
                ("nobody-here", "sshd", "pc7"),
                ("root", "sudo", "198.51.100.7"),
            ] {
                // Far from each other, so that no throttle answers.
                verifier.clock.advance(86_400);
                let words = ["policy", "try", "--user", user, "--service", service, "--from", from];
                let tried: PolicyTrial = postern::ask(&words);
                let begun = Login::by_ssh(user).to(service).from(from).begin().expect("an answer");
                let expected = match tried.demand {
                    Demanded::Refusal | Demanded::RecoveryCode => Demanded::Code,
                    demand => demand,
                };
                assert_eq!(asked_by(&begun), expected, "{name} {condition}: {tried:?}");
                let ends = matches!(tried.demand, Demanded::Refusal | Demanded::Nothing);
                if ends {
                    let record = postern::explain(&reference(&begun.answer("000000").expect("an answer")));
                    assert_eq!(record.rule, tried.rule, "{name} {condition}: {tried:?} {record:?}");
                }
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 4 * 5 * 5);
}

fn config_check() -> Output {
    let mut command = Command::new(programs::ours("verifierd"));
    command.args(["config", "check", "--config", CONFIG]).output().expect("verifierd config check")
}

// covers: A10, I14
#[test]
fn what_policy_names_and_nobody_knows_is_a_warning_and_what_is_wrong_keeps_the_old_policy() {
    let _machine = Machine::new();
    let verifier = Verifier::start_with(&config(""));
    let named = "user_group = [\"gone\"]\nhost = [\"web9\"]\ngroup = [\"db\"]\nthen = \"deny\"";
    reload(&verifier, "mark", &rule("absent", named));
    let checked = config_check();
    assert!(checked.status.success(), "{checked:?}");
    let said = String::from_utf8_lossy(&checked.stderr);
    for warning in [
        "warning: access.rule \"absent\": user_group: the name service knows no Unix group \"gone\"",
        "warning: access.rule \"absent\": host: no host of the fleet is called \"web9\"",
        "warning: access.rule \"absent\": group: no host of the fleet is in a group \"db\"",
    ] {
        assert!(said.contains(warning), "{said}");
    }
    assert!(log_text().contains("whom the rule may concern is refused"), "{}", log_text());
    fs::write(CONFIG, config(&rule("wrong", "source = [\"192.0.2.7/24\"]\nuser = []\nthen = \"deny\"")))
        .expect("a file");
    let checked = config_check();
    assert_eq!(checked.status.code(), Some(2), "{checked:?}");
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(said.contains("192.0.2.0/24 is its network") && said.contains("user = []"), "{said}");
    verifier.signal(Signal::HUP);
    verifier.expect_log("the configuration is kept as it was");
    let policy: Policy = postern::ask(&["policy", "show", "--service", "none-at-all"]);
    assert_eq!(policy.rules.len(), 1, "{policy:?}");
}
