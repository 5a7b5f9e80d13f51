//! Crowds, slow callers and want of descriptors: whoever logs in meanwhile is let in, and the daemon ends the others.
//!
//! Only what happens is judged here, not when: that deadlines are right to the second, `verifierd`'s own tests show on a
//! clock of theirs (`serve::pace`).

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, setrlimit};
use system_tests::api::{self, KEY, Transport, item, verify};
use system_tests::authenticator::Authenticator;
use system_tests::flows::activated;
use system_tests::login_socket::Login;
use system_tests::machine::Machine;
use system_tests::time::{now, wait_at_most};
use system_tests::verifier::Verifier;
use system_tests::{metrics, postern};
use wire::login::Verdict;

/// Whatever lasts longer than this hangs. All deadlines of the daemon together are less than two minutes.
const HANG: Duration = Duration::from_secs(600);

/// Between two bytes of a slow caller. Source: check F07.
const BETWEEN_BYTES: Duration = Duration::from_secs(5);

/// Connections of one source, as `serve::seats` says.
const PER_SOURCE: usize = 128;

/// A daemon with this configuration, and alice's phone.
fn start(config: &str, wrapper: &[&str]) -> (Verifier, Authenticator) {
    let mut verifier = Verifier::prepare(config);
    api::write_key(KEY);
    api::make_certificate();
    verifier.initialise();
    verifier.launch_under(wrapper);
    let phone = activated(&verifier, "alice");
    (verifier, phone)
}

/// A caller, of whichever kind.
enum Caller {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Caller {
    fn by_tcp() -> Self {
        let stream = TcpStream::connect(api::ADDRESS).expect("connecting");
        stream.set_nonblocking(true).expect("a socket");
        Self::Tcp(stream)
    }

    fn by_unix(socket: &str) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_nonblocking(true).expect("a socket");
        Ok(Self::Unix(stream))
    }

    /// Writes what can be written at once, and says how much that is: nothing where the connection has ended.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let written = match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        };
        written.unwrap_or(0)
    }

    /// Reads a byte, if there is one.
    fn read_byte(&mut self) {
        let _ = match self {
            Self::Tcp(stream) => stream.read(&mut [0]),
            Self::Unix(stream) => stream.read(&mut [0]),
        };
    }
}

impl AsFd for Caller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

fn timespec(wait: Duration) -> Timespec {
    Timespec::try_from(wait).expect("a short time")
}

/// How many of these the daemon has ended.
fn ended(callers: &[Caller]) -> usize {
    let mut fds: Vec<_> = callers.iter().map(|caller| PollFd::new(caller, PollFlags::RDHUP)).collect();
    poll(&mut fds, Some(&timespec(Duration::ZERO))).expect("poll");
    fds.iter().filter(|fd| !fd.revents().is_empty()).count()
}

/// Waits for something that surely happens, however busy the machine is.
fn wait_long_for<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    wait_at_most(HANG, probe).unwrap_or_else(|| panic!("hangs: {what}"))
}

/// Logs alice in.
#[track_caller]
fn assert_let_in(code: &str) {
    assert_eq!(Login::by_ssh("alice").verdict(code), Verdict::Allow);
}

fn descriptors(verifier: &Verifier) -> usize {
    fs::read_dir(format!("/proc/{}/fd", verifier.id().as_raw_nonzero())).expect("its descriptors").count()
}

/// Seconds of processor time that the daemon has used.
fn processor_seconds(verifier: &Verifier) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", verifier.id().as_raw_nonzero())).expect("stat");
    let (_, fields) = stat.rsplit_once(") ").expect("stat");
    let ticks: Vec<f64> =
        fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse().expect("ticks")).collect();
    (ticks[0] + ticks[1]) / 100.0
}

/// The share of a core that the daemon uses in the next two seconds. Where the machine is busy it is less.
fn load(verifier: &Verifier) -> f64 {
    let (before, begun) = (processor_seconds(verifier), now());
    assert!(wait_at_most(Duration::from_secs(2), || None::<()>).is_none());
    (processor_seconds(verifier) - before) / begun.elapsed().as_secs_f64()
}

fn allow_many_descriptors() {
    let limit = Rlimit { current: Some(16_000), maximum: Some(16_000) };
    setrlimit(Resource::Nofile, limit).expect("16,000 descriptors");
}

// covers: F06
#[test]
fn ten_thousand_connections_without_a_byte_and_two_thousand_half_handshakes_hinder_nobody() {
    let _machine = Machine::new();
    allow_many_descriptors();
    let (verifier, phone) = start(&api::encrypted(), &[]);
    let before = descriptors(&verifier);
    let mut callers: Vec<Caller> = Vec::new();
    let half = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for number in 0..12_000 {
        let mut caller = Caller::by_tcp();
        if number % 6 == 0 {
            caller.write(half);
        }
        callers.push(caller);
    }
    assert_let_in(&verifier.next_code(&phone));
    let code = verifier.next_code(&phone);
    let header = format!("authorization: Bearer {KEY}");
    let elsewhere = ["--interface", "127.0.0.2", "--ipv4", "--header", header.as_str()];
    let asked = item("alice", &code);
    let by_api = api::answer(&api::ask(Transport::Tls, wire::verify::VERIFY_PATH, &asked, &elsewhere));
    assert_eq!(by_api.verdict(), "allow");
    assert!(descriptors(&verifier) <= before + PER_SOURCE + 8, "one source has its share and no more");
    wait_long_for("all to be ended", || (ended(&callers) == callers.len()).then_some(()));
    let turned_away = metrics::read("postern_connections_turned_away_total{listener=\"api\"}");
    assert!(turned_away >= 12_000 - 2 * PER_SOURCE as u64, "only {turned_away}");
    wait_long_for("its descriptors", || (descriptors(&verifier) <= before + 8).then_some(()));
}

/// One way to be slow.
struct Slow {
    what: &'static str,
    /// Said at once.
    first: String,
    /// Said a byte at a time.
    then: &'static [u8],
    /// Whether as much is said as can be, and replies are read a byte at a time.
    reads_slowly: bool,
}

/// Says so much to all of them that they take no more.
fn fill(callers: &mut [Caller], bytes: &[u8]) {
    let mut said = vec![0; callers.len()];
    loop {
        let mut fds: Vec<_> = callers.iter().map(|caller| PollFd::new(caller, PollFlags::OUT)).collect();
        if poll(&mut fds, Some(&timespec(Duration::from_secs(1)))).expect("poll") == 0 {
            return;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        for ((caller, said), _) in callers.iter_mut().zip(&mut said).zip(ready).filter(|(_, ready)| *ready) {
            *said += caller.write(&bytes[*said..]);
            assert!(*said < bytes.len(), "it takes all, however much: nothing is slow here");
        }
    }
}

fn ways_to_be_slow() -> [Slow; 5] {
    let head = format!("POST /v1/verify HTTP/1.1\r\nhost: postern\r\nauthorization: Bearer {KEY}\r\n");
    let with_body = format!("{head}content-length: 500\r\n\r\n");
    let whole = format!("{head}content-length: 2\r\n\r\n{{}}");
    let large = format!("{head}\r\n").replace("verify", "nothing").repeat(100_000);
    let second_head = format!("{whole}POST /");
    let slow = |what, first, then, reads_slowly| Slow { what, first, then, reads_slowly };
    [
        slow("a head byte by byte", "POST /".into(), b"v1/verify", false),
        slow("a later head byte by byte", second_head, b"v1/verify", false),
        slow("a body byte by byte", with_body, b"{\"request_id\"", false),
        slow("silence", whole, b"", false),
        slow("a reply that is read byte by byte", large, b"", true),
    ]
}

/// Callers that are slow in one way.
struct Group {
    slow: Slow,
    callers: Vec<Caller>,
}

impl Group {
    /// 175 at the login socket, and 25 at the API, of which one source may have 128.
    fn call(slow: Slow) -> Self {
        let by_unix = (0..175).map(|_| Caller::by_unix(wire::LOGIN_SOCKET).expect("connecting"));
        let mut callers: Vec<_> = by_unix.chain((0..25).map(|_| Caller::by_tcp())).collect();
        if slow.reads_slowly {
            fill(&mut callers, slow.first.as_bytes());
        } else {
            for caller in &mut callers {
                assert_eq!(caller.write(slow.first.as_bytes()), slow.first.len(), "{}", slow.what);
            }
        }
        Self { slow, callers }
    }

    fn say_or_read_a_byte(&mut self, round: usize) {
        for caller in &mut self.callers {
            if self.slow.reads_slowly {
                caller.read_byte();
            } else if let Some(byte) = self.slow.then.get(round) {
                caller.write(&[*byte]);
            }
        }
    }

    fn has_ended(&self) -> bool {
        ended(&self.callers) == self.callers.len()
    }
}

// covers: F07
#[test]
fn a_thousand_slow_callers_are_ended_and_hinder_nobody() {
    let _machine = Machine::new();
    allow_many_descriptors();
    let (verifier, phone) = start(&api::plain(), &[]);
    let begun = now();
    let mut groups: Vec<Group> = ways_to_be_slow().map(Group::call).into();
    assert_eq!(groups.iter().map(|group| group.callers.len()).sum::<usize>(), 1_000);
    for round in 0.. {
        if groups.is_empty() {
            break;
        }
        let left: Vec<_> = groups.iter().map(|group| group.slow.what).collect();
        assert!(begun.elapsed() < HANG, "never ended: {left:?}");
        assert_let_in(&verifier.next_code(&phone));
        for group in &mut groups {
            group.say_or_read_a_byte(round);
        }
        wait_at_most(BETWEEN_BYTES, || {
            groups.retain(|group| !group.has_ended());
            groups.is_empty().then_some(())
        });
    }
    let overdue =
        |name: &str| metrics::read(&format!("postern_connections_overdue_total{{listener=\"{name}\"}}"));
    // All but the silent: silence is not slowness.
    assert_eq!((overdue("login"), overdue("api")), (4 * 175, 4 * 25));
}

/// Takes connections until a listener has 200, as far as its queue allows.
fn crowd(verifier: &Verifier) -> Vec<Caller> {
    let mut callers = Vec::new();
    for _ in 0..200 {
        callers.extend(Caller::by_unix(wire::LOGIN_SOCKET));
        callers.extend(Caller::by_unix(wire::ADMIN_SOCKET));
        callers.extend(Caller::by_unix(wire::USER_SOCKET));
        callers.push(Caller::by_tcp());
    }
    assert_eq!(callers.len(), 800, "the queues are long enough");
    assert!(verifier.id().as_raw_nonzero().get() > 1);
    callers
}

// covers: F08
#[test]
fn with_few_descriptors_a_crowd_waits_and_the_store_keeps_its_own() {
    let _machine = Machine::new();
    allow_many_descriptors();
    let (mut verifier, phone) = start(&api::plain(), &["prlimit", "--nofile=64:64", "--"]);
    let callers = crowd(&verifier);
    let load = load(&verifier);
    assert!(load < 0.5, "{load} of a core while it has no more descriptors");
    assert!(descriptors(&verifier) < 64, "some are kept");
    let code = verifier.next_code(&phone);
    drop(callers);
    assert_let_in(&code);
    assert_eq!(verify(Transport::Tcp, &item("alice", &code)).verdict(), "deny");
    assert!(verifier.stop().success());
}

// covers: F08
#[test]
fn out_of_descriptors_nothing_is_lost_and_no_core_burns() {
    let _machine = Machine::new();
    allow_many_descriptors();
    let (verifier, phone) = start(&api::plain(), &[]);
    let process = verifier.id().as_raw_nonzero().to_string();
    let limit = |descriptors: usize| {
        let limit = format!("--nofile={descriptors}:16000");
        let done = Command::new("prlimit").args(["--pid", &process, &limit]).status().expect("prlimit");
        assert!(done.success());
    };
    limit(descriptors(&verifier) + 20);
    let callers = crowd(&verifier);
    let load = load(&verifier);
    assert!(load < 0.5, "{load} of a core while it has no descriptors");
    verifier.expect_log("cannot take connections: they wait");
    let code = verifier.next_code(&phone);
    drop(callers);
    assert_let_in(&code);
    limit(4_096);
    let failures = ["login", "api"]
        .map(|name| metrics::read(&format!("postern_accept_failures_total{{listener=\"{name}\"}}")));
    assert!(failures.iter().sum::<u64>() > 0, "{failures:?}");
    assert!(postern::is_ready());
    assert_eq!(verify(Transport::Tcp, &item("alice", &code)).verdict(), "deny", "it is answered");
}
