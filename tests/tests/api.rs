//! One code, one verdict, without a dialogue: over every transport, for whoever has the key.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use rustix::process::Signal;
use serde_json::Value;
use system_tests::api::{self, KEY, Transport, answer, ask, item, verify, verify_all};
use system_tests::authenticator::Authenticator;
use system_tests::flows::activated;
use system_tests::login_socket::Login;
use system_tests::machine::Machine;
use system_tests::verifier::{CONFIG, Verifier, log_text};
use system_tests::{postern, programs, time};
use wire::login::Verdict;
use wire::verify::VERIFY_PATH;

const PLAIN: [Transport; 4] = [Transport::Unix, Transport::UnixHttp2, Transport::Tcp, Transport::TcpHttp2];

/// A daemon with this configuration, a key and a certificate, and alice's phone.
fn start(config: &str) -> (Verifier, Authenticator) {
    let mut verifier = Verifier::prepare(config);
    api::write_key(KEY);
    api::make_certificate();
    verifier.initialise();
    verifier.launch();
    let phone = activated(&verifier, "alice");
    (verifier, phone)
}

/// Shows a right code by one transport, then by the next.
fn assert_once_each(transports: &[Transport], verifier: &Verifier, phone: &Authenticator) {
    let next = transports.iter().cycle().skip(1);
    for (transport, other) in transports.iter().zip(next) {
        let code = verifier.next_code(phone);
        let first = verify(*transport, &item("alice", &code));
        assert_eq!((first.status, first.verdict()), (200, "allow"), "{transport:?}: {first:?}");
        let is_http2 = matches!(transport, Transport::UnixHttp2 | Transport::TcpHttp2 | Transport::TlsHttp2);
        assert_eq!(first.version, if is_http2 { "2" } else { "1.1" }, "{transport:?}");
        let second = verify(*other, &item("alice", &code));
        assert_eq!((second.status, second.verdict()), (200, "deny"), "{transport:?}, {other:?}: {second:?}");
    }
}

// covers: A05
#[test]
fn a_right_code_is_accepted_once_over_whatever_transport() {
    let _machine = Machine::new();
    let (verifier, phone) = start(&api::plain());
    assert_once_each(&PLAIN, &verifier, &phone);
    let code = verifier.next_code(&phone);
    assert_eq!(verify(Transport::Tcp, &item("alice", &code)).verdict(), "allow");
    assert_eq!(Login::by_ssh("alice").verdict(&code), Verdict::Deny, "the dialogue knows of it");
    let code = verifier.next_code(&phone);
    assert_eq!(Login::by_ssh("alice").verdict(&code), Verdict::Allow);
    assert_eq!(verify(Transport::TcpHttp2, &item("alice", &code)).verdict(), "deny");
}

// covers: A05, F05
#[test]
fn with_a_certificate_only_tls_1_3_is_spoken() {
    let _machine = Machine::new();
    let (verifier, phone) = start(&api::encrypted());
    assert_once_each(&[Transport::Tls, Transport::TlsHttp2, Transport::Unix], &verifier, &phone);
    let code = verifier.next_code(&phone);
    let asked = item("alice", &code);
    let older = ask(Transport::Tls, VERIFY_PATH, &asked, &["--tls-max", "1.2"]);
    assert_eq!(older.status.code(), Some(35), "a handshake that fails: {older:?}");
    let unencrypted = ask(Transport::Tcp, VERIFY_PATH, &asked, &[]);
    assert!(!unencrypted.status.success(), "{unencrypted:?}");
    for garbage in [&b"\x16\x03\x01\x00\x05\x01"[..], &[0xff; 4_096], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = TcpStream::connect(api::ADDRESS).expect("connecting");
        stream.write_all(garbage).expect("writing");
        stream.shutdown(std::net::Shutdown::Write).expect("writing");
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        assert!(!said.starts_with(b"HTTP"), "{said:?}");
    }
    assert_eq!(verify(Transport::Tls, &asked).verdict(), "allow", "nothing used the code up");
}

// covers: A05
#[test]
fn of_many_that_show_one_code_at_once_one_is_let_in() {
    let _machine = Machine::new();
    let (verifier, phone) = start(&api::plain());
    for _ in 0..system_tests::rounds("POSTERN_API_ROUNDS", 5) {
        let code = verifier.next_code(&phone);
        let start = Barrier::new(2 * PLAIN.len());
        let verdicts: Vec<String> = thread::scope(|scope| {
            let asking = [PLAIN, PLAIN].concat().into_iter().map(|transport| {
                let (item, start) = (item("alice", &code), &start);
                scope.spawn(move || {
                    start.wait();
                    verify(transport, &item).verdict().to_owned()
                })
            });
            let asking: Vec<_> = asking.collect();
            asking.into_iter().map(|asked| asked.join().expect("an answer")).collect()
        });
        assert_eq!(verdicts.iter().filter(|verdict| *verdict == "allow").count(), 1, "{verdicts:?}");
    }
}

// covers: A05
#[test]
fn each_item_of_a_batch_gets_its_own_verdict() {
    let _machine = Machine::new();
    let (verifier, alice) = start(&api::plain());
    let [bob, carol] = ["bob", "carol"].map(|user| activated(&verifier, user));
    for guess in 0..30 {
        let answer = verify(Transport::Tcp, &item("carol", &format!("{guess:06}")));
        assert_eq!(answer.verdict(), "deny");
    }
    verifier.clock.advance(30);
    let replayed = verifier.code(&bob);
    assert_eq!(verify(Transport::Tcp, &item("bob", &replayed)).verdict(), "allow");
    let items = [
        item("alice", &verifier.code(&alice)),
        item("alice", &verifier.wrong_code(&alice)),
        item("bob", &replayed),
        item("nobody", "123456"),
        item("carol", &verifier.code(&carol)),
    ];
    for transport in PLAIN {
        let answer = verify_all(transport, &items);
        assert_eq!(answer.verdicts(), ["allow", "deny", "deny", "deny", "deny"], "{transport:?}: {answer:?}");
        let reason = |index: usize| {
            let reference = answer.body["items"][index]["reference"].as_str().expect("a reference");
            postern::explain(reference).reason
        };
        let reasons: Vec<String> = (0..items.len()).map(reason).collect();
        assert_eq!(reasons[1..4], ["wrong_code", "replayed", "unknown_user"], "{reasons:?}");
        assert!(reasons[4].contains("throttled"), "{reasons:?}");
    }
}

// covers: F15
#[test]
fn without_the_key_nothing_is_decided() {
    let _machine = Machine::new();
    let (verifier, phone) = start(&api::plain());
    let asked = item("alice", &verifier.next_code(&phone));
    let wrong = format!("authorization: Bearer {}", KEY.replace('f', "e"));
    for transport in [Transport::Tcp, Transport::TcpHttp2] {
        for more in [&[][..], &["--header", wrong.as_str()], &["--header", "authorization: Bearer"]] {
            let refused = answer(&ask(transport, VERIFY_PATH, &asked, more));
            let code = refused.body["error"]["code"].as_str();
            assert_eq!((refused.status, code), (401, Some("not_allowed")), "{refused:?}");
        }
    }
    let elsewhere = format!("authorization: Bearer {KEY}");
    for path in ["/v1/login/begin", "/v1/status", "/metrics", "/"] {
        let refused = answer(&ask(Transport::Tcp, path, &asked, &["--header", &elsewhere]));
        assert_eq!(refused.status, 404, "{path}");
    }
    assert_eq!(verify(Transport::Tcp, &asked).verdict(), "allow", "nothing used the code up");
}

// covers: G16
#[test]
fn a_new_key_is_taken_over_without_a_restart_and_a_broken_one_is_not() {
    let _machine = Machine::new();
    let (verifier, _phone) = start(&api::plain());
    let other = KEY.replace("00", "ff");
    let status = |key: &str| {
        let header = format!("authorization: Bearer {key}");
        answer(&ask(Transport::Tcp, VERIFY_PATH, &Value::Null, &["--header", &header])).status
    };
    assert_eq!((status(KEY), status(&other)), (400, 401));
    api::write_key("no key");
    verifier.signal(Signal::HUP);
    verifier.expect_log("the configuration is kept as it was: /etc/postern/api.key holds no key");
    assert_eq!((status(KEY), status(&other)), (400, 401));
    api::write_key(&other);
    verifier.signal(Signal::HUP);
    time::wait_for("the new key to be the one", || (status(&other) == 400).then_some(()));
    assert_eq!(status(KEY), 401);
}

// covers: G16
#[test]
fn a_connection_that_is_kept_open_does_not_keep_the_daemon() {
    let _machine = Machine::new();
    let (mut verifier, _phone) = start(&api::plain());
    let mut kept = TcpStream::connect(api::ADDRESS).expect("connecting");
    let request = format!(
        "POST / HTTP/1.1\r\nhost: postern\r\nauthorization: Bearer {KEY}\r\ncontent-length: 0\r\n\r\n"
    );
    kept.write_all(request.as_bytes()).expect("asking");
    let mut first = [0; 12];
    kept.read_exact(&mut first).expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 404");
    assert!(verifier.stop().success());
    kept.read_to_end(&mut Vec::new()).expect("its end");
    let log = log_text();
    assert!(log.contains("stopped in order") && !log.contains("still running"), "{log}");
}

// covers: E25
#[test]
fn the_check_of_the_configuration_says_what_is_wrong_with_the_api() {
    let _machine = Machine::new();
    let _verifier = Verifier::prepare(&api::plain());
    let check = |expected: &str| {
        let output = Command::new(programs::ours("verifierd")).args(["config", "check"]).output();
        let output = output.expect("verifierd");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(said.contains(expected), "{said:?} does not say {expected:?}");
    };
    check("no file /etc/postern/api.key");
    fs::write(api::KEY_FILE, "secret\n").expect("writing");
    fs::set_permissions(api::KEY_FILE, fs::Permissions::from_mode(0o644)).expect("writing");
    check("/etc/postern/api.key has mode 0644; take away 0044");
    api::write_key("secret");
    check("/etc/postern/api.key holds no key: 64 hexadecimal digits are needed");
    api::write_key(KEY);
    fs::write(CONFIG, api::plain().replace("127.0.0.1", "0.0.0.0")).expect("writing");
    check(
        "api.listen = \"0.0.0.0:7878\": without certificate_file and private_key_file only a loopback address",
    );
    fs::write(CONFIG, api::encrypted().replace("127.0.0.1", "0.0.0.0")).expect("writing");
    check("no file /etc/postern/api.pem");
    api::make_certificate();
    let output = Command::new(programs::ours("verifierd")).args(["config", "check"]).output();
    assert!(output.expect("verifierd").status.success());
}

// covers: G16
#[test]
fn a_socket_that_systemd_made_is_served_and_stays_on_the_machine_without_a_certificate() {
    let _machine = Machine::new();
    let mut verifier = Verifier::prepare(&api::plain()).in_real_time();
    api::write_key(KEY);
    verifier.initialise();
    let activate = |address| ["systemd-socket-activate", "--listen", address, "--fdname", "api"];
    verifier.spawn_under(&activate("127.0.0.1:7979"));
    // It waits for the first caller before it starts anything.
    let first = time::wait_for("the socket", || TcpStream::connect("127.0.0.1:7979").ok());
    verifier.wait_until_ready();
    drop(first);
    let mut stream = TcpStream::connect("127.0.0.1:7979").expect("the socket of systemd");
    stream.write_all(b"POST / HTTP/1.1\r\nhost: postern\r\ncontent-length: 0\r\n\r\n").expect("asking");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("an answer");
    assert!(said.starts_with("HTTP/1.1 401"), "{said}");
    assert!(TcpStream::connect(api::ADDRESS).is_err(), "systemd's socket is instead of ours");
    assert!(verifier.stop().success());

    verifier.spawn_under(&activate("0.0.0.0:7979"));
    let _first = time::wait_for("the socket", || TcpStream::connect("127.0.0.1:7979").ok());
    assert!(!verifier.wait_for_end().success());
    assert!(log_text().contains("without a certificate only a loopback address is served"), "{}", log_text());
}
