//! Issued passwords: ten digits of Crockford's base 32, which are fifty bits.
//!
//! A password is derived from a key, its request and the moment of its issue. Neither the store nor the memory holds it:
//! who may know it gets it derived once more, and what is typed is looked up by a keyed hash. Each issue draws a
//! generation of its own, so that a request which a lost store lets somebody approve a second time gives another password
//! than the one that may have been used.

use std::fmt;

use zeroize::Zeroizing;

use super::RequestId;
use crate::crockford;
use crate::keys::{MasterKey, NameHasher};

/// Digits of a password. Five tries at one of 2^50, and a throttle besides: nobody guesses it in half an hour.
const DIGITS: usize = 10;

/// What a password is looked up by.
pub(super) type Digest = [u8; 16];

/// A password in its one canonical form: ten digits, no dash.
#[derive(Clone)]
pub struct IssuedPassword(Zeroizing<[u8; DIGITS]>);

impl IssuedPassword {
    /// Reads what was typed, in any spelling. `None` for anything that cannot be one.
    pub fn from_typed(typed: &str) -> Option<Self> {
        crockford::typed(typed).map(Self)
    }

    /// `XXXXX-XXXXX`, for its person and whoever may tell him.
    pub fn expose(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(DIGITS + 1));
        for (place, digit) in self.0.iter().enumerate() {
            if place == DIGITS / 2 {
                text.push('-');
            }
            text.push(char::from(*digit));
        }
        text
    }
}

impl fmt::Debug for IssuedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IssuedPassword(..)")
    }
}

/// Derives passwords, and names them.
#[derive(Debug)]
pub(super) struct Passwords {
    deriving: NameHasher,
    naming: NameHasher,
    disowning: NameHasher,
}

impl Passwords {
    pub(super) fn new(master: &MasterKey) -> Self {
        Self {
            deriving: NameHasher::new(master, "issued passwords"),
            naming: NameHasher::new(master, "issued passwords, digests"),
            disowning: NameHasher::new(master, "issued passwords, disowning"),
        }
    }

    /// The password of an issue.
    pub(super) fn derive(&self, request: RequestId, generation: u64) -> IssuedPassword {
        let bytes = Zeroizing::new(self.deriving.key(&[&request.bytes(), &generation.to_be_bytes()]));
        let mut digits = Zeroizing::new([0; DIGITS]);
        for (place, digit) in digits.iter_mut().enumerate() {
            *digit = crockford::digit(u128::from_be_bytes(*bytes) >> (5 * place));
        }
        IssuedPassword(digits)
    }

    /// What it is looked up by.
    pub(super) fn digest(&self, password: &IssuedPassword) -> Digest {
        self.naming.key(&[password.0.as_slice()])
    }

    /// What proves that somebody has the mail of a request: it takes the request back, and does nothing else.
    pub(super) fn disowning(&self, request: RequestId) -> u128 {
        u128::from_be_bytes(self.disowning.key(&[&request.bytes()]))
    }

    /// Whether this is that proof. How long that takes tells nothing that helps to guess one.
    pub(super) fn is_disowning(&self, request: RequestId, proof: u128) -> bool {
        let (known, shown) = (self.disowning(request).to_be_bytes(), proof.to_be_bytes());
        aws_lc_rs::constant_time::verify_slices_are_equal(&known, &shown).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        Passwords::new(&MasterKey::generate().unwrap())
    }

    // covers: R9
    #[test]
    fn a_password_is_the_same_each_time_it_is_derived_and_another_for_each_issue() {
        let passwords = passwords();
        let text = |id, generation| passwords.derive(RequestId::from_random(id), generation).expose();
        let (one, other) = ([1; 16], [2; 16]);
        assert_eq!(*text(one, 7), *text(one, 7));
        assert_ne!(*text(one, 7), *text(one, 8));
        assert_ne!(*text(one, 7), *text(other, 7));
        assert_ne!(*text(one, 7), *self::passwords().derive(RequestId::from_random(one), 7).expose());
    }

    // covers: R7
    #[test]
    fn every_spelling_of_a_password_is_the_same_password() {
        let passwords = passwords();
        let password = passwords.derive(RequestId::from_random([1; 16]), 7);
        let text = password.expose();
        assert_eq!(text.len(), 11);
        let digest = passwords.digest(&password);
        let read = |typed: &str| IssuedPassword::from_typed(typed).map(|typed| passwords.digest(&typed));
        let misread = text.replace('0', "o").replace('1', "l").replace('-', " ");
        for typed in [text.as_str(), &text.to_lowercase(), &misread, &format!(" {} ", text.replace('-', ""))]
        {
            assert_eq!(read(typed), Some(digest), "{typed}");
        }
        for typed in ["", &text[..10], &format!("{}0", *text), "123456", "AAAAA-AAAAU"] {
            assert_eq!(read(typed), None, "{typed}");
        }
        assert_ne!(read("00000-00000"), Some(digest));
    }
}
