//! A verifier that is missing, slow, broken or lying never lets anybody in.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;
use std::time::Duration;

use pam_harness::application::{Outcome, Transaction};
use pam_harness::code::{AUTH_ERR, AUTHINFO_UNAVAIL, SERVICE_ERR, SUCCESS, SYSTEM_ERR};
use pam_harness::process::{listen, timed};
use pam_harness::site::{Site, set_mode};
use pam_harness::stub::{Request, Stub, ask, done, ok, reply, response, usual_answer};

fn login(site: &Site) -> Outcome {
    Transaction::default().typing(site.folder(), b"123456")
}

/// The code and the log of a login to a verifier that answers `Begin` with these bytes.
fn check(answer: impl FnMut(&Request) -> Vec<u8> + Send + 'static) -> (i32, String) {
    let site = Site::new("timeout=1s");
    let _stub = Stub::answering(&site.socket(), answer);
    let outcome = login(&site);
    assert_eq!(outcome.log.len(), 1, "one line for each result: {:?}", outcome.log);
    (outcome.code, outcome.log.concat())
}

fn allow(request: &Request) -> Vec<u8> {
    ok(&reply(request, &[], done("allow")))
}

// covers: E01
#[test]
fn a_missing_socket_is_unavailable() {
    let site = Site::new("");
    let outcome = login(&site);
    assert_eq!(outcome.code, AUTHINFO_UNAVAIL);
    let expected =
        "pam_postern(postern:auth): unavailable user=alice rhost=- reason=socket-missing reference=-";
    assert_eq!(outcome.log, [expected]);
}

// covers: E01
#[test]
fn a_socket_nobody_listens_on_is_unavailable() {
    let site = Site::new("");
    drop(UnixListener::bind(site.socket()).unwrap());
    set_mode(&site.socket(), 0o600);
    let outcome = login(&site);
    assert_eq!(outcome.code, AUTHINFO_UNAVAIL);
    assert!(outcome.log.concat().contains("reason=connection-refused"));
}

// covers: E01
#[test]
fn a_full_queue_is_unavailable_at_once() {
    let site = Site::new("timeout=20s");
    let listener = UnixListener::bind(site.socket()).unwrap();
    set_mode(&site.socket(), 0o600);
    listen(&listener, 0);
    // With a queue of nought one connection fits; nobody accepts it.
    let _waiting = UnixStream::connect(site.socket()).unwrap();
    let (outcome, time) = timed(|| login(&site));
    assert!(time < Duration::from_secs(1));
    assert_eq!(outcome.code, AUTHINFO_UNAVAIL);
    assert!(outcome.log.concat().contains("reason=verifier-busy"));
}

// covers: E01
#[test]
fn silence_is_unavailable_after_the_timeout() {
    let site = Site::new("timeout=1s");
    let _stub = Stub::start(&site.socket(), |_, stream| Some(stream));
    let (outcome, time) = timed(|| login(&site));
    assert!((1..3).contains(&time.as_secs()), "{:?}", time);
    assert_eq!(outcome.code, AUTHINFO_UNAVAIL);
    assert!(outcome.log.concat().contains("reason=timed-out"));
}

// covers: E01
#[test]
fn a_byte_each_second_is_too_slow() {
    let site = Site::new("timeout=2s");
    let _stub = Stub::start(&site.socket(), |request, mut stream| {
        for byte in allow(request) {
            // The module hangs up; the read is the wait.
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            if stream.write_all(&[byte]).is_err() || matches!(stream.read(&mut [0]), Ok(0)) {
                break;
            }
        }
        None
    });
    let (outcome, time) = timed(|| login(&site));
    assert_eq!(outcome.code, AUTHINFO_UNAVAIL);
    assert!((2..4).contains(&time.as_secs()), "{:?}", time);
}

// covers: E01
#[test]
fn a_login_waits_twenty_seconds_in_all() {
    let site = Site::new("timeout=15s");
    let _stub = Stub::start(&site.socket(), |request, mut stream| {
        if request.path == wire::login::BEGIN_PATH {
            stream.write_all(&usual_answer(request)).unwrap();
            return None;
        }
        Some(stream)
    });
    let (outcome, time) = timed(|| login(&site));
    assert_eq!(outcome.code, AUTHINFO_UNAVAIL);
    // 15 s, and what is left of the 20 s for the retry.
    assert!((19..22).contains(&time.as_secs()), "{:?}", time);
}

// covers: E01
#[test]
fn an_allow_cut_at_any_byte_is_unavailable() {
    let site = Site::new("timeout=1s");
    let mut cut = 0;
    let (lengths, length) = mpsc::channel();
    let _stub = Stub::answering(&site.socket(), move |request| {
        let mut bytes = allow(request);
        lengths.send(bytes.len()).unwrap();
        bytes.truncate(cut);
        cut += 1;
        bytes
    });
    for cut in 0.. {
        let outcome = login(&site);
        if cut == length.recv().unwrap() {
            assert_eq!(outcome.code, SUCCESS, "the whole reply counts");
            break;
        }
        assert_eq!(outcome.code, AUTHINFO_UNAVAIL, "cut at byte {cut}");
    }
}

// covers: E01
#[test]
fn random_bytes_never_let_anybody_in() {
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    let site = Site::new("timeout=1s");
    let _stub = Stub::answering(&site.socket(), move |request| {
        let mut random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 33
        };
        // Half of them begin like a reply.
        let mut bytes = if random() % 2 == 0 { b"HTTP/1.1 200 OK\r\n".to_vec() } else { allow(request) };
        let at = usize::try_from(random()).unwrap() % bytes.len();
        bytes.truncate(at);
        bytes.extend((0..random() % 300 + 1).map(|_| random().to_le_bytes()[0]));
        bytes
    });
    for _ in 0..300 {
        let outcome = login(&site);
        assert!([SYSTEM_ERR, AUTHINFO_UNAVAIL, SERVICE_ERR].contains(&outcome.code), "{:?}", outcome.log);
    }
}

// covers: E01
#[test]
fn lengths_that_lie_are_never_a_reply() {
    for (length, code) in [
        ("0", SYSTEM_ERR),
        ("4294967295", SYSTEM_ERR),
        ("18446744073709551616", SYSTEM_ERR),
        ("9999", AUTHINFO_UNAVAIL),
    ] {
        let (got, _) = check(move |request| {
            let text = String::from_utf8(allow(request)).unwrap();
            let body = text.split("\r\n\r\n").nth(1).unwrap();
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
        });
        assert_eq!(got, code, "Content-Length: {length}");
    }
}

// covers: E01
#[test]
fn an_allow_for_anything_else_is_a_protocol_error() {
    let changes: [(&str, serde_json::Value); 5] = [
        ("api_version", 2.into()),
        ("request_id", "00000000000000000000000000000000".into()),
        ("user", "bob".into()),
        ("service", "sudo".into()),
        ("next", serde_json::Value::Null),
    ];
    for (field, value) in changes {
        let (code, log) = check(move |request| {
            let mut body = reply(request, &[], done("allow"));
            body[field] = value.clone();
            ok(&body)
        });
        assert_eq!(code, SYSTEM_ERR, "{field}");
        assert!(log.contains("failed user=alice rhost=- reason=protocol-error"), "{log}");
    }
}

// covers: E01
#[test]
fn two_replies_are_none() {
    let both = |request: &Request| [allow(request), ok(&reply(request, &[], done("deny")))].concat();
    let (code, _) = check(both);
    assert_eq!(code, SYSTEM_ERR);
    let site = Site::new("timeout=1s");
    let _stub = Stub::start(&site.socket(), |request, mut stream| {
        stream.write_all(&allow(request)).unwrap();
        // The second one comes when the first was surely read.
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let _nothing = stream.read(&mut [0]);
        stream.write_all(&ok(&reply(request, &[], done("deny")))).unwrap();
        None
    });
    assert_eq!(login(&site).code, SYSTEM_ERR);
}

// covers: E01
#[test]
fn a_reply_over_the_limit_is_a_protocol_error() {
    let (code, _) = check(|request| {
        let text = "x".repeat(wire::BODY_BYTES_MAX);
        ok(&reply(request, &[&text], done("allow")))
    });
    assert_eq!(code, SYSTEM_ERR);
    let (code, _) = check(|_| vec![b'x'; 1024 * 1024]);
    assert_eq!(code, SYSTEM_ERR);
}

// covers: E01
#[test]
fn error_statuses_have_their_codes() {
    for (status, code) in [
        ("503 Service Unavailable", AUTHINFO_UNAVAIL),
        ("400 Bad Request", SERVICE_ERR),
        ("403 Forbidden", SERVICE_ERR),
        ("404 Not Found", SERVICE_ERR),
        ("409 Conflict", SERVICE_ERR),
        ("413 Content Too Large", SERVICE_ERR),
        ("500 Internal Server Error", SYSTEM_ERR),
    ] {
        let body = r#"{"error":{"code":"unavailable","message":"x"}}"#;
        assert_eq!(check(move |_| response(status, body)).0, code, "{status}");
    }
}

#[test]
fn each_verdict_has_its_code() {
    for (verdict, code) in [
        ("allow", SUCCESS),
        ("deny", AUTH_ERR),
        ("unavailable", AUTHINFO_UNAVAIL),
        ("allow_on_tuesdays", AUTH_ERR),
    ] {
        let (got, log) = check(move |request| ok(&reply(request, &[], done(verdict))));
        assert_eq!(got, code, "{verdict}");
        assert!(log.ends_with("reference=ABCD-EFGH"), "{log}");
    }
}

#[test]
fn not_required_leaves_the_decision_to_the_rest_of_the_stack() {
    for (rest, code) in [("pam_permit.so", SUCCESS), ("pam_deny.so", AUTH_ERR)] {
        let site = Site::new("");
        let line = site.module_line("");
        site.write_service(&format!("auth required {line}\nauth required {rest}\n"));
        let _stub = Stub::answering(&site.socket(), |request| ok(&reply(request, &[], done("not_required"))));
        assert_eq!(login(&site).code, code);
    }
}

#[test]
fn fail_open_steps_aside_for_an_unavailable_verifier_only_and_says_so() {
    let site = Site::new("");
    let line = site.module_line("fail=open");
    site.write_service(&format!("auth required {line}\nauth required pam_permit.so\n"));
    for _ in 0..2 {
        let missing = login(&site);
        assert_eq!(missing.code, SUCCESS, "pam_permit decides");
        assert!(missing.log.concat().contains("fail-open user=alice rhost=- reason=socket-missing"));
    }
    for (answer, code) in [("deny", AUTH_ERR), ("allow_on_tuesdays", AUTH_ERR)] {
        let _stub = Stub::answering(&site.socket(), move |request| ok(&reply(request, &[], done(answer))));
        assert_eq!(login(&site).code, code);
    }
    let _stub = Stub::answering(&site.socket(), |_| response("200 OK", "{}"));
    assert_eq!(login(&site).code, SYSTEM_ERR);
}

// covers: P12
#[test]
fn a_lost_reply_to_an_answer_is_asked_for_once_more_with_the_same_bytes() {
    let site = Site::new("timeout=1s");
    let stub = Stub::answering(&site.socket(), |request| {
        let mut bytes = usual_answer(request);
        if request.number == 1 {
            bytes.truncate(bytes.len() / 2);
        }
        bytes
    });
    assert_eq!(login(&site).code, SUCCESS);
    let requests = stub.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[1].bytes, requests[2].bytes);
    assert_ne!(requests[0].body["request_id"], requests[1].body["request_id"]);
}

// covers: P12
#[test]
fn nothing_is_asked_a_third_time_and_a_begin_not_even_twice() {
    for (whole, connections) in [(0, 1), (1, 3)] {
        let site = Site::new("timeout=1s");
        let stub = Stub::answering(&site.socket(), move |request| {
            if request.number < whole { usual_answer(request) } else { Vec::new() }
        });
        assert_eq!(login(&site).code, AUTHINFO_UNAVAIL);
        assert_eq!(stub.requests().len(), connections);
    }
}

#[test]
fn a_dialogue_without_end_is_refused() {
    let site = Site::new("");
    let stub = Stub::answering(&site.socket(), |request| ok(&reply(request, &[], ask("More? ", false))));
    let outcome = login(&site);
    assert_eq!(outcome.code, AUTH_ERR);
    assert!(outcome.log.concat().contains("reason=too-many-steps"));
    assert_eq!(stub.requests().len(), 1 + wire::login::STEPS_MAX);
}
