//! The gate by itself, and together with a count, in as many interleavings as chance finds: there it is the very file
//! that logins use, on top of atomics that a scheduler of the test's drives.

use crate::accounts::{Gate, Place};

mod sync {
    pub(super) use std::sync::atomic::Ordering;

    pub(super) use shuttle::sync::atomic::AtomicU64;
}

#[expect(clippy::duplicate_mod, reason = "the same file on top of the model's atomics")]
#[path = "../gate.rs"]
mod model;

const OFFICE: [u8; 16] = [7; 16];

fn learned(gate: &Gate, place: Place) {
    gate.pass().expect("nobody passes").learn(place);
}

#[test]
fn one_passes_at_a_time() {
    let gate = Gate::default();
    let first = gate.pass();
    assert!(first.is_some() && gate.pass().is_none() && gate.spoil());
    assert!(gate.pass().is_none());
    drop(first);
    assert!(gate.pass().is_some() && !gate.spoil());
}

#[test]
fn a_place_is_known_until_a_try_is_counted() {
    let (gate, place) = (Gate::default(), Place::new(&OFFICE, 20_000));
    learned(&gate, place);
    let mut passing = gate.pass().unwrap();
    assert!(passing.knows(place));
    assert!(!passing.knows(Place::new(&OFFICE, 20_001)) && !passing.knows(Place::new(&[8; 16], 20_000)));
    // Whoever spoils it while somebody passes is heard.
    passing.learn(place);
    assert!(gate.spoil());
    drop(passing);
    assert!(!gate.pass().unwrap().knows(place));
    learned(&gate, place);
    assert!(!gate.spoil());
    assert!(!gate.pass().unwrap().knows(place));
}

#[test]
fn a_wrong_code_is_not_passed_over() {
    let (gate, place) = (Gate::default(), Place::new(&OFFICE, 20_000));
    learned(&gate, place);
    let mut passing = gate.pass().unwrap();
    passing.learn(place);
    passing.forget();
    drop(passing);
    assert!(!gate.pass().unwrap().knows(place));
}

/// Codes that one count lets be compared before the first of them has failed.
const FREE: u32 = 5;

/// What `engine::throttle` does with a gate and a count, and nothing else of it.
#[derive(Default)]
struct Modelled {
    gate: model::Gate,
    in_flight: shuttle::sync::Mutex<u32>,
}

impl Modelled {
    /// A wrong code, by the short way where that is open; whether it was compared.
    fn guess(&self, place: model::Place) -> bool {
        let Some(mut passing) = self.gate.pass() else { return self.admit() };
        if !passing.knows(place) && *self.in_flight.lock().unwrap() > 0 {
            drop(passing);
            return self.admit();
        }
        passing.learn(place);
        // Here it is compared.
        passing.forget();
        *self.in_flight.lock().unwrap() += 1;
        true
    }

    /// A right code by the short way, where that is open: it leaves what it knows behind.
    fn log_in(&self, place: model::Place) {
        if let Some(mut passing) = self.gate.pass()
            && (passing.knows(place) || *self.in_flight.lock().unwrap() == 0)
        {
            passing.learn(place);
        }
    }

    fn admit(&self) -> bool {
        let mut in_flight = self.in_flight.lock().unwrap();
        let is_free = *in_flight < FREE - u32::from(self.gate.spoil());
        *in_flight += u32::from(is_free);
        is_free
    }
}

// covers: B03
#[test]
fn no_more_codes_are_compared_than_the_count_allows_whoever_comes_first() {
    // With one guesser, what he and the owner leave behind; with many, the count.
    for guessers in [1, FREE + 2] {
        shuttle::check_random(move || guess_at_once(guessers), 10_000);
    }
}

fn guess_at_once(guessers: u32) {
    let modelled = shuttle::sync::Arc::new(Modelled::default());
    let place = model::Place::new(&OFFICE, 20_000);
    modelled.log_in(place);
    let owner = modelled.clone();
    let owner = shuttle::thread::spawn(move || owner.log_in(place));
    let guessers: Vec<_> = (0..guessers)
        .map(|_| {
            let modelled = modelled.clone();
            shuttle::thread::spawn(move || modelled.guess(place))
        })
        .collect();
    owner.join().unwrap();
    let compared = guessers.into_iter().filter_map(|guesser| guesser.join().ok()).filter(|is| *is);
    assert!(compared.count() <= FREE as usize);
    // None of them has ended: nobody may think that the place is quiet.
    assert!(!modelled.gate.pass().unwrap().knows(place));
}
