//! Memory, processor time and threads run out: the daemon refuses or ends, and starts anew without a loss.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use system_tests::faults::Cgroup;
use system_tests::machine::{folder, run};
use system_tests::scenario::{Scenario, pass_steps};
use system_tests::verifier::{STATE, Verifier};

/// How many logins must go through while a resource is scarce but there.
const LOGINS: usize = 60;

/// Lets people log in until there are so many more answers.
fn log_in_under(scenario: &mut Scenario, group: &Cgroup) {
    scenario.strike(|verifier| {
        group.take(verifier.id());
        let clock = verifier.clock.clone();
        let before = decided();
        pass_steps(&clock, "logins to be decided", || (decided() >= before + LOGINS as u64).then_some(()));
    });
}

fn decided() -> u64 {
    let status = system_tests::postern::status();
    status.accepted + status.refused
}

// covers: G17
#[test]
fn with_a_tenth_of_a_processor_logins_are_decided_as_always() {
    let mut scenario = Scenario::start(4);
    let group = Cgroup::with_processor_percent(10);
    log_in_under(&mut scenario, &group);
    scenario.recover();
    scenario.verifier.kill();
    drop(group);
    scenario.recover();
    scenario.finish(10);
}

// covers: G17
#[test]
fn killed_for_want_of_memory_the_daemon_has_lost_nothing_that_it_told() {
    let mut scenario = Scenario::start(4);
    let room = resident_bytes(&scenario.verifier) + 256 * 1024;
    let group = Cgroup::with_memory(room);
    let idle = scenario.strike(|verifier| {
        group.take(verifier.id());
        let clock = verifier.clock.clone();
        // Half requests of many connections, each of which needs its place.
        let mut connections = Vec::new();
        pass_steps(&clock, "the kernel to kill it", || {
            for _ in 0..50 {
                let Ok(mut stream) = UnixStream::connect(wire::LOGIN_SOCKET) else { break };
                let head = "POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n";
                let _ = stream.write_all(&[head.as_bytes(), &[b' '; 50_000]].concat());
                connections.push(stream);
            }
            (!verifier.is_running()).then_some(())
        });
        connections.len()
    });
    assert!(idle > 0, "it was killed before anything was asked of it");
    scenario.recover();
    drop(group);
    scenario.finish(4);
}

// covers: G17
#[test]
fn without_a_single_further_thread_the_daemon_decides_or_ends_and_loses_nothing() {
    let mut scenario = Scenario::start(4);
    let group = Cgroup::with_threads(threads(&scenario.verifier));
    scenario.strike(|verifier| {
        group.take(verifier.id());
        let clock = verifier.clock.clone();
        let mut looks = 0;
        pass_steps(&clock, "the daemon to answer or to end", || {
            looks += 1;
            // It may answer no more, which is no accept, but it must not stand still for ever.
            (!verifier.is_running() || looks >= LOGINS).then_some(())
        });
    });
    if scenario.verifier.is_running() {
        scenario.verifier.kill();
    }
    drop(group);
    scenario.recover();
    scenario.finish(4);
}

// covers: G02
#[test]
fn a_write_that_is_cut_short_is_no_commit() {
    let mut scenario = Scenario::start(4);
    let length = |path: &Path| path.metadata().map_or(0, |it| it.len());
    let log = Path::new(STATE).join("store-wal");
    // Some dozens of commits, and the last one in the middle of a page. The daemon's own log goes to a file too, and
    // grows more slowly.
    let limit = length(&log).max(length(&folder().join("verifierd.log")) + 100_000) + 201_000;
    scenario.strike(|verifier| {
        let process = verifier.id().as_raw_nonzero().to_string();
        run("prlimit", &["--pid", &process, &format!("--fsize={limit}")]);
        let clock = verifier.clock.clone();
        pass_steps(&clock, "the limit to be reached", || (!verifier.is_running()).then_some(()));
    });
    scenario.recover();
    scenario.finish(4);
}

/// Bytes of memory that the daemon has in use.
fn resident_bytes(verifier: &Verifier) -> u64 {
    const PAGE_BYTES: u64 = 4_096;
    let statm = fs::read_to_string(process(verifier).join("statm")).expect("its memory");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * PAGE_BYTES
}

/// How many threads the daemon has.
fn threads(verifier: &Verifier) -> u64 {
    fs::read_dir(process(verifier).join("task")).expect("its threads").count() as u64
}

fn process(verifier: &Verifier) -> PathBuf {
    Path::new("/proc").join(verifier.id().as_raw_nonzero().to_string())
}
