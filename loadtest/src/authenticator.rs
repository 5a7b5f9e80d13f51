//! A user's token: its codes, and wrong ones; and the file that keeps the secrets of many.
//!
//! Tokens are as Postern makes them: SHA-1, six digits; by time, 30 seconds, or by a counter of presses. The file
//! has a line for each user: `name secret`, or `name secret counter` for one that counts presses.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use otp_core::matching::LOOK_AHEAD_MAX;
use otp_core::{Algorithm, Digits, OtpKey, OtpValue, SharedSecret};
use zeroize::Zeroizing;

use crate::chance::Chance;

/// Most users in one file: as many as the largest deployment that is measured.
const USERS_MAX: usize = 1_000_000;

/// How far around a step the digits of a code must be its own. The verifier accepts one step each way, its clock
/// may have gone on by one since the code was made, and a replay may come one step later still.
const NEIGHBOURS: u64 = 3;

/// How far past a counter the digits of a code must not come again: the widest window that can be configured.
const LOOK_AHEAD: u64 = LOOK_AHEAD_MAX as u64;

/// Most draws for a wrong code. At most a hundred and one of a million are right, so that three are rarely needed.
const DRAWS_MAX: usize = 16;

/// What the codes of a token follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The time.
    Time,
    /// Presses of a button; the next one has this counter.
    Presses(u64),
}

/// A user with his token.
#[derive(Debug)]
pub struct Authenticator {
    user: String,
    pace: Pace,
    key: OtpKey,
    secret: SharedSecret,
}

impl Authenticator {
    /// The token with this secret that follows the time.
    pub fn new(user: &str, secret: &SharedSecret) -> Self {
        Self::with_pace(user, secret, Pace::Time)
    }

    /// The token with this secret.
    pub fn with_pace(user: &str, secret: &SharedSecret, pace: Pace) -> Self {
        let key = OtpKey::new(secret, Algorithm::Sha1, Digits::SIX);
        Self { user: user.to_owned(), pace, key, secret: secret.clone() }
    }

    /// What its codes follow, as it was at the start.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// The secret, for whoever is to make the same token on the other side.
    pub fn secret(&self) -> &SharedSecret {
        &self.secret
    }

    /// Whose it is.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The code of a step. `None` when a step near it happens to have the same digits (6 in a million cases): the
    /// verifier rightly accepts such a code twice.
    pub fn code(&self, step: u64) -> Option<String> {
        let code = self.key.value(step);
        let is_unique =
            near(step).filter(|other| *other != step).all(|other| !self.key.value(other).matches(&code));
        is_unique.then(|| code.expose().to_string())
    }

    /// The code of a press, wherever it is in the row.
    pub fn press(&self, counter: u64) -> String {
        self.key.value(counter).expose().to_string()
    }

    /// Whether the code of a press comes again in the presses that a verifier looks at after it, so that it would
    /// rightly be accepted once more.
    pub fn comes_again(&self, counter: u64) -> bool {
        let code = self.key.value(counter);
        (counter + 1..=counter + 1 + LOOK_AHEAD).any(|later| self.key.value(later).matches(&code))
    }

    /// Six digits that are no code of this token anywhere near.
    ///
    /// * `at`: the present step, or the counter of the next press.
    pub fn wrong_code(&self, at: u64, chance: &mut Chance) -> String {
        let draw = || format!("{:06}", chance.below(1_000_000));
        let looked_at = match self.pace {
            Pace::Time => at.saturating_sub(NEIGHBOURS)..=at.saturating_add(NEIGHBOURS),
            Pace::Presses(_) => at.saturating_sub(1)..=at.saturating_add(LOOK_AHEAD),
        };
        let is_wrong = |text: &String| {
            let typed = OtpValue::from_typed(text, Digits::SIX).expect("six digits");
            looked_at.clone().all(|near| !self.key.value(near).matches(&typed))
        };
        std::iter::repeat_with(draw).take(DRAWS_MAX).find(is_wrong).expect("nearly every code is wrong")
    }
}

fn near(step: u64) -> impl Iterator<Item = u64> {
    step.saturating_sub(NEIGHBOURS)..=step.saturating_add(NEIGHBOURS)
}

/// Reads a file of users, `name secret` on each line.
///
/// # Errors
/// When it cannot be read, or a line is something else; names the line, never the secret.
pub fn read_many(path: &Path) -> Result<Vec<Authenticator>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse_many(&Zeroizing::new(text)).with_context(|| format!("{} is not a file of users", path.display()))
}

/// Reads a file that holds one secret.
///
/// # Errors
/// When it cannot be read, or holds something else.
pub fn read_one(user: &str, path: &Path) -> Result<Authenticator> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let secret = SharedSecret::from_base32(Zeroizing::new(text).trim())
        .with_context(|| format!("{} holds no secret", path.display()))?;
    Ok(Authenticator::new(user, &secret))
}

/// The line of a user in the file.
pub fn line(user: &str, secret: &SharedSecret, pace: Pace) -> Zeroizing<String> {
    let secret = secret.to_base32();
    Zeroizing::new(match pace {
        Pace::Time => format!("{user} {}\n", secret.as_str()),
        Pace::Presses(counter) => format!("{user} {} {counter}\n", secret.as_str()),
    })
}

/// Writes the file anew with other counters; every other line stays.
///
/// # Errors
/// When it cannot be read or written. The old file is whole then.
pub fn write_counters<'a>(path: &Path, paces: impl Iterator<Item = (&'a str, Pace)>) -> Result<()> {
    let paces: BTreeMap<&str, Pace> = paces.collect();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = Zeroizing::new(text);
    let mut new = Zeroizing::new(String::with_capacity(2 * text.len()));
    for line in text.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [user, secret, _] if let Some(Pace::Presses(counter)) = paces.get(user) => {
                new.push_str(&format!("{user} {secret} {counter}\n"));
            }
            _ => {
                new.push_str(line);
                new.push('\n');
            }
        }
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = || format!("cannot write {}", path.display());
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    file.write_all(new.as_bytes()).with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
}

fn parse_many(text: &str) -> Result<Vec<Authenticator>> {
    let mut users = BTreeSet::new();
    let mut authenticators = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        ensure!(authenticators.len() < USERS_MAX, "line {number}: more than {USERS_MAX} users");
        let words: Vec<&str> = line.split_whitespace().collect();
        let (user, secret, pace) = match words[..] {
            [user, secret] => (user, secret, Pace::Time),
            [user, secret, counter] => {
                let counter = counter.parse().with_context(|| format!("line {number}: the counter"))?;
                (user, secret, Pace::Presses(counter))
            }
            _ => bail!("line {number}: not `name secret` or `name secret counter`"),
        };
        let secret = SharedSecret::from_base32(secret).with_context(|| format!("line {number}"))?;
        ensure!(users.insert(user), "line {number}: {user:?} stands twice");
        authenticators.push(Authenticator::with_pace(user, &secret, pace));
    }
    ensure!(!authenticators.is_empty(), "no user in it");
    Ok(authenticators)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4226 Appendix D.
    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    fn check(text: &str, expected: Result<&[&str], &str>) {
        match (parse_many(text), expected) {
            (Ok(read), Ok(users)) => {
                assert_eq!(read.iter().map(Authenticator::user).collect::<Vec<_>>(), users)
            }
            (Err(error), Err(part)) => assert!(format!("{error:#}").contains(part), "{error:#}"),
            (read, expected) => panic!("{text:?}: {read:?}, not {expected:?}"),
        }
    }

    #[test]
    fn a_file_of_users_has_a_name_and_a_secret_on_each_line() {
        check(&format!("# made by hand\nalice {SECRET}\n\n bob  {SECRET}\n"), Ok(&["alice", "bob"]));
        check("", Err("no user in it"));
        check("alice", Err("line 1: not `name secret` or"));
        check(&format!("alice {SECRET} 7\n"), Ok(&["alice"]));
        check(&format!("alice {SECRET} x\n"), Err("line 1: the counter"));
        check(&format!("alice {SECRET}\nbob 1"), Err("line 2: the secret is not base32"));
        check(&format!("alice {SECRET}\nalice {SECRET}"), Err("line 2: \"alice\" stands twice"));
    }

    #[test]
    fn a_line_that_was_written_reads_back() {
        let secret = SharedSecret::from_base32(SECRET).unwrap();
        for pace in [Pace::Time, Pace::Presses(12)] {
            let read = parse_many(&line("alice", &secret, pace)).unwrap();
            assert_eq!((read[0].user(), read[0].pace()), ("alice", pace));
        }
    }

    #[test]
    fn counters_are_written_back_and_other_lines_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let before = format!("# made by hand\nalice {SECRET}\nbob {SECRET} 3\ncarol {SECRET} 4\n");
        std::fs::write(&path, &before).unwrap();
        let paces = [("alice", Pace::Time), ("bob", Pace::Presses(12))];
        write_counters(&path, paces.into_iter()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before.replace(" 3\n", " 12\n"));
    }

    #[test]
    fn errors_do_not_repeat_a_secret() {
        let error = parse_many("alice CANARY1CANARYCANARYCANARY").unwrap_err();
        assert!(!format!("{error:#} {error:?}").contains("CANARY"));
    }

    #[test]
    fn codes_are_those_of_the_rfc_and_a_wrong_code_is_none_of_them() {
        let secret = SharedSecret::from_base32(SECRET).unwrap();
        let alice = Authenticator::new("alice", &secret);
        assert_eq!(alice.code(3).as_deref(), Some("969429"));
        let mut chance = Chance::new(1, 1);
        for _ in 0..1_000 {
            let wrong = alice.wrong_code(3, &mut chance);
            assert!((0..=6).all(|step| alice.code(step).as_ref() != Some(&wrong)));
        }
    }

    #[test]
    fn presses_give_the_codes_of_the_rfc_and_a_wrong_one_is_none_that_is_looked_at() {
        let secret = SharedSecret::from_base32(SECRET).unwrap();
        let alice = Authenticator::with_pace("alice", &secret, Pace::Presses(0));
        assert_eq!([alice.press(0), alice.press(1)], ["755224", "287082"]);
        let mut chance = Chance::new(1, 1);
        for _ in 0..100 {
            let wrong = alice.wrong_code(5, &mut chance);
            assert!((4..=105).all(|counter| alice.press(counter) != wrong));
        }
        let again = (0..20_000).find(|counter| alice.comes_again(*counter)).unwrap();
        assert!((again + 1..=again + 101).any(|later| alice.press(later) == alice.press(again)));
    }

    #[test]
    fn a_code_with_a_double_near_it_is_not_used() {
        let secret = SharedSecret::from_base32(SECRET).unwrap();
        let alice = Authenticator::new("alice", &secret);
        // The first two neighbours of this secret with the same digits, 911617; found by trying.
        let (first, second) = (910_737, 910_738);
        assert!(alice.key.value(first).matches(&alice.key.value(second)));
        assert_eq!([first, second].map(|step| alice.code(step)), [None, None]);
        assert!(alice.code(first - 1).is_some());
        assert!(alice.code(second + 1).is_some());
    }
}
