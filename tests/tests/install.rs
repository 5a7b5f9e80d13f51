//! A fresh installation fails closed, and no secret shows where other users can look.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use system_tests::flows::{SAY_WHO, activated, ssh_login, ssh_outcome, sudo};
use system_tests::machine::{ALICE, Machine};
use system_tests::postern;
use system_tests::sshd::{self, Sshd};
use system_tests::verifier::{CONFIG, STATE, Verifier, config, log_text};
use system_tests::witness::watch;

// covers: I13
#[test]
fn without_a_configuration_nobody_gets_in() {
    let _machine = Machine::new();
    let mut verifier = Verifier::prepare("");
    let _sshd = Sshd::start();
    let texts = [
        None,
        Some(""),
        Some("version = 1\nkey_file = \"relative\"\n"),
        Some("on_unenrolled = \"ignore\"\n"),
    ];
    for text in texts {
        match text {
            None => fs::remove_file(CONFIG).expect("removing"),
            Some(text) => fs::write(CONFIG, text).expect("writing"),
        }
        let before = log_text().len();
        verifier.spawn_under(&[]);
        assert!(!verifier.wait_for_end().success(), "{text:?}: {}", log_text());
        assert!(log_text().len() > before, "{text:?}: says why");
        ssh_outcome(sshd::login_up_to_password(ALICE, SAY_WHO)).refused();
    }
}

// covers: I13
#[test]
fn with_defaults_a_user_without_a_token_is_refused() {
    let _machine = Machine::new();
    let _verifier = Verifier::start_with("version = 1\nkey_file = \"/etc/postern/master.key\"\n");
    let _sshd = Sshd::start();
    // The question is asked all the same, so that nobody learns who has a token.
    for answer in ["000000", "1"] {
        let shown = ssh_login(ALICE, answer).refused();
        assert!(shown.contains("Access denied. Reference "), "{shown}");
    }
}

// covers: I13
#[test]
fn each_key_of_the_configuration_can_be_left_out_and_none_opens_a_door() {
    let _machine = Machine::new();
    let full = "version = 1\nstate_dir = \"/var/lib/postern\"\nkey_file = \"/etc/postern/master.key\"\n\
                on_unenrolled = \"deny\"\n[sockets]\nlogin = \"/run/postern/login.sock\"\n\
                admin = \"/run/postern/admin.sock\"\n[enrolment]\nissuer = \"Postern\"\ngrace = \"none\"\n";
    let lines: Vec<&str> = full.lines().collect();
    for left_out in 0..lines.len() {
        if lines[left_out].starts_with('[') {
            continue;
        }
        let kept = lines.iter().enumerate().filter(|(index, _)| *index != left_out).map(|(_, line)| *line);
        let text = kept.collect::<Vec<_>>().join("\n");
        let mut verifier = Verifier::prepare(&text);
        if !postern::run(&["init"]).status.success() {
            continue;
        }
        verifier.spawn_under(&[]);
        let ready = system_tests::time::wait_for("the daemon", || {
            if !verifier.is_running() {
                return Some(false);
            }
            postern::run(&["status"]).status.success().then_some(true)
        });
        if ready {
            let verdict = system_tests::login_socket::Login::by_ssh("alice").verdict("000000");
            assert_eq!(verdict, wire::login::Verdict::Deny, "without {}", lines[left_out]);
        }
    }
}

// covers: I13, E25
#[test]
fn the_key_and_the_store_belong_to_root_alone_and_are_made_once() {
    let _machine = Machine::new();
    let mut verifier = Verifier::start();
    let mode = |path: &Path| fs::metadata(path).expect("made by init").mode() & 0o777;
    assert_eq!(mode(Path::new("/etc/postern/master.key")), 0o400);
    assert_eq!(mode(Path::new(STATE)), 0o700);
    for entry in fs::read_dir(STATE).expect("the state") {
        let path = entry.expect("a file").path();
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
    let key = fs::read("/etc/postern/master.key").expect("the key");
    assert!(!postern::run(&["init"]).status.success(), "the store is in use");
    verifier.stop();
    assert_eq!(postern::run(&["init"]).status.code(), Some(6), "a store is there");
    assert_eq!(fs::read("/etc/postern/master.key").expect("the key"), key, "the key is not replaced");
}

// covers: E25
#[test]
fn a_configuration_or_key_that_others_can_change_is_refused() {
    let _machine = Machine::new();
    let mut verifier = Verifier::prepare(&config(""));
    verifier.initialise();
    let key = "/etc/postern/master.key";
    let spoil: [(&str, &str, &str); 4] = [
        ("chmod", "0666", CONFIG),
        ("chown", "alice", CONFIG),
        ("chmod", "0644", key),
        ("chown", "alice", key),
    ];
    for (program, argument, path) in spoil {
        system_tests::machine::run(program, &[argument, path]);
        verifier.spawn_under(&[]);
        assert!(!verifier.wait_for_end().success(), "{program} {argument} {path}: {}", log_text());
        system_tests::machine::run("chown", &["root", path]);
        system_tests::machine::run("chmod", &[if path == key { "0400" } else { "0644" }, path]);
    }
    verifier.launch();
}

// covers: I12
#[test]
fn no_secret_shows_in_arguments_or_environments() {
    let machine = Machine::new();
    let verifier = Verifier::start();
    let _sshd = Sshd::start();
    let (secrets, seen) = watch(|| {
        let phone = activated(&verifier, "alice");
        let mut secrets = vec![phone.secret().to_owned()];
        for _ in 0..2 {
            let code = verifier.next_code(&phone);
            ssh_login(ALICE, &code).logged_in();
            secrets.push(code);
            let code = verifier.next_code(&phone);
            sudo(&machine, ALICE, &code).logged_in();
            secrets.push(code);
        }
        for arguments in [&["user", "list"][..], &["token", "list"], &["audit", "show"], &["status"]] {
            let output = postern::run(arguments);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(secrets.iter().all(|secret| !said.contains(secret)), "postern {arguments:?}");
        }
        postern::otp_off("alice");
        secrets
    });
    for secret in &secrets {
        assert!(!log_text().contains(secret.as_str()), "a secret is in the daemon's log");
        let shown = seen.iter().find(|text| text.contains(secret.as_str()));
        assert!(shown.is_none(), "a secret is in {shown:?}");
    }
    assert!(machine.logged().iter().all(|line| secrets.iter().all(|secret| !line.contains(secret))));
}
