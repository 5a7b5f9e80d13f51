//! A request behind a request: where two readers could take its end for different bytes, nothing behind it is read.

use system_tests::api::{self, KEY, Transport, item, verify};
use system_tests::authenticator::Authenticator;
use system_tests::flows::activated;
use system_tests::machine::Machine;
use system_tests::metrics;
use system_tests::raw::{Door, RawConnection};
use system_tests::verifier::Verifier;
use wire::verify::VERIFY_PATH;

/// A daemon with an API, and alice's phone.
fn start() -> (Verifier, Authenticator) {
    let mut verifier = Verifier::prepare(&api::plain());
    api::write_key(KEY);
    verifier.initialise();
    verifier.launch();
    let phone = activated(&verifier, "alice");
    (verifier, phone)
}

/// A request whose end is in doubt.
struct Shape {
    what: &'static str,
    status: u16,
    /// What stands behind the header lines that are as they should be.
    lines: String,
    /// What comes behind the empty line.
    rest: String,
}

fn shape(what: &'static str, lines: &str, rest: &str) -> Shape {
    Shape { what, status: 400, lines: lines.to_owned(), rest: rest.to_owned() }
}

/// Lengths that are none, or two.
fn lengths(hidden: &str) -> Vec<Shape> {
    let wrong = |what, lines| shape(what, lines, &format!("{{}}{hidden}"));
    vec![
        wrong("a plus sign", "content-length: +2\r\n"),
        wrong("a minus sign", "content-length: -2\r\n"),
        wrong("a list", "content-length: 2, 2\r\n"),
        wrong("two that differ", "content-length: 2\r\ncontent-length: 0\r\n"),
        wrong("two that differ, the other way", "content-length: 0\r\ncontent-length: 2\r\n"),
        wrong("hexadecimal digits", "content-length: 0x2\r\n"),
        wrong("nothing", "content-length:\r\n"),
        wrong("more than 64 bits", "content-length: 18446744073709551618\r\n"),
        wrong("a space in front of the colon", "content-length : 2\r\n"),
        wrong("digits that are not ASCII", "content-length: \u{ff12}\r\n"),
    ]
}

/// A length and chunks, or chunks that are something else.
fn encodings(hidden: &str) -> Vec<Shape> {
    let empty = format!("0\r\n\r\n{hidden}");
    let one = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let size = one.find('\n').expect("a line") + 1;
    let both = format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", empty.len());
    vec![
        shape("a length, then chunks", &both, &empty),
        shape(
            "chunks, then a length",
            &format!("transfer-encoding: chunked\r\ncontent-length: {size}\r\n"),
            &one,
        ),
        shape("a space in front of the colon", "transfer-encoding : chunked\r\n", &empty),
        shape("another encoding", "transfer-encoding: xchunked\r\n", &empty),
        shape("another encoding at last", "transfer-encoding: chunked, identity\r\n", &empty),
        shape(
            "another line at last",
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
            &empty,
        ),
        shape("a control character", "transfer-encoding: \u{b}chunked\r\n", &empty),
    ]
}

/// Chunks whose size or end is in doubt.
fn chunks(hidden: &str) -> Vec<Shape> {
    let chunked = |what, start: &str| {
        shape(what, "transfer-encoding: chunked\r\n", &format!("{start}{{}}\r\n0\r\n\r\n{hidden}"))
    };
    let much = format!("ffffffffffffffff\r\n{hidden}{}", "x".repeat(wire::BODY_BYTES_MAX));
    vec![
        chunked("a size of more than 64 bits", "fffffffffffffffff\r\n"),
        chunked("a size with a plus sign", "+2\r\n"),
        chunked("a size with a minus sign", "-2\r\n"),
        chunked("a size with a prefix", "0x2\r\n"),
        chunked("two sizes", "2 2\r\n"),
        chunked("an extension that ends in a bare line feed", "2;x\n"),
        chunked("a size that ends in a bare line feed", "2\n"),
        chunked("a size that is too small", "1\r\n"),
        Shape { status: 413, ..shape("a size of 64 bits", "transfer-encoding: chunked\r\n", &much) },
    ]
}

/// Lines that end, or go on, where another reader sees none of that.
fn lines(hidden: &str) -> Vec<Shape> {
    let body = format!("{{}}{hidden}");
    let behind = |what, lines: &str| shape(what, &format!("{lines}content-length: 2\r\n"), &body);
    vec![
        behind("a line that goes on", "x: a\r\n content-length: 0\r\n"),
        behind("a line that goes on behind a tab", "x: a\r\n\tcontent-length: 0\r\n"),
        behind("NUL in a value", "x: a\0b\r\n"),
        behind("NUL in a name", "x\0: a\r\n"),
        behind("a bare carriage return", "x: a\rcontent-length: 0\r\n"),
        behind("a line without a colon", "x\r\n"),
        behind("a line without a name", ": a\r\n"),
    ]
}

/// What the standard lets a reader forgive (RFC 9110 §8.6, RFC 9112 §2.2 and §6.3), and another reader in front of us
/// may not.
///
/// * `asked`: a request that is answered with a login.
fn forgivable(hidden: &str, asked: &str) -> Vec<Shape> {
    let length = asked.len();
    let chunk = format!("{length:x}\r\n{asked}\r\n0\r\n\r\n{hidden}");
    let whole = format!("{asked}{hidden}");
    let (line, chunked) = (format!("content-length: {length}\r\n"), "transfer-encoding: chunked\r\n");
    vec![
        shape("two lengths that are the same", &line.repeat(2), &whole),
        shape("a bare line feed", &format!("x: a\n{line}"), &whole),
        shape("an end of bare line feeds", &format!("content-length: {length}\n\n{asked}"), hidden),
        shape("a right code in a chunk, behind a length", &format!("{line}{chunked}"), &chunk),
        shape("a right code in a chunk, in front of a length", &format!("{chunked}{line}"), &chunk),
    ]
}

/// Tells the daemon all shapes, each at once and byte by byte, with a right code hidden behind them.
///
/// * `shapes`: of the hidden request, and of its body.
fn check(shapes: impl Fn(&str, &str) -> Vec<Shape>) {
    let _machine = Machine::new();
    let (verifier, phone) = start();
    let code = verifier.next_code(&phone);
    let (allowed, evaluated) = (metrics::allowed(), metrics::codes_evaluated());
    let mut wrong = Vec::new();
    for door in Door::ALL {
        let asked = item("alice", &code).to_string();
        let head = format!("POST {VERIFY_PATH} HTTP/1.1\r\n{}", door.header());
        // Where it is read, it ends the connection, so that nobody waits.
        let hidden = format!("{head}connection: close\r\ncontent-length: {}\r\n\r\n{asked}", asked.len());
        for Shape { what, status, lines, rest } in shapes(&hidden, &asked) {
            let all = format!("{head}{lines}\r\n{rest}");
            for piece in [all.len(), 1] {
                let heard = said_in_pieces(door, all.as_bytes(), piece);
                let statuses = statuses(&heard);
                if statuses != [status] || heard.contains("verdict") {
                    wrong.push(format!("{door:?}, {what}, in pieces of {piece}: {statuses:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!((metrics::allowed(), metrics::codes_evaluated()), (allowed, evaluated), "nothing was decided");
    assert_eq!(verify(Transport::Tcp, &item("alice", &code)).verdict(), "allow", "nothing used the code up");
}

// covers: F09
#[test]
fn behind_a_request_whose_end_is_in_doubt_nothing_is_read() {
    check(|hidden, _| {
        [lengths, encodings, chunks, lines].map(|shapes| shapes(hidden)).into_iter().flatten().collect()
    });
}

// covers: F09
#[test]
fn what_a_reader_may_forgive_is_refused_too() {
    check(forgivable);
}

/// All that is answered until the daemon, not the caller, closes.
fn said_in_pieces(door: Door, bytes: &[u8], piece: usize) -> String {
    let mut connection = RawConnection::open(door);
    // It may close before it has heard all.
    let _ = bytes.chunks(piece).all(|piece| connection.say(piece));
    String::from_utf8_lossy(&connection.heard_until_closed()).into_owned()
}

fn statuses(heard: &str) -> Vec<u16> {
    heard.split("HTTP/1.1 ").skip(1).filter_map(|reply| reply.get(..3)?.parse().ok()).collect()
}
