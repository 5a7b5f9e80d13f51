//! Everything that ssh offers behind a key, and what a session sees: the code comes first, and leaves nothing.

use std::fs;
use std::process::{Command, Stdio};

use system_tests::flows::{LOGGED_IN, QUESTION, SAY_WHO, activated, ssh_outcome, sudo_up_to_code};
use system_tests::machine::{ALICE, Machine, folder};
use system_tests::postern;
use system_tests::sshd::{self, Sshd};
use system_tests::terminal::{Terminal, plain_environment};
use system_tests::verifier::Verifier;

fn start() -> (Machine, Verifier, Sshd) {
    let machine = Machine::new();
    machine.protect_without_password("sshd");
    (machine, Verifier::start(), Sshd::start_for_keys())
}

// covers: E12
#[test]
fn the_code_is_asked_before_any_channel_opens() {
    let (_machine, verifier, _sshd) = start();
    let phone = activated(&verifier, "alice");
    let file = folder().join("upload");
    fs::write(&file, "x").expect("a file");
    let ssh = |arguments: &[&str]| sshd::key_client(ALICE, arguments);
    let with = |options: &[&str]| {
        let mut client = sshd::bare_client("ssh");
        client.args(sshd::key_options()).args(options).arg("alice@127.0.0.1");
        client
    };
    let copy = |program: &str, arguments: &[&str]| {
        let mut client = sshd::bare_client(program);
        client.args(sshd::key_options()).args(arguments);
        client
    };
    let upload = file.display().to_string();
    let channels: Vec<(&str, Command)> = vec![
        ("shell", ssh(&[])),
        ("command", ssh(&["touch /home/alice/opened"])),
        ("local forward", with(&["-N", "-L", "127.0.0.1:9001:127.0.0.1:2222"])),
        ("remote forward", with(&["-N", "-R", "127.0.0.1:9002:127.0.0.1:2222"])),
        ("dynamic forward", with(&["-N", "-D", "127.0.0.1:9003"])),
        ("standard forward", with(&["-W", "127.0.0.1:2222"])),
        ("nothing", with(&["-N"])),
        ("agent", with(&["-A"])),
        ("subsystem", ssh(&["-s", "sftp"])),
        ("scp", copy("scp", &[&upload, "alice@127.0.0.1:opened"])),
        ("sftp", copy("sftp", &["alice@127.0.0.1"])),
    ];
    for (name, client) in channels {
        let mut terminal = Terminal::start(client);
        terminal.expect(QUESTION);
        for port in [9001, 9002, 9003] {
            assert!(
                std::net::TcpStream::connect(("127.0.0.1", port)).is_err(),
                "{name}: port {port} is open"
            );
        }
        terminal.type_line(&verifier.wrong_code(&phone));
        terminal.expect("Press Enter to continue: ");
        terminal.type_line("");
        assert!(!terminal.finish().status.success(), "{name}");
        assert!(!fs::exists("/home/alice/opened").expect("looking"), "{name} reached the account");
        // Four wrong codes in a row are free.
        verifier.clock.advance(30);
        ok_login(&verifier, &phone);
    }
}

// covers: E12
#[test]
fn a_client_that_cannot_ask_is_refused() {
    let (_machine, verifier, _sshd) = start();
    let _phone = activated(&verifier, "alice");
    let mut client = sshd::bare_client("ssh");
    client.args(sshd::key_options()).args(["-o", "BatchMode=yes", "alice@127.0.0.1", SAY_WHO]);
    plain_environment(&mut client);
    let output = client.stdin(Stdio::null()).output().expect("ssh");
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
}

// covers: E12
#[test]
fn a_second_session_in_one_connection_asks_nothing_and_is_no_second_login() {
    let (_machine, verifier, _sshd) = start();
    let phone = activated(&verifier, "alice");
    let path = format!("ControlPath={}/control", folder().display());
    let mut client = sshd::bare_client("ssh");
    client.args(sshd::key_options()).args(["-o", "ControlMaster=yes", "-o", &path, "alice@127.0.0.1"]);
    client.arg(format!("{SAY_WHO}; cat"));
    let mut master = Terminal::start(client);
    master.expect(QUESTION);
    master.type_line(&verifier.code(&phone));
    master.expect(LOGGED_IN);
    let accepted = postern::status().accepted;
    let mut second = sshd::bare_client("ssh");
    second.args(["-o", "ControlMaster=no", "-o", &path, "alice@127.0.0.1", SAY_WHO]);
    let ended = Terminal::start(second).finish();
    assert!(ended.transcript.contains(LOGGED_IN), "{}", ended.transcript);
    assert_eq!(postern::status().accepted, accepted);
}

// covers: E26
#[test]
fn a_session_and_a_sudo_child_see_no_descriptor_and_no_variable_of_ours() {
    let (machine, verifier, _sshd) = start();
    let phone = activated(&verifier, "alice");
    let look =
        "ls -l /proc/self/fd; cat /proc/self/environ | tr '\\0' '\\n'; echo \"logged in\" as $(id -un)";
    let code = verifier.code(&phone);
    let mut terminal = Terminal::start(sshd::key_client(ALICE, &[look]));
    terminal.expect(QUESTION);
    terminal.type_line(&code);
    check_session(&ssh_outcome(terminal).logged_in(), &code);

    let code = verifier.next_code(&phone);
    let mut command = machine.as_user(ALICE, "sudo");
    command.args(["sh", "-c", look]);
    let mut terminal = Terminal::start(command);
    terminal.expect("password for alice: ");
    terminal.type_line(ALICE.password);
    terminal.expect(QUESTION);
    terminal.type_line(&code);
    terminal.expect("logged in as root");
    check_session(&terminal.finish().transcript, &code);
    drop(sudo_up_to_code(&machine, ALICE));
}

// covers: E06, I01
#[test]
fn odd_user_names_are_refused_and_logged_in_one_escaped_line() {
    let (machine, verifier, _sshd) = start();
    let _phone = activated(&verifier, "alice");
    let long = "x".repeat(256);
    let names = [
        "root\nAccepted otp for root",
        "../../../etc/shadow",
        "a:b",
        "%n%s",
        "\x1b]0;x\x07",
        "alice ",
        long.as_str(),
    ];
    for name in names {
        let mut client = sshd::bare_client("ssh");
        client.args(["-o", "PubkeyAuthentication=no", "-l", name, "127.0.0.1", "true"]);
        let ended = Terminal::start(client).finish_or_interrupt();
        assert!(!ended.status.success(), "{name:?}: {}", ended.transcript);
    }
    for line in machine.logged() {
        let ours = line.contains("pam_postern");
        assert!(!ours || line.chars().all(|it| it == ' ' || it.is_ascii_graphic()), "{line:?}");
    }
    for record in postern::audit() {
        assert_ne!(record.verdict.as_deref().unwrap_or_default(), "not_required", "{record:?}");
    }
    let output = postern::run(&["audit", "show"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.chars().all(|it| it == '\n' || !it.is_control()), "{said:?}");
}

#[track_caller]
fn check_session(shown: &str, code: &str) {
    for word in ["/run/postern", "socket:", "POSTERN", "OTP"] {
        let found = shown.lines().find(|line| line.contains(word));
        assert!(found.is_none(), "{word} in {found:?}");
    }
    // The screen shows no code, because none was echoed; an environment with it would.
    assert!(!shown.contains(code), "{shown}");
}

fn ok_login(verifier: &Verifier, phone: &system_tests::authenticator::Authenticator) {
    let mut terminal = Terminal::start(sshd::key_client(ALICE, &[SAY_WHO]));
    terminal.expect(QUESTION);
    terminal.type_line(&verifier.code(phone));
    ssh_outcome(terminal).logged_in();
}
