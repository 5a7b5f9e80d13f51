//! Replies that are believed, replies that are not, and requests read back.

use wire::login::Verdict;

use super::*;

const ID: &str = "00112233445566778899aabbccddeeff";

fn login() -> Login {
    Login {
        user: "alice".to_owned(),
        service: "sshd".to_owned(),
        rhost: None,
        ruser: None,
        tty: None,
        columns: None,
        session: None,
    }
}

fn allow_body() -> String {
    format!(
        r#"{{"api_version":1,"request_id":"{ID}","user":"alice","service":"sshd","show":[],"next":{{"done":{{"verdict":"allow","reference":"ABCD-EFGH"}}}}}}"#
    )
}

fn response(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn check(bytes: &[u8]) -> Result<Option<Verdict>, Failure> {
    decode(bytes, &login(), ID).map(|reply| match reply.next {
        Next::Done { verdict, .. } => Some(verdict),
        Next::Ask { .. } => None,
    })
}

#[test]
fn a_reply_about_this_login_is_believed() {
    assert_eq!(check(&response("200 OK", &allow_body())), Ok(Some(Verdict::Allow)));
    let newer = allow_body().replace("allow", "allow_on_tuesdays");
    assert_eq!(check(&response("200 OK", &newer)), Ok(Some(Verdict::Unknown)));
}

#[test]
fn a_reply_cut_anywhere_is_no_reply() {
    let whole = response("200 OK", &allow_body());
    for length in 0..whole.len() {
        assert_eq!(
            check(&whole[..length]),
            Err(Failure::Unavailable(if length == 0 { Unavailable::Closed } else { Unavailable::Cut })),
            "cut at {length}"
        );
    }
}

#[test]
fn a_changed_byte_never_makes_another_reply() {
    let whole = response("200 OK", &allow_body());
    for at in 0..whole.len() {
        for flip in [1, 0x20, 0x80] {
            let mut changed = whole.clone();
            changed[at] ^= flip;
            if let Ok(verdict) = check(&changed) {
                // Only the reference, header names and spelling without meaning may differ.
                assert!(matches!(verdict, Some(Verdict::Allow | Verdict::Unknown)), "byte {at}");
            }
        }
    }
}

#[test]
fn a_reply_about_anything_else_is_a_protocol_error() {
    let changes = [
        ("\"api_version\":1", "\"api_version\":2"),
        (ID, "00112233445566778899aabbccddeefe"),
        ("\"alice\"", "\"bob\""),
        ("\"alice\"", "\"alice \""),
        ("\"sshd\"", "\"sudo\""),
        ("\"next\"", "\"user\":\"alice\",\"next\""),
        ("\"done\":{", "\"ask\":{\"state\":\"s\",\"questions\":[]},\"done\":{"),
        (
            "{\"done\":{\"verdict\":\"allow\",\"reference\":\"ABCD-EFGH\"}}",
            "{\"ask\":{\"state\":\"s\",\"questions\":[]}}",
        ),
        (
            "\"show\":[]",
            "\"show\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]",
        ),
    ];
    for (from, to) in changes {
        let body = allow_body().replacen(from, to, 1);
        assert_ne!(body, allow_body());
        assert!(matches!(check(&response("200 OK", &body)), Err(Failure::Protocol(_))), "{to} was believed");
    }
    let twice = format!("{}{}", allow_body(), allow_body().replace("allow", "deny"));
    assert!(matches!(check(&response("200 OK", &twice)), Err(Failure::Protocol(_))));
}

#[test]
fn a_second_reply_spoils_the_first() {
    let mut bytes = response("200 OK", &allow_body());
    bytes.extend(response("200 OK", &allow_body().replace("allow", "deny")));
    assert_eq!(check(&bytes), Err(Failure::Protocol("bytes-after-the-reply")));
}

#[test]
fn the_length_must_be_one_plain_number_in_bounds() {
    let body = allow_body();
    let length = body.len();
    let heads = [
        "HTTP/1.1 200 OK\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Length: {length}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: +{length}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}, {length}\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 4294967295\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n"),
        format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02".to_owned(),
    ];
    for head in heads {
        let bytes = format!("{head}{body}");
        assert!(matches!(check(bytes.as_bytes()), Err(Failure::Protocol(_))), "{head:?} was believed");
    }
}

#[test]
fn error_statuses_are_never_a_verdict() {
    for (status, expected) in [
        ("503 Service Unavailable", Failure::Unavailable(Unavailable::SaidSo)),
        ("400 Bad Request", Failure::Rejected { status: 400 }),
        ("403 Forbidden", Failure::Rejected { status: 403 }),
        ("404 Not Found", Failure::Rejected { status: 404 }),
        ("409 Conflict", Failure::Rejected { status: 409 }),
        ("413 Content Too Large", Failure::Rejected { status: 413 }),
        ("500 Internal Server Error", Failure::Protocol("status-unknown")),
        ("100 Continue", Failure::Protocol("status-unknown")),
        ("204 No Content", Failure::Protocol("status-unknown")),
        ("302 Found", Failure::Protocol("status-unknown")),
    ] {
        assert_eq!(check(&response(status, &allow_body())), Err(expected));
    }
}

#[test]
fn the_requests_read_back_as_they_were_meant() {
    let request = Continue {
        api_version: 1,
        request_id: ID.to_owned(),
        state: "s".repeat(1000),
        answers: vec!["\u{e9}\"\\ 123456".to_owned(); 32],
    };
    let bytes = encode_continue(&request).unwrap();
    let mut headers = [httparse::EMPTY_HEADER; 8];
    let mut head = httparse::Request::new(&mut headers);
    let length = head.parse(&bytes).unwrap().unwrap();
    assert_eq!((head.method, head.path), (Some("POST"), Some(CONTINUE_PATH)));
    let read: Continue = json::from_slice(&bytes[length..]).unwrap();
    assert_eq!((read.state, read.answers), (request.state, request.answers));
    assert_eq!(content_length(head.headers), Ok(bytes.len() - length));
}
