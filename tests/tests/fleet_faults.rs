//! What an agent finds instead of a verifier: nothing, nobody, somebody else. Every login is refused, and the cause is
//! named.

use std::fs;
use std::process::{Child, Command, Stdio};

use system_tests::agent::{enrol, fleet_section, verifier};
use system_tests::fleet::FleetHost;
use system_tests::flows::{activated, ssh_outcome};
use system_tests::machine::{ALICE, BOB, Machine, folder, run};
use system_tests::network::add_address;
use system_tests::postern;
use system_tests::sshd;
use system_tests::time::{DaemonClock, wait_for};
use system_tests::verifier::{Verifier, config};

/// Where the verifier is found, and what its certificate says.
const VERIFIER: &str = "10.91.0.1";
/// Its certificate does not say this.
const ANOTHER_NAME: &str = "10.92.0.1";
/// Nobody is there.
const NOBODY: &str = "10.93.0.1";
/// Where an impostor is.
const IMPOSTOR_PORT: u16 = 7_444;

/// Somebody who speaks TLS and HTTP/2 with a certificate that he signed himself; ends when dropped.
struct Impostor(Child);

impl Impostor {
    fn start() -> Self {
        let [key, certificate] = ["impostor.key", "impostor.pem"].map(|name| folder().join(name));
        let names = format!("subjectAltName=IP:{VERIFIER}");
        let made =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        let files = ["-keyout", &key.display().to_string(), "-out", &certificate.display().to_string()];
        run("openssl", &[&made[..], &files[..], &["-subj", "/CN=Postern", "-addext", &names]].concat());
        let mut server = Command::new("openssl");
        server.args(["s_server", "-quiet", "-alpn", "h2", "-accept", &IMPOSTOR_PORT.to_string()]);
        server.arg("-key").arg(key).arg("-cert").arg(certificate);
        let child = server.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let impostor = Self(child.expect("openssl"));
        wait_for("the impostor to listen", || {
            std::net::TcpStream::connect(("127.0.0.1", IMPOSTOR_PORT)).ok()
        });
        impostor
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the host's agent in front of a fault, and shows that nobody gets in and what is said about it.
///
/// * `cause`: a part of what `postern-agent status` says.
#[track_caller]
fn check(host: &mut FleetHost, verifier: &str, cause: &str) {
    host.agent.configure(&[verifier.to_owned()], "timeout = \"2s\"\n");
    host.agent.launch();
    host.agent.wait_until(&format!("told of {cause:?}"), |status| {
        let problem = status["verifiers"][0]["problem"].as_str().unwrap_or_default();
        status["ready"] == false && problem.contains(cause)
    });
    // Neither who needs a code nor who needs none: the password alone is never enough.
    for account in [ALICE, BOB] {
        let shown = host.expect_refusal_without_question(account);
        assert!(!shown.contains(verifier) && !shown.contains("certificate"), "{shown}");
    }
    host.agent.stop();
}

// covers: D08, F15
#[test]
fn whatever_stands_in_for_the_verifier_every_login_is_refused_and_the_cause_is_named() {
    let machine = Machine::new();
    fs::write("/etc/resolv.conf", "nameserver 127.0.0.1\n").expect("no name server");
    let daemon = Verifier::start_with(&config(&fleet_section(&[VERIFIER])));
    for address in [VERIFIER, ANOTHER_NAME] {
        add_address(address);
    }
    let phone = activated(&daemon, ALICE.name);
    let mut host = FleetHost::start(1, "web1");
    host.agent.join(&[verifier(VERIFIER)], &enrol("web1", &[]));
    host.agent.launch_ready();
    host.login(ALICE, &daemon.next_code(&phone)).logged_in();
    host.agent.stop();

    // A blackhole at the host's own door, and a network that loses what is sent.
    host.agent.place().run("ip", &["route", "add", "blackhole", &format!("{NOBODY}/32")]);
    check(&mut host, &verifier(NOBODY), "no connection to 10.93.0.1");
    host.agent.place().run("ip", &["route", "del", "blackhole", &format!("{NOBODY}/32")]);
    check(&mut host, &verifier(NOBODY), "no connection to 10.93.0.1");
    // A reset: nobody listens there.
    check(&mut host, &format!("https://{VERIFIER}:9"), "refused");
    // A name that leads nowhere, because no name server is there, and one that leads to a verifier with another.
    check(&mut host, &verifier("otp.invalid"), "otp.invalid cannot be resolved");
    check(&mut host, &verifier(ANOTHER_NAME), "not valid for name");
    // Somebody else at the right address.
    let impostor = Impostor::start();
    check(&mut host, &format!("https://{VERIFIER}:{IMPOSTOR_PORT}"), "invalid peer certificate");
    drop(impostor);
    // A program that speaks no TLS: the host's own sshd.
    let ssh = format!("https://{}:{}", host.agent.place().address(), sshd::PORT);
    check(&mut host, &ssh, "the TLS handshake failed");
    // A certificate whose time is over, by the host's clock.
    let later = folder().join("later");
    fs::create_dir_all(&later).expect("a folder");
    let clock = DaemonClock::new(&later);
    clock.advance(40 * 24 * 3_600);
    host.agent.set_environment(clock.environment(false));
    check(&mut host, &verifier(VERIFIER), "expired");
    host.agent.set_environment(Vec::new());

    host.agent.configure(&[verifier(VERIFIER)], "");
    host.agent.launch_ready();
    host.login(ALICE, &daemon.next_code(&phone)).logged_in();
    let lines = machine.logged();
    assert!(lines.iter().any(|line| line.contains("pam_postern(sshd:auth)")), "{lines:?}");
}

// covers: F04, P12
#[test]
fn where_the_pam_line_says_fail_open_a_host_without_a_verifier_lets_in_and_a_revoked_one_does_not() {
    let machine = Machine::new();
    machine.protect("sshd", "fail=open");
    let mut daemon = Verifier::start_with(&config(&fleet_section(&[VERIFIER])));
    add_address(VERIFIER);
    let [revoked, cut_off] = [(1, "web1"), (2, "web2")].map(|(number, name)| {
        let mut host = FleetHost::start(number, name);
        host.agent.join(&[verifier(VERIFIER)], &enrol(name, &[]));
        host.agent.launch_ready();
        host
    });
    postern::done(&["host", "revoke", "web1", "--yes"]);
    for _ in 0..3 {
        revoked.expect_refusal_without_question(BOB);
    }
    daemon.stop();
    revoked.expect_refusal_without_question(BOB);
    ssh_outcome(cut_off.login_up_to_password(BOB)).logged_in();
    let opened: Vec<String> =
        machine.logged().into_iter().filter(|line| line.contains("fail-open")).collect();
    assert_eq!(opened.len(), 1, "{opened:?}");
}
