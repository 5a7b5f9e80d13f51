//! The engine alone, and what it is held against: find a token by its user's name, match the code, advance the step.
//!
//! | side | finds | computes | advances |
//! | --- | --- | --- | --- |
//! | [`Ours`] | as the daemon does | the expected step, from kept states | as the daemon does |
//! | [`Naive`] | `DashMap<String, _>`, default shards and hasher | a key schedule for each of three steps | compare-and-set |
//! | [`Floor`] | unsynchronised `hashbrown` by `u64` | one step from kept states | plain store |

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use hashbrown::HashMap;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ledger::Stored;
use sha1::Sha1;
use verifierd::accounts::{Accounts, Loader, UncleanStop};
use verifierd::keys::{IndexHasher, MasterKey};

use crate::population::{self, Registrar};

/// Users whose records are in memory at once, for each of the threads that load.
const CHUNK: u64 = 10_000;

/// Threads that load: one for each core of a small machine.
const LOADERS: u64 = 2;

/// A code about to be checked, as it comes out of a request.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The user's name.
    pub user: &'a str,
    /// His number, for the floor, which hashes no names.
    pub number: u64,
    /// Six digits.
    pub code: &'a str,
}

/// The daemon's index of users, its tokens, and what the daemon does with them.
#[derive(Debug)]
pub struct Ours {
    accounts: Accounts,
}

impl Ours {
    /// With the first `users` of the population.
    pub fn new(users: u64) -> Self {
        let names = IndexHasher::new(&MasterKey::generate().expect("random bytes"), "user names");
        let ours = Self { accounts: Accounts::new(names) };
        // Sealing and opening ten million secrets takes minutes: each core does its share.
        std::thread::scope(|scope| {
            for first in 0..LOADERS {
                let starts = (first * CHUNK..users).step_by((LOADERS * CHUNK) as usize);
                let ours = &ours;
                scope.spawn(move || {
                    let registrar = Registrar::default();
                    starts.for_each(|start| ours.load(&registrar, start..users.min(start + CHUNK)));
                });
            }
        });
        ours
    }

    fn load(&self, registrar: &Registrar, numbers: Range<u64>) {
        let contents = registrar.contents(numbers);
        let mut loader = Loader::new(&self.accounts, registrar.sealer());
        let credentials = contents.credentials.into_iter().map(Stored::Credential);
        let stored = credentials.chain(contents.records.into_iter().map(Stored::Record));
        stored.for_each(|stored| loader.take(&stored).expect("records of our own"));
        loader.finish().expect("records of our own");
    }

    /// Whether the code was right and fresh; it is used up then.
    pub fn verify(&self, attempt: Attempt<'_>, step: u64) -> bool {
        let Some(user) = self.accounts.find_named(attempt.user) else { return false };
        let Some(hot) = user.hot() else { return false };
        let now = step * 30;
        hot.expectation().met_by(attempt.code, now, UncleanStop::default()).is_some_and(|to| hot.advance(to))
    }
}

/// What one writes first: names as keys, secrets as bytes, every candidate from the beginning.
#[derive(Debug)]
pub struct Naive {
    tokens: DashMap<String, NaiveToken>,
}

#[derive(Debug)]
struct NaiveToken {
    secret: [u8; 20],
    last_step: AtomicU64,
}

impl Naive {
    /// With the first `users` of the population.
    pub fn new(users: u64) -> Self {
        let tokens = DashMap::new();
        for number in 0..users {
            let name = population::name(number);
            let secret = population::secret(&name).expose().try_into().expect("20 bytes");
            tokens.insert(name, NaiveToken { secret, last_step: AtomicU64::new(0) });
        }
        Self { tokens }
    }

    /// Whether the code was right and fresh; it is used up then.
    pub fn verify(&self, attempt: Attempt<'_>, step: u64) -> bool {
        let Some(token) = self.tokens.get(attempt.user) else { return false };
        let Ok(typed) = attempt.code.parse::<u32>() else { return false };
        let last = token.last_step.load(Ordering::Acquire);
        let mut matched = None;
        for candidate in step - 1..=step + 1 {
            let mut mac = Hmac::<Sha1>::new_from_slice(&token.secret).expect("any length");
            mac.update(&candidate.to_be_bytes());
            if truncated(&mac.finalize().into_bytes()) == typed && candidate > last && matched.is_none() {
                matched = Some(candidate);
            }
        }
        let Some(matched) = matched else { return false };
        token.last_step.compare_exchange(last, matched, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// The least that any engine does: nothing is shared, nothing is parsed, the expected step is right.
#[derive(Debug)]
pub struct Floor {
    tokens: HashMap<u64, FloorToken>,
}

#[derive(Debug)]
struct FloorToken {
    keyed: Hmac<Sha1>,
    last_step: u64,
}

impl Floor {
    /// With the first `users` of the population.
    pub fn new(users: u64) -> Self {
        let token = |number| {
            let secret = population::secret(&population::name(number));
            let keyed = Hmac::new_from_slice(secret.expose()).expect("any length");
            (number, FloorToken { keyed, last_step: 0 })
        };
        Self { tokens: (0..users).map(token).collect() }
    }

    /// Whether the code was right and fresh; it is used up then.
    pub fn verify(&mut self, number: u64, code: u32, step: u64) -> bool {
        let Some(token) = self.tokens.get_mut(&number) else { return false };
        let mut mac = token.keyed.clone();
        mac.update(&step.to_be_bytes());
        let is_right = truncated(&mac.finalize().into_bytes()) == code && token.last_step < step;
        if is_right {
            token.last_step = step;
        }
        is_right
    }
}

/// RFC 4226 §5.3, six digits.
fn truncated(hash: &[u8]) -> u32 {
    let offset = usize::from(hash[hash.len() - 1] & 0x0f);
    let bytes = [hash[offset], hash[offset + 1], hash[offset + 2], hash[offset + 3]];
    (u32::from_be_bytes(bytes) & 0x7fff_ffff) % 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: u64 = 60_000_000;

    #[test]
    fn all_sides_let_a_right_code_in_once() {
        let (ours, naive, mut floor) = (Ours::new(5), Naive::new(5), Floor::new(5));
        let (user, key) = (population::name(3), population::key(3));
        let code = key.value(STEP).expose().to_string();
        let attempt = Attempt { user: &user, number: 3, code: &code };
        for expected in [true, false] {
            assert_eq!(ours.verify(attempt, STEP), expected);
            assert_eq!(naive.verify(attempt, STEP), expected);
            assert_eq!(floor.verify(3, code.parse().unwrap(), STEP), expected);
        }
        let unknown = Attempt { user: "u9999999", ..attempt };
        assert!(!ours.verify(unknown, STEP + 1) && !naive.verify(unknown, STEP + 1));
    }
}
