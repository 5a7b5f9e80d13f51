//! What a durable claim costs, against an append-only file that takes the same bytes in the same batches.
//!
//! `cargo bench -p benches --bench commit -- [--quick] [--dir DIR] [--json FILE]`
//!
//! Each claim raises a random one of a million credentials and brings an audit line of 250 bytes. The floor writes
//! what such a batch comes to, and `fdatasync`s it. Both sides take turns in one run; the ratio of each turn is
//! kept. A longer run shows what is left when folding and checkpoints ride along, and a start with a million
//! credentials and a million records shows what an operator waits for.
//!
//! The store lies below cargo's target directory, or in DIR: on a disk, or the figures mean nothing.

#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "a bench reads the real clock")]

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ledger::embedded::EmbeddedLedger;
use ledger::{AuditEntry, Change, Claim, ClaimId, CredentialId, Entry, Figures, Ledger, Outcome, Pending};
use mimalloc::MiMalloc;

/// The allocator of the daemon: memory for each credential depends on it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// As in the targets: a million credentials, and as many records of this many bytes.
const CREDENTIALS: u64 = 1_000_000;
const RECORD_BYTES: usize = 400;
/// Users in one entry of an import.
const IMPORTED_TOGETHER: u64 = 500;

const AUDIT_BYTES: usize = 250;
/// What one claim with its audit line comes to in a file: a byte of flags, credential, value, claim id, reference,
/// the length of the body in four bytes, and the body.
const CLAIM_BYTES: usize = 1 + 16 + 8 + 16 + 8 + 4 + AUDIT_BYTES;

/// Claims in one batch. Twice as many are in flight: while one batch is made durable, the next one gathers.
const BATCHES: [usize; 4] = [1, 64, 256, 1024];

const KEY: [u8; 32] = [7; 32];

/// The argument with which this program measures one start.
const START: &str = "--start";

fn main() {
    if let [_, first, store] = std::env::args().collect::<Vec<_>>().as_slice()
        && first == START
    {
        return start_once(Path::new(store));
    }
    let settings = Settings::from_arguments();
    let dir = settings.dir.join(format!("commit-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory for the store");
    let rows = run(&settings, &dir);
    // What is left over does no harm.
    let _ = std::fs::remove_dir_all(&dir);
    for (id, values) in &rows {
        let (low, middle, high) = spread(values);
        println!("{id:<32} {middle:>14.3}   {low:>14.3} .. {high:<14.3}");
    }
    if let Some(path) = &settings.json {
        let lines: String = rows
            .iter()
            .map(|(id, values)| format!("{}\n", serde_json::json!({ "id": id, "values": values })))
            .collect();
        std::fs::write(path, lines).expect("the file that was asked for");
    }
}

type Rows = Vec<(String, Vec<f64>)>;

fn run(settings: &Settings, dir: &Path) -> Rows {
    let mut rows = Rows::new();
    let store = dir.join("state");
    EmbeddedLedger::create(&store, &KEY).expect("an empty directory takes a store");
    let began = Instant::now();
    fill(&open(&store));
    rows.push((String::from("import_seconds"), vec![began.elapsed().as_secs_f64()]));
    rows.extend(start(&store));
    let ledger = open(&store);
    let mut logins = Logins::new(&ledger);
    let floor_path = dir.join("floor");
    for batch in BATCHES {
        let mut floors = Vec::new();
        let mut claims = Vec::new();
        let mut together = Vec::new();
        for _ in 0..settings.turns {
            floors.push(floor(&floor_path, batch, settings.turn));
            let run = logins.run(2 * batch, settings.turn);
            claims.push(run.rate);
            together.push(run.claims_in_a_batch());
        }
        let ratios = claims.iter().zip(&floors).map(|(ours, floor)| ours / floor).collect();
        rows.push((format!("commit_over_file_{batch}"), ratios));
        rows.push((format!("commit_file_claims_per_second_{batch}"), floors));
        rows.push((format!("commit_claims_per_second_{batch}"), claims));
        // Where two halves fall into step, they share a commit, and the floor has more of them to make.
        rows.push((format!("commit_claims_in_a_batch_{batch}"), together));
    }
    for in_flight in [64, 512, 2048] {
        let long = logins.run(in_flight, settings.long);
        rows.extend(long.rows(in_flight));
    }
    ledger.close().expect("nothing keeps it from closing");
    rows
}

/// Fills a store with what a start reads.
fn fill(ledger: &EmbeddedLedger) {
    let mut waiting = VecDeque::new();
    for first in (0..CREDENTIALS).step_by(usize::try_from(IMPORTED_TOGETHER).expect("it is small")) {
        let changes = (first..first + IMPORTED_TOGETHER).flat_map(|n| {
            let key = n.to_be_bytes().to_vec();
            let value = vec![n.to_le_bytes()[0]; RECORD_BYTES];
            [
                Change::AddCredential { credential: credential(n), value: 0 },
                Change::Put { kind: 1, key, value },
            ]
        });
        waiting.push_back(ledger.submit(Entry { changes: changes.collect(), ..Entry::default() }));
        if waiting.len() > 4 {
            settle(&mut waiting);
        }
    }
    while !waiting.is_empty() {
        settle(&mut waiting);
    }
}

/// Opens the store as a daemon does, each time in a process of its own, so that memory can be told.
fn start(store: &Path) -> Rows {
    let timed = || -> Vec<f64> {
        let program = std::env::current_exe().expect("this program has a name");
        let told = Command::new(program).arg(START).arg(store).output().expect("it can be started again");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        let told = String::from_utf8(told.stdout).expect("it prints numbers");
        told.split_whitespace().map(|number| number.parse().expect("it prints numbers")).collect()
    };
    let runs = [timed(), timed(), timed()];
    let column = |at: usize| runs.iter().map(|run| run[at]).collect();
    vec![
        (String::from("ledger_open_seconds"), column(0)),
        (String::from("ledger_start_seconds"), column(1)),
        (String::from("ledger_resident_bytes_per_credential"), column(2)),
    ]
}

/// One start, told as three numbers: seconds until it is open, seconds until all is read, and resident bytes for each
/// credential. SQLite's cache of pages is part of them, up to 32 MiB at any size.
fn start_once(store: &Path) {
    let before = resident_bytes();
    let began = Instant::now();
    let ledger = open(store);
    let opened = began.elapsed().as_secs_f64();
    let mut count = 0_u64;
    ledger.load_each(&mut |_| count += 1).expect("an open ledger can be loaded");
    assert_eq!(count, 2 * CREDENTIALS);
    let loaded = began.elapsed().as_secs_f64();
    let bytes = (resident_bytes() - before) / CREDENTIALS as f64;
    ledger.close().expect("nothing keeps it from closing");
    println!("{opened} {loaded} {bytes}");
}

/// Claims a second of a file to which each batch is appended, with one `fdatasync` for it.
fn floor(path: &Path, batch: usize, turn: Duration) -> f64 {
    // A file that was written before would cost no change of its length.
    let _ = std::fs::remove_file(path);
    let mut file = File::create(path).expect("a file beside the store");
    let bytes = vec![0x5a; batch * CLAIM_BYTES];
    let began = Instant::now();
    let mut claims = 0_usize;
    while began.elapsed() < turn {
        file.write_all(&bytes).expect("the disk has room");
        file.sync_data().expect("the disk works");
        claims += batch;
    }
    claims as f64 / began.elapsed().as_secs_f64()
}

/// Logins that keep coming, as a daemon would hand them in.
struct Logins<'a> {
    ledger: &'a EmbeddedLedger,
    values: Vec<u32>,
    chance: u64,
    claims: u64,
}

struct Run {
    rate: f64,
    /// How long each claim took, in microseconds.
    took_us: Vec<u32>,
    before: Figures,
    after: Figures,
}

impl<'a> Logins<'a> {
    fn new(ledger: &'a EmbeddedLedger) -> Self {
        Self { ledger, values: vec![0; CREDENTIALS as usize], chance: 0x9e37_79b9_7f4a_7c15, claims: 0 }
    }

    /// Keeps `in_flight` claims in flight for about `time`.
    fn run(&mut self, in_flight: usize, time: Duration) -> Run {
        let before = self.ledger.figures();
        let mut waiting = VecDeque::with_capacity(in_flight);
        let mut took_us = Vec::new();
        let began = Instant::now();
        while waiting.len() < in_flight {
            waiting.push_back((Instant::now(), self.ledger.submit(self.next())));
        }
        let mut now = began;
        while now - began < time {
            // Answers come in order: with the last of a half, all before it are there.
            let half: Vec<_> = waiting.drain(..in_flight.div_ceil(2)).collect();
            let mut ends = Vec::with_capacity(half.len());
            for (submitted, pending) in half.into_iter().rev() {
                assert_eq!(pending.wait(), Outcome::Committed);
                ends.push(submitted);
            }
            now = Instant::now();
            for submitted in ends {
                took_us.push(u32::try_from((now - submitted).as_micros()).unwrap_or(u32::MAX));
                waiting.push_back((now, self.ledger.submit(self.next())));
            }
        }
        let rate = took_us.len() as f64 / (now - began).as_secs_f64();
        for (_, pending) in waiting {
            assert_eq!(pending.wait(), Outcome::Committed);
        }
        Run { rate, took_us, before, after: self.ledger.figures() }
    }

    fn next(&mut self) -> Entry {
        // Source of the shifts: Marsaglia, "Xorshift RNGs", 2003.
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.claims += 1;
        let n = self.chance % CREDENTIALS;
        let value = &mut self.values[n as usize];
        *value += 1;
        let mut id = [1; 16];
        id[..8].copy_from_slice(&self.claims.to_be_bytes());
        let claim = Claim { credential: credential(n), to: u64::from(*value), id: ClaimId(id) };
        let audit = AuditEntry { reference: self.chance.to_be_bytes(), body: vec![b'a'; AUDIT_BYTES] };
        Entry { claim: Some(claim), audit: Some(audit), ..Entry::default() }
    }
}

impl Run {
    /// How many claims shared a commit, on average.
    fn claims_in_a_batch(&self) -> f64 {
        let commits = self.after.commits - self.before.commits;
        let entries = self.after.entries - self.before.entries;
        entries as f64 / commits.max(1) as f64
    }

    fn rows(mut self, in_flight: usize) -> Rows {
        self.took_us.sort_unstable();
        let at = |part: f64| {
            let index = (self.took_us.len() as f64 * part) as usize;
            f64::from(self.took_us[index.min(self.took_us.len() - 1)])
        };
        let row = |name: &str, value: f64| (format!("sustained_{name}_{in_flight}"), vec![value]);
        vec![
            row("claims_per_second", self.rate),
            row("p50_us", at(0.5)),
            row("p99_us", at(0.99)),
            row("p99_9_us", at(0.999)),
            row("max_us", at(1.0)),
            row("claims_in_a_batch", self.claims_in_a_batch()),
            row("folds", (self.after.folds - self.before.folds) as f64),
        ]
    }
}

fn settle(waiting: &mut VecDeque<Pending>) {
    let outcome = waiting.pop_front().map(Pending::wait);
    assert!(outcome.is_none_or(|outcome| outcome == Outcome::Committed));
}

fn open(store: &Path) -> EmbeddedLedger {
    let on_fatal = Box::new(|message: &str| panic!("the disk failed: {message}"));
    EmbeddedLedger::open(store, &KEY, on_fatal).expect("the store opens")
}

/// Ids that are spread like random ones, so that no order helps.
fn credential(n: u64) -> CredentialId {
    let spread = (u128::from(n) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    CredentialId(spread.to_be_bytes())
}

/// What the process has in memory, in bytes.
fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok());
    pages.expect("its second number is the resident pages") * 4096.0
}

fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1])
}

struct Settings {
    dir: PathBuf,
    json: Option<PathBuf>,
    turns: usize,
    turn: Duration,
    long: Duration,
}

impl Settings {
    /// `cargo bench` passes flags of its own, which do not matter here.
    fn from_arguments() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let after = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1).map(PathBuf::from)
        };
        let is_quick = arguments.iter().any(|argument| argument == "--quick");
        Self {
            dir: after("--dir").unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR"))),
            json: after("--json"),
            turns: if is_quick { 3 } else { 7 },
            turn: Duration::from_millis(if is_quick { 500 } else { 1500 }),
            long: Duration::from_secs(if is_quick { 5 } else { 20 }),
        }
    }
}
