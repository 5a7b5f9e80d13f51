//! Nothing can be decided: closed by default, open only where a PAM file says so, and never silently.

use rustix::process::Signal;
use system_tests::flows::{SAY_WHO, activated, ssh_login, ssh_outcome, sudo_up_to_code};
use system_tests::machine::{ALICE, Machine};
use system_tests::sshd::{self, Sshd};
use system_tests::verifier::Verifier;
use system_tests::{postern, time};

/// Longest time the module may take to give up. Source: check E01.
const GIVE_UP_SECONDS: u64 = 20;

// covers: P12, E01
#[test]
fn without_a_daemon_every_login_is_refused() {
    let machine = Machine::new();
    let mut verifier = Verifier::start();
    let _sshd = Sshd::start();
    let _phone = activated(&verifier, "alice");
    verifier.kill();

    ssh_outcome(sshd::login_up_to_password(ALICE, SAY_WHO)).refused();
    let mut sudo = sudo_up_to_code(&machine, ALICE);
    sudo.expect("password for alice: ");
    let (ended, _) = sudo.interrupt_until_end();
    assert!(!ended.status.success() && !ended.transcript.contains("root\r\n"), "{}", ended.transcript);
    machine.expect_logged(&["pam_postern(sshd:auth)", "user=alice"]);
}

// covers: P12, E01
#[test]
fn a_daemon_that_says_nothing_is_given_up_in_time() {
    let _machine = Machine::new();
    let verifier = Verifier::start();
    let _sshd = Sshd::start();
    let _phone = activated(&verifier, "alice");
    verifier.signal(Signal::STOP);
    let begun = time::now();
    ssh_outcome(sshd::login_up_to_password(ALICE, SAY_WHO)).refused();
    let took = begun.elapsed().as_secs();
    verifier.signal(Signal::CONT);
    // Three seconds are PAM's own delay after a failure, with its spread.
    assert!(took <= GIVE_UP_SECONDS + 5, "refused after {took} s");
}

// covers: P12
#[test]
fn fail_open_lets_in_for_its_service_only_and_logs_each_use() {
    let machine = Machine::new();
    machine.protect("sudo", "fail=open");
    let mut verifier = Verifier::start();
    let _sshd = Sshd::start();
    let phone = activated(&verifier, "alice");

    // While the daemon decides, fail=open changes nothing.
    let mut refused = sudo_up_to_code(&machine, ALICE);
    refused.expect("One-time password: ");
    refused.type_line(&verifier.wrong_code(&phone));
    refused.expect("password for alice: ");
    drop(refused);

    verifier.kill();
    for _ in 0..2 {
        let before = open_lines(&machine);
        let mut sudo = sudo_up_to_code(&machine, ALICE);
        sudo.expect("root\r\n");
        assert!(sudo.finish().status.success());
        let after =
            time::wait_for("a log line", || Some(open_lines(&machine)).filter(|count| *count > before));
        assert_eq!(after, before + 1, "each use is logged once: {:?}", machine.logged());
    }
    ssh_outcome(sshd::login_up_to_password(ALICE, SAY_WHO)).refused();
}

// covers: P12
#[test]
fn a_mistake_in_the_pam_file_is_a_refusal() {
    let machine = Machine::new();
    let verifier = Verifier::start();
    let phone = activated(&verifier, "alice");
    let _sshd = Sshd::start();
    for mistake in ["fail=opne", "fial=open", "socket=relative", "timeout=0s"] {
        machine.protect("sshd", mistake);
        ssh_outcome(sshd::login_up_to_password(ALICE, SAY_WHO)).refused();
    }
    machine.protect("sshd", "");
    ssh_login(ALICE, &verifier.code(&phone)).logged_in();
}

// covers: G15
#[test]
fn logins_go_on_without_a_system_log() {
    let _machine = Machine::new();
    let verifier = Verifier::start();
    let phone = activated(&verifier, "alice");
    let _sshd = Sshd::start();
    std::fs::remove_file("/dev/log").expect("/dev/log");
    ssh_login(ALICE, &verifier.code(&phone)).logged_in();
    ssh_login(ALICE, &verifier.wrong_code(&phone)).refused();

    // A log that nobody reads, its queue full.
    let _deaf = std::os::unix::net::UnixDatagram::bind("/dev/log").expect("/dev/log");
    let writer = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
    writer.set_nonblocking(true).expect("a socket");
    while writer.send_to(b"<13>full", "/dev/log").is_ok() {}
    let begun = time::now();
    verifier.clock.advance(30);
    let reply = system_tests::login_socket::Login::by_ssh("alice").verdict(&verifier.code(&phone));
    assert_eq!(reply, wire::login::Verdict::Allow);
    assert!(begun.elapsed().as_secs() < 5, "the daemon does not wait for the log");
    assert!(postern::status().ready);
}

fn open_lines(machine: &Machine) -> usize {
    machine
        .logged()
        .iter()
        .filter(|line| line.contains("pam_postern(sudo:auth)") && line.contains("open"))
        .count()
}
