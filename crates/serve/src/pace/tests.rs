use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::*;
use crate::trial::Measure;
use crate::{Connection, Peer, Stream, connection};

const BOUNDED: Terms = Terms::BOUNDED;

fn looks_until_overdue(pace: &mut Pace, most: u32) -> Option<(u32, Overdue)> {
    (1..=most).find_map(|second| Some((second, pace.look()?)))
}

// covers: F06
#[tokio::test]
async fn a_connection_without_a_byte_has_ten_seconds() {
    assert_eq!(looks_until_overdue(&mut Pace::new(BOUNDED), 99), Some((10, Overdue::Head)));
}

// covers: F06
#[tokio::test]
async fn a_stranger_has_his_own_time_until_his_first_request_and_who_is_known_has_ten_seconds() {
    let strangers = Terms { stranger: Some(3), ..BOUNDED };
    assert_eq!(looks_until_overdue(&mut Pace::new(strangers), 99), Some((3, Overdue::Head)));

    let mut pace = Pace::new(strangers);
    assert_eq!(looks_until_overdue(&mut pace, 2), None);
    pace.know();
    assert_eq!(looks_until_overdue(&mut pace, 99), Some((8, Overdue::Head)));

    let mut pace = Pace::new(strangers);
    drop(pace.marks().begin());
    assert_eq!(looks_until_overdue(&mut pace, 99), Some((60, Overdue::Idle)));
}

// covers: F07
#[tokio::test]
async fn a_head_that_dribbles_in_has_ten_seconds_and_silence_sixty() {
    let mut pace = Pace::new(BOUNDED);
    drop(pace.marks().begin());
    assert_eq!(looks_until_overdue(&mut pace, 50), None);
    pace.marks().note_read();
    assert_eq!(looks_until_overdue(&mut pace, 99), Some((10, Overdue::Head)));

    let mut pace = Pace::new(BOUNDED);
    drop(pace.marks().begin());
    assert_eq!(looks_until_overdue(&mut pace, 99), Some((60, Overdue::Idle)));
}

// covers: F07
#[tokio::test]
async fn a_request_has_thirty_seconds_whatever_else_goes_on() {
    let mut pace = Pace::new(BOUNDED);
    let slow = pace.marks().begin();
    for _ in 1..30 {
        drop(pace.marks().begin());
        assert_eq!(pace.look(), None);
    }
    assert_eq!(pace.look(), Some(Overdue::Request));
    drop(slow);
    assert_eq!(looks_until_overdue(&mut pace, 58), None);
}

// covers: F07
#[tokio::test]
async fn the_thirty_seconds_begin_with_the_first_byte_of_the_head() {
    let mut pace = Pace::new(BOUNDED);
    assert_eq!(looks_until_overdue(&mut pace, 9), None);
    let first = pace.marks().begin();
    assert_eq!(looks_until_overdue(&mut pace, 99), Some((21, Overdue::Request)));
    drop(first);

    assert_eq!(looks_until_overdue(&mut pace, 40), None, "silence is no head");
    pace.marks().note_read();
    assert_eq!(looks_until_overdue(&mut pace, 5), None);
    let _later = pace.marks().begin();
    let beside = pace.marks().begin();
    assert_eq!(looks_until_overdue(&mut pace, 99), Some((25, Overdue::Request)));
    drop(beside);
}

// covers: F07
#[tokio::test]
async fn a_reply_that_is_not_read_has_what_is_left_of_thirty_seconds() {
    let mut pace = Pace::new(BOUNDED);
    drop(pace.marks().begin());
    pace.marks().note_writing(true);
    assert_eq!(looks_until_overdue(&mut pace, 29), None);
    pace.marks().note_writing(false);
    assert_eq!(pace.look(), None);
    let slow = pace.marks().begin();
    assert_eq!(looks_until_overdue(&mut pace, 12), None);
    drop(slow);
    pace.marks().note_writing(true);
    assert_eq!(looks_until_overdue(&mut pace, 99), Some((18, Overdue::Reply)));
}

#[tokio::test]
async fn where_many_requests_share_a_connection_other_bytes_are_no_head() {
    let mut pace = Pace::new(BOUNDED);
    pace.is_multiplexed = true;
    drop(pace.marks().begin());
    pace.marks().note_read();
    assert_eq!(looks_until_overdue(&mut pace, 99), Some((60, Overdue::Idle)));
}

#[tokio::test]
async fn long_requests_go_on_where_only_the_whole_is_bounded() {
    let mut pace = Pace::new(Terms { conversation: Some(300), ..Terms::default() });
    let _walk = pace.marks().begin();
    pace.marks().note_writing(true);
    assert_eq!(looks_until_overdue(&mut pace, 999), Some((300, Overdue::Conversation)));
}

/// Seconds, on a clock that jumps from event to event, until the daemon ends a connection .
///
/// * `first`: said at once, as much of it as there is room for.
/// * `then`: said a byte at a time, every five seconds; a byte is read as often.
async fn seconds_until_ended(first: &str, then: &[u8]) -> u64 {
    let (mut client, server) = UnixStream::pair().unwrap();
    let connection = Connection::new(Stream::Unix(server), Peer::Account(0));
    let (_stop, stopping) = watch::channel(false);
    let begun = Instant::now();
    let mut served = tokio::spawn(connection::converse(connection, Measure, Arc::default(), stopping));
    let _ = tokio::time::timeout(LOOK_EVERY / 2, client.write_all(first.as_bytes())).await;
    let period = Duration::from_secs(5);
    let mut every = tokio::time::interval_at(begun + period, period);
    let mut bytes = then.iter();
    loop {
        tokio::select! {
            biased;
            ended = &mut served => {
                ended.unwrap();
                return begun.elapsed().as_secs();
            }
            _ = every.tick() => {
                let _ = client.try_read(&mut [0]);
                if let Some(byte) = bytes.next() {
                    client.write_all(&[*byte]).await.unwrap();
                }
            }
        }
    }
}

// covers: F06, F07
#[tokio::test(start_paused = true)]
async fn slow_callers_are_ended_to_the_second() {
    let head = "POST /v1/nothing HTTP/1.1\r\nhost: postern\r\n";
    let whole = format!("{head}content-length: 0\r\n\r\n");
    let with_body = format!("{}content-length: 500\r\n\r\n", head.replace("nothing", "verify"));
    let flood = whole.repeat(20_000);
    let late_end = "\r\n";
    assert_eq!(seconds_until_ended("", b"").await, 10, "not a byte");
    assert_eq!(seconds_until_ended("POST /", b"v1/verify").await, 10, "a head byte by byte");
    assert_eq!(seconds_until_ended(&with_body, b"{\"request_id\"").await, 30, "a body byte by byte");
    let (most, _) = with_body.split_at(with_body.len() - late_end.len() / 2);
    assert_eq!(seconds_until_ended(most, b"\n{\"request_id\"").await, 30, "a head and a body byte by byte");
    assert_eq!(seconds_until_ended(&whole, b"").await, 60, "silence");
    let later = format!("{whole}POST /");
    assert_eq!(seconds_until_ended(&later, b"v1/verify").await, 15, "a later head byte by byte, from 5 s on");
    assert_eq!(seconds_until_ended(&flood, b"").await, 30, "replies byte by byte");
}
