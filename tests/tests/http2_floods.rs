//! HTTP/2 as a weapon: cheap to say, dear to serve. The daemon ends it or bears it, and others log in meanwhile.

use std::sync::mpsc::channel;
use std::thread;

use system_tests::api::{self, KEY, Transport, item, verify};
use system_tests::authenticator::Authenticator;
use system_tests::flows::activated;
use system_tests::http2::{self, END_HEADERS, PREFACE, frame, kind, stream};
use system_tests::machine::Machine;
use system_tests::metrics;
use system_tests::raw::{Door, RawConnection};
use system_tests::verifier::Verifier;
use wire::verify::{BATCH_ITEMS_MAX, BATCH_PATH, VERIFY_PATH};

/// By how much the daemon's memory may grow under one flood: the replies of all requests that one connection may have
/// at once (12 MiB of batches), a megabyte of windows, and what an allocator keeps.
const GROWTH_BYTES_MAX: u64 = 48 * 1024 * 1024;

/// And for each code that it decided: the verdict, which a retry gets again, and its record.
const REMEMBERED_BYTES_MAX: u64 = 2 * 1024;

/// Requests that one connection may have at once, as `serve::connection` says.
const STREAMS_MAX: u64 = 256;

/// Codes of one flood that may be decided: a batch for each of the requests that a connection may have at once. All of
/// them together would be more by far.
const DECIDED_MAX: u64 = STREAMS_MAX * BATCH_ITEMS_MAX as u64;

/// One flood.
struct Flood {
    what: &'static str,
    /// Said first, after the preface and empty settings.
    first: Vec<u8>,
    /// The n-th piece of it.
    piece: fn(u32) -> Vec<u8>,
    /// How many pieces.
    times: u32,
    /// Whether the daemon ends the connection, or listens no more, before it has heard all.
    is_ended: bool,
    /// Whether what the daemon says is read.
    is_read: bool,
}

/// A request about somebody who has no token: decided, counted, and nobody is locked by it.
fn guess(number: u32) -> Vec<u8> {
    http2::request(number, VERIFY_PATH, item("nobody", "123456").to_string().as_bytes())
}

fn floods() -> [Flood; 8] {
    let post = || http2::post(VERIFY_PATH);
    let flood =
        |what, first, piece, times| Flood { what, first, piece, times, is_ended: true, is_read: true };
    let borne = |what, first, piece, times| Flood { is_ended: false, ..flood(what, first, piece, times) };
    [
        flood(
            "requests that are taken back",
            Vec::new(),
            |number| [guess(number), frame(kind::RST_STREAM, 0, stream(number), &[0, 0, 0, 8])].concat(),
            50_000,
        ),
        flood(
            "headers that never end",
            frame(kind::HEADERS, 0, stream(0), &post()),
            |_| frame(kind::CONTINUATION, 0, stream(0), &[0; 1_024]),
            50_000,
        ),
        flood(
            "headers that never end, a byte at a time",
            frame(kind::HEADERS, 0, stream(0), &post()),
            |_| frame(kind::CONTINUATION, 0, stream(0), &[]),
            200_000,
        ),
        flood(
            "empty pieces of a body",
            frame(kind::HEADERS, END_HEADERS, stream(0), &post()),
            |_| frame(kind::DATA, 0, stream(0), &[]).repeat(100),
            5_000,
        ),
        borne("settings", Vec::new(), |_| frame(kind::SETTINGS, 0, 0, &[]).repeat(100), 2_000),
        Flood {
            is_read: false,
            ..flood(
                "pings whose answers nobody reads",
                Vec::new(),
                |_| frame(kind::PING, 0, 0, &[7; 8]).repeat(1_000),
                1_000,
            )
        },
        flood("windows of a byte", http2::window(1), guess, 50_000),
        flood(
            "batches for windows of nothing",
            http2::window(0),
            |number| {
                let items: Vec<_> = (0..BATCH_ITEMS_MAX).map(|_| item("nobody", "123456")).collect();
                let batch = serde_json::json!({ "items": items });
                http2::request(number, BATCH_PATH, batch.to_string().as_bytes())
            },
            3_000,
        ),
    ]
}

/// A daemon with an API, and alice's phone.
fn start() -> (Verifier, Authenticator) {
    let mut verifier = Verifier::prepare(&api::plain());
    api::write_key(KEY);
    verifier.initialise();
    verifier.launch();
    let phone = activated(&verifier, "alice");
    (verifier, phone)
}

// covers: F10
#[test]
fn a_flood_of_frames_is_ended_or_borne_and_others_log_in_meanwhile() {
    let _machine = Machine::new();
    let (verifier, phone) = start();
    let mut wrong = Vec::new();
    for door in Door::ALL {
        for flood in floods() {
            let what = flood.what;
            let (decided, before) = (metrics::refused(), metrics::resident_bytes(verifier.id()));
            let connection = RawConnection::open(door);
            let is_ended = said_while_others_log_in(&flood, &connection, &verifier, &phone);
            let grown = metrics::resident_bytes(verifier.id()).saturating_sub(before);
            let decided = metrics::refused() - decided;
            let figures =
                format!("{door:?}, {what}: ended {is_ended}, {grown} bytes more, {decided} decided");
            println!("{figures}");
            let growth_max = GROWTH_BYTES_MAX + decided * REMEMBERED_BYTES_MAX;
            let is_bounded = grown < growth_max && decided <= DECIDED_MAX;
            if !is_bounded || is_ended != flood.is_ended {
                wrong.push(figures);
            }
            connection.close();
        }
    }
    assert!(wrong.is_empty(), "{} floods went otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

/// Says a flood, lets alice log in in the middle of it, and tells whether the daemon ended it.
fn said_while_others_log_in(
    flood: &Flood,
    connection: &RawConnection,
    verifier: &Verifier,
    phone: &Authenticator,
) -> bool {
    thread::scope(|scope| {
        if flood.is_read {
            let heard = connection.share();
            scope.spawn(move || heard.heard_until_closed());
        }
        let (middle, at_middle) = channel();
        let said = scope.spawn(move || {
            let mut connection = connection.share();
            let mut say = |bytes: &[u8]| {
                if flood.is_read { connection.say(bytes) } else { connection.say_what_is_taken(bytes) }
            };
            let first = [PREFACE, &frame(kind::SETTINGS, 0, 0, &[]), &flood.first].concat();
            let mut is_open = say(&first);
            for number in 0..flood.times {
                if number == flood.times / 2 {
                    let _ = middle.send(());
                }
                is_open = is_open && say(&(flood.piece)(number));
            }
            is_open
        });
        at_middle.recv().expect("the middle of it");
        for transport in [Transport::Unix, Transport::TcpHttp2] {
            let code = verifier.next_code(phone);
            assert_eq!(verify(transport, &item("alice", &code)).verdict(), "allow", "{}", flood.what);
        }
        let is_ended = !said.join().expect("it was said");
        connection.close();
        is_ended
    })
}
