//! Bodies that are too long, too deep, or no JSON that two readers understand alike: refused, and little is kept.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use system_tests::api::{self, KEY, Transport, item, verify};
use system_tests::flows::activated;
use system_tests::machine::Machine;
use system_tests::metrics;
use system_tests::raw::{Door, RawConnection};
use system_tests::verifier::Verifier;
use wire::login::BEGIN_PATH;
use wire::verify::{BATCH_PATH, VERIFY_PATH};

/// By how much the daemon's memory may grow while it refuses all of them: hundreds of megabytes are said to it. What
/// an allocator keeps for the next time is in it.
const GROWTH_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Bytes of a refusal.
const REFUSAL_BYTES_MAX: usize = 300;

const MEBIBYTE: usize = 1024 * 1024;

/// A body, and how it is refused.
struct Case {
    what: &'static str,
    status: u16,
    lines: &'static str,
    body: Vec<u8>,
}

fn case(what: &'static str, status: u16, body: impl Into<Vec<u8>>) -> Case {
    Case { what, status, lines: "", body: body.into() }
}

/// * `right`: a request that is answered with a login.
fn too_large(right: &str) -> Vec<Case> {
    let spaces = " ".repeat(10 * MEBIBYTE);
    let string = right.replace("\"alice\"", &format!("\"{}\"", "a".repeat(64 * MEBIBYTE)));
    let keys: String = (0..1_000_000).map(|key| format!("\"{key}\":0,")).collect();
    vec![
        case("10 MiB of spaces, then a request", 413, format!("{spaces}{right}")),
        case("a request, then 10 MiB of spaces", 413, format!("{right}{spaces}")),
        case("a string of 64 MiB", 413, string),
        case("a depth of 100,000", 413, "[".repeat(100_000)),
        case("a million keys", 413, right.replacen('{', &format!("{{{keys}"), 1)),
        case(
            "a byte too much",
            413,
            format!("{right}{}", " ".repeat(wire::BODY_BYTES_MAX + 1 - right.len())),
        ),
    ]
}

/// The same, as large as a body may be.
fn ambiguous(right: &str) -> Vec<Case> {
    let deep = |open: &str, count: usize| open.repeat(count);
    let keys: String = (0..5_000).map(|key| format!("\"{key}\":0,")).collect();
    let twice = |name: &str, value: &str| right.replacen('{', &format!("{{\"{name}\":{value},"), 1);
    let user = |value: &str| right.replace("\"alice\"", value);
    vec![
        case("arrays in arrays", 400, deep("[", 60_000)),
        case("objects in objects", 400, deep("{\"user\":", 8_000)),
        case("a depth in a field", 400, user(&format!("{}{}", deep("[", 30_000), deep("]", 30_000)))),
        case("thousands of keys", 400, right.replacen('{', &format!("{{{keys}"), 1)),
        case("a user twice", 400, twice("user", "\"bob\"")),
        case("a code twice", 400, twice("code", "\"000000\"")),
        case("a key twice, once escaped", 400, twice("us\\u0065r", "\"bob\"")),
        case("a number beyond all numbers", 400, user("1e400")),
        case("a number beyond all numbers in a field of its own", 400, twice("x", "1e400")),
        case("half of a surrogate pair", 400, user("\"\\ud800\"")),
        case("the other half", 400, user("\"alice\\udc00\"")),
        case("bytes that are no UTF-8", 400, [right.as_bytes(), b"\xff"].concat()),
        case("an overlong NUL", 400, right.replace("alice", "al\0ce").into_bytes()),
        case("two requests", 400, format!("{right}{right}")),
        case("nothing", 400, ""),
        case("a byte-order mark", 400, format!("\u{feff}{right}")),
        case("a comment", 400, format!("{right}//")),
        case("a list of a request", 400, format!("[{right}]")),
    ]
}

/// What would be a request if somebody unpacked it.
fn packed(right: &str) -> Vec<Case> {
    let gzipped =
        |text: &str| Case { lines: "content-encoding: gzip\r\n", ..case("gzip", 400, gzip(text.as_bytes())) };
    let bomb = format!("{}{right}", " ".repeat(10 * MEBIBYTE));
    vec![gzipped(right), Case { what: "a bomb", ..gzipped(&bomb) }]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    let mut input = gzip.stdin.take().expect("its input");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(bytes).expect("telling gzip"));
        gzip.wait_with_output().expect("gzip")
    });
    output.stdout
}

// covers: F11
#[test]
fn bodies_that_are_too_much_or_ambiguous_are_refused_in_a_line_and_leave_nothing() {
    let _machine = Machine::new();
    let mut verifier = Verifier::prepare(&api::plain());
    api::write_key(KEY);
    verifier.initialise();
    verifier.launch();
    let phone = activated(&verifier, "alice");
    let code = verifier.next_code(&phone);
    let right = item("alice", &code).to_string();
    let (allowed, evaluated) = (metrics::allowed(), metrics::codes_evaluated());
    let before = metrics::resident_bytes(verifier.id());
    let mut wrong = Vec::new();
    for case in [too_large, ambiguous, packed].into_iter().flat_map(|cases| cases(&right)) {
        let routes = [
            (Door::Login, BEGIN_PATH),
            (Door::Login, VERIFY_PATH),
            (Door::Login, BATCH_PATH),
            (Door::Api, VERIFY_PATH),
            (Door::Api, BATCH_PATH),
        ];
        for (door, path) in routes {
            for is_chunked in [false, true] {
                let answer = answer(door, path, &case, is_chunked);
                if let Some(why) = fault(&answer, case.status) {
                    wrong.push(format!("{door:?} {path}, {}, chunked {is_chunked}: {why}", case.what));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));
    let grown = metrics::resident_bytes(verifier.id()).saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more");
    assert_eq!((metrics::allowed(), metrics::codes_evaluated()), (allowed, evaluated), "nothing was decided");
    assert_eq!(verify(Transport::Tcp, &item("alice", &code)).verdict(), "allow", "nothing used the code up");
}

/// Sends a body of announced length, or in two chunks, and gives back all that comes until the end.
fn answer(door: Door, path: &str, case: &Case, is_chunked: bool) -> String {
    let Case { lines, body, .. } = case;
    let head = format!("POST {path} HTTP/1.1\r\n{}connection: close\r\n{lines}", door.header());
    let mut connection = RawConnection::open(door);
    // Whoever is refused early is not listened to any further.
    let _ = if is_chunked {
        let (first, second) = body.split_at(body.len() / 2);
        connection.say(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes())
            && [first, second].into_iter().filter(|piece| !piece.is_empty()).all(|piece| {
                let size = format!("{:x}\r\n", piece.len());
                connection.say(&[size.as_bytes(), piece, b"\r\n"].concat())
            })
            && connection.say(b"0\r\n\r\n")
    } else {
        connection.say(format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes())
            && connection.say(body)
    };
    String::from_utf8_lossy(&connection.heard_until_closed()).into_owned()
}

/// What is wrong with a refusal: it is one, with this status and a line that says why.
fn fault(answer: &str, status: u16) -> Option<String> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let is_told = head.starts_with(&format!("HTTP/1.1 {status} ")) && head.matches("HTTP/1.1").count() == 1;
    let message = serde_json::from_str::<Value>(body).ok().and_then(|body| {
        let message = body["error"]["message"].as_str()?;
        Some(!message.is_empty() && message.lines().count() == 1)
    });
    let is_good = is_told && message == Some(true) && body.len() <= REFUSAL_BYTES_MAX;
    (!is_good).then(|| format!("{answer:?}"))
}
