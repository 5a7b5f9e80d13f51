//! Writes to a store, and says what it was told: the program that is killed, recorded and left without power.
//!
//! Arguments: the store's folder, how many sessions, how many bursts in each, and a number that chance begins with.
//! Each session opens the store and closes it in order, so that folding and emptying the log are part of the run.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::{Path, PathBuf};

use ledger::embedded::EmbeddedLedger;
use ledger::{Ledger as _, Outcome, Pending};
use ledger_harness::script::Told;
use ledger_harness::{TOKENS, accept, evidence, open, refusal};
use system_tests::chance::Chance;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, sessions, bursts, seed] = &arguments[..] else {
        panic!("usage: ledger-writer FOLDER SESSIONS BURSTS SEED");
    };
    let number = |text: &String| text.parse::<u64>().unwrap_or_else(|_| panic!("{text} is no number"));
    let folder = PathBuf::from(folder);
    let mut chance = Chance::new(number(seed));
    for _ in 0..number(sessions) {
        session(&folder, number(bursts), &mut chance);
    }
}

/// Where a token stands by what the writer knows.
#[derive(Clone, Copy, Default)]
struct Known {
    value: u64,
    refusals: u64,
    failures: u64,
}

fn session(folder: &Path, bursts: u64, chance: &mut Chance) {
    let ledger = open(folder).expect("the store opens");
    let mut known = known(&ledger);
    for _ in 0..bursts {
        let mut waiting = Vec::new();
        let size = 1 + chance.below(usize::from(TOKENS));
        let first = chance.below(usize::from(TOKENS)) as u8;
        for token in (0..size as u8).map(|offset| (first + offset) % TOKENS) {
            waiting.push(submit(&ledger, token, &mut known[usize::from(token)], chance));
        }
        for (told, pending) in waiting {
            assert_eq!(pending.wait(), Outcome::Committed, "{told:?}");
            // One call for each, so that the moment at which it is told is in the recording.
            std::io::stdout().write_all(told.line().as_bytes()).expect("standard output");
        }
    }
    ledger.close().expect("the store closes");
}

fn submit(ledger: &EmbeddedLedger, token: u8, known: &mut Known, chance: &mut Chance) -> (Told, Pending) {
    if chance.percent(30) {
        known.refusals += 1;
        known.failures += 1;
        let pending = ledger.submit(refusal(token, known.refusals, known.failures));
        return (Told::Refused { token, nth: known.refusals }, pending);
    }
    known.value += 1;
    known.failures = 0;
    (Told::Accepted { token, to: known.value }, ledger.submit(accept(token, known.value, 0)))
}

fn known(ledger: &EmbeddedLedger) -> Vec<Known> {
    let evidence = evidence(ledger).expect("a whole store");
    (0..TOKENS)
        .map(|token| {
            let standing = &evidence.standings[&format!("token{token}")];
            let theirs = evidence.trail.iter().filter(|record| record.user == standing.user);
            let refusals = theirs.filter(|record| record.reason == "wrong_code").count() as u64;
            Known { value: standing.next - 1, refusals, failures: standing.failures.into() }
        })
        .collect()
}
