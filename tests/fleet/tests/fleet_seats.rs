//! Crowds at the fleet's listener that say nothing: hosts join, come back and are answered meanwhile, also from behind the
//! same address.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use fleet_harness::{Crowd, allow_descriptors, sources};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use system_tests::agent::{PORT, fleet_section};
use system_tests::flows::associated;
use system_tests::fob::Fob;
use system_tests::machine::Machine;
use system_tests::metrics;
use system_tests::time::{wait_at_most, wait_for};
use system_tests::verifier::{Verifier, config};

/// Connections that the verifier has for hosts and strangers. Source: `serve::seats`.
const SEATS: usize = 8_192;

/// Those of strangers, and of one address's strangers.
const STRANGERS: usize = SEATS / 2;
const OF_ONE_ADDRESS: usize = SEATS / 8;

/// Descriptors of this process: a crowd of strangers, hosts, and some for itself.
const DESCRIPTORS: u64 = 14_000;

/// Connections that a crowd of strangers makes in all: enough for some minutes.
const CONNECTS_MAX: usize = 120_000;

/// Longest wait for what hundreds of hosts do on two cores.
const PATIENCE: Duration = Duration::from_secs(300);

/// The beginning of a TLS handshake, of which no more comes.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

/// How often those who were turned away come back.
const PAUSE: Duration = Duration::from_millis(100);

/// Callers who say nothing, or nearly, and come back when they are turned away.
struct Strangers {
    from: Vec<String>,
    /// How many at a time.
    count: usize,
    connects: AtomicUsize,
}

impl Strangers {
    fn new(from: Vec<String>, count: usize) -> Self {
        Self { from, count, connects: AtomicUsize::new(0) }
    }

    /// As many from the same addresses once more.
    fn again(&self) -> Self {
        Self::new(self.from.clone(), self.count)
    }

    /// Runs something while they are there.
    fn during<T>(&self, what: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            // The crowd goes when this is dropped, also where `what` fails.
            let (_stay, over) = channel();
            let crowding = scope.spawn(|| self.crowd(over));
            wait_for("a crowd", || {
                assert!(!crowding.is_finished(), "the crowd is gone");
                (self.connects.load(Ordering::Relaxed) >= self.count).then_some(())
            });
            what()
        })
    }

    fn crowd(&self, over: Receiver<()>) {
        let mut callers: Vec<TcpStream> = Vec::new();
        loop {
            while callers.len() < self.count {
                let number = self.connects.fetch_add(1, Ordering::Relaxed);
                assert!(number < CONNECTS_MAX, "the crowd has come too often");
                let address = &self.from[number % self.from.len()];
                let mut caller = TcpStream::connect((address.as_str(), PORT)).expect("connecting");
                if number.is_multiple_of(6) {
                    // Whoever is turned away at once hears nothing.
                    let _ = caller.write_all(HALF_A_HELLO);
                }
                callers.push(caller);
            }
            if over.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            callers = still_there(callers);
        }
    }
}

/// Those whom the verifier has not ended.
fn still_there(callers: Vec<TcpStream>) -> Vec<TcpStream> {
    let at_once = Timespec::default();
    let ended: Vec<bool> = {
        let mut fds: Vec<_> = callers.iter().map(|caller| PollFd::new(caller, PollFlags::RDHUP)).collect();
        poll(&mut fds, Some(&at_once)).expect("poll");
        fds.iter().map(|fd| !fd.revents().is_empty()).collect()
    };
    callers.into_iter().zip(ended).filter(|(_, ended)| !ended).map(|(caller, _)| caller).collect()
}

fn descriptors(verifier: &Verifier) -> usize {
    let folder = format!("/proc/{}/fd", verifier.id().as_raw_nonzero());
    std::fs::read_dir(folder).expect("its descriptors").count()
}

fn turned_away() -> u64 {
    metrics::read("postern_connections_turned_away_total{listener=\"fleet\"}")
}

#[track_caller]
fn wait_for_all(crowd: &Crowd, count: usize) {
    let connected = wait_at_most(PATIENCE, || (crowd.connected() == count).then_some(()));
    assert!(connected.is_some(), "{} of {count} hosts are connected", crowd.connected());
}

/// A verifier for hosts, and a token of user0's.
fn start(machine: &Machine, names: &[String]) -> (Verifier, Fob) {
    start_under(machine, names, &[])
}

/// The same as a child of another program.
fn start_under(machine: &Machine, names: &[String], wrapper: &[&str]) -> (Verifier, Fob) {
    allow_descriptors(DESCRIPTORS);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut verifier = Verifier::prepare(&config(&fleet_section(&names)));
    verifier.initialise();
    verifier.launch_under(wrapper);
    machine.add_bare_users("user", 1);
    let mut fob = Fob::with_button("8900000001");
    associated(&mut fob, "user0");
    (verifier, fob)
}

// covers: F06
#[test]
fn strangers_from_seventy_addresses_leave_half_of_the_seats_to_hosts() {
    const HOSTS: usize = 20;
    let machine = Machine::new();
    let home = sources(1, 1);
    let (mut verifier, mut fob) = start(&machine, &home);
    let crowd = Crowd::join(HOSTS, &home);
    wait_for_all(&crowd, HOSTS);
    let before = descriptors(&verifier);
    let strangers = Strangers::new(sources(2, 70), 70 * 130);
    strangers.during(|| {
        let most = wait_at_most(PATIENCE, || Some(descriptors(&verifier)).filter(|open| *open > STRANGERS));
        let most = most.expect("strangers have what is theirs");
        assert!(most <= before + STRANGERS + HOSTS, "{most} descriptors, {before} of them before");
        for number in 0..HOSTS {
            crowd.log_in(number, "user0", &fob.press());
        }
    });
    // Who is connected stays so; who comes back gets in as well.
    verifier.stop();
    verifier.launch();
    strangers.again().during(|| {
        wait_for_all(&crowd, HOSTS);
        for number in 0..HOSTS {
            crowd.log_in(number, "user0", &fob.press());
        }
        assert!(turned_away() > 0, "more came than there are seats for");
    });
    wait_for_silence(&verifier, before);
}

// covers: F06
#[test]
fn three_hundred_hosts_of_one_address_join_and_come_back_beside_as_many_silent_neighbours_as_it_may_have() {
    const HOSTS: usize = 300;
    let machine = Machine::new();
    let home = sources(1, 1);
    let (mut verifier, mut fob) = start(&machine, &home);
    let before = descriptors(&verifier);
    let neighbours = Strangers::new(home.clone(), OF_ONE_ADDRESS);
    let crowd = neighbours.during(|| {
        let crowd = Crowd::join(HOSTS, &home);
        wait_for_all(&crowd, HOSTS);
        assert!(descriptors(&verifier) <= before + OF_ONE_ADDRESS + HOSTS + 16, "one address has its share");
        crowd
    });
    verifier.stop();
    verifier.launch();
    neighbours.again().during(|| {
        wait_for_all(&crowd, HOSTS);
        for number in 0..20 {
            crowd.log_in(7 * number, "user0", &fob.press());
        }
    });
    wait_for_silence(&verifier, before + HOSTS);
    assert_eq!(crowd.connected(), HOSTS, "the hosts stay");
}

/// Waits until no stranger is left: all deadlines have fired.
#[track_caller]
fn wait_for_silence(verifier: &Verifier, descriptors_max: usize) {
    let silent = wait_at_most(PATIENCE, || (descriptors(verifier) <= descriptors_max + 16).then_some(()));
    assert!(silent.is_some(), "{} descriptors are open", descriptors(verifier));
}

// covers: F06, F08
#[test]
fn with_few_descriptors_hosts_come_and_come_back_beside_a_crowd_and_the_store_keeps_its_own() {
    // Of 1,024 descriptors, what is kept and the other listeners leave the fleet's listener 196; strangers have half.
    const STRANGERS: usize = 98;
    const HOSTS: usize = 20;
    let machine = Machine::new();
    let home = sources(1, 1);
    let few = ["prlimit", "--nofile=1024:1024", "--"];
    let (mut verifier, mut fob) = start_under(&machine, &home, &few);
    let strangers = Strangers::new(sources(2, 10), STRANGERS);
    let crowd = strangers.during(|| {
        let crowd = Crowd::join(HOSTS, &home);
        wait_for_all(&crowd, HOSTS);
        assert!(descriptors(&verifier) < 1_024, "some are kept");
        crowd
    });
    verifier.stop();
    verifier.launch_under(&few);
    strangers.again().during(|| {
        wait_for_all(&crowd, HOSTS);
        for number in 0..HOSTS {
            crowd.log_in(number, "user0", &fob.press());
        }
    });
    assert!(verifier.stop().success());
}
