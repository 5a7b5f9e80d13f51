//! A user's phone: the codes of his token, and wrong ones; and the file that keeps the secrets of many.
//!
//! Tokens are as Postern makes them: SHA-1, six digits, 30 seconds.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use otp_core::{Algorithm, Digits, OtpKey, OtpValue, SharedSecret};
use zeroize::Zeroizing;

use crate::chance::Chance;

/// Most users in one file: as many as the largest deployment that is measured.
const USERS_MAX: usize = 1_000_000;

/// How far around a step the digits of a code must be its own. The verifier accepts one step each way, its clock
/// may have gone on by one since the code was made, and a replay may come one step later still.
const NEIGHBOURS: u64 = 3;

/// Most draws for a wrong code. Seven of a million codes are right, so that two are rarely needed.
const DRAWS_MAX: usize = 16;

/// A user with his token.
#[derive(Debug)]
pub struct Authenticator {
    user: String,
    key: OtpKey,
}

impl Authenticator {
    /// The token with this secret.
    pub fn new(user: &str, secret: &SharedSecret) -> Self {
        Self { user: user.to_owned(), key: OtpKey::new(secret, Algorithm::Sha1, Digits::SIX) }
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

    /// Six digits that are no code of any step near this one.
    pub fn wrong_code(&self, step: u64, chance: &mut Chance) -> String {
        let draw = || format!("{:06}", chance.below(1_000_000));
        let is_wrong = |text: &String| {
            let typed = OtpValue::from_typed(text, Digits::SIX).expect("six digits");
            near(step).all(|near| !self.key.value(near).matches(&typed))
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
pub fn line(user: &str, secret: &SharedSecret) -> Zeroizing<String> {
    Zeroizing::new(format!("{user} {}\n", secret.to_base32().as_str()))
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
        let Some((user, secret)) = line.split_once(' ') else { bail!("line {number}: not `name secret`") };
        let secret = SharedSecret::from_base32(secret).with_context(|| format!("line {number}"))?;
        ensure!(users.insert(user), "line {number}: {user:?} stands twice");
        authenticators.push(Authenticator::new(user, &secret));
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
        check("alice", Err("line 1: not `name secret`"));
        check(&format!("alice {SECRET}\nbob 1"), Err("line 2: the secret is not base32"));
        check(&format!("alice {SECRET}\nalice {SECRET}"), Err("line 2: \"alice\" stands twice"));
    }

    #[test]
    fn a_line_that_was_written_reads_back() {
        let secret = SharedSecret::from_base32(SECRET).unwrap();
        check(&line("alice", &secret), Ok(&["alice"]));
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
