//! Recovery codes: ten at a time, each good for one login.
//!
//! A code is 80 random bits. What is kept is a keyed hash of it, bound to its user and its set, which is at
//! the same time its name in the ledger: a code is used by a claim on that name, so it can be used once.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ledger::{Change, CredentialId};
use otp_core::ThrottleRules;
use zeroize::Zeroizing;

use super::{RecordError, RecoveryRecord, UserId};
use crate::keys::{KeyError, NameHasher, random_bytes};

/// How many codes make a set.
pub const CODES: usize = 10;

/// The value of a code's credential once it is used; 0 before.
pub const USED: u64 = 1;

/// Bytes of chance in a code: 80 bits, above the 64 that guessing in bulk would need to fear.
const CODE_BYTES: usize = 10;

/// Characters of a code, without the dashes.
const CODE_CHARACTERS: usize = 16;

/// Longest text that is looked at: a code with some spaces and dashes.
const TYPED_BYTES_MAX: usize = 64;

/// Crockford's base 32, which has no I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A recovery code in its one canonical form: 16 characters, no dashes.
#[derive(Clone)]
pub struct RecoveryCode(Zeroizing<[u8; CODE_CHARACTERS]>);

impl RecoveryCode {
    /// Draws a new one.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn draw() -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(random_bytes::<CODE_BYTES>()?);
        let mut characters = Zeroizing::new([0; CODE_CHARACTERS]);
        // Five bytes are forty bits are eight characters.
        for (five, eight) in bytes.chunks_exact(5).zip(characters.chunks_exact_mut(8)) {
            let bits = five.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            for (place, character) in eight.iter_mut().enumerate() {
                let index = (bits >> (35 - 5 * place)) & 31;
                *character = ALPHABET[usize::try_from(index).expect("five bits")];
            }
        }
        Ok(Self(characters))
    }

    /// Reads what was typed: spaces, dashes and case do not matter, `O` is 0, `I` and `L` are 1. `None` for
    /// anything that cannot be a code, every one-time password among it.
    pub fn from_typed(typed: &str) -> Option<Self> {
        if typed.len() > TYPED_BYTES_MAX {
            return None;
        }
        let mut characters = Zeroizing::new([0; CODE_CHARACTERS]);
        let mut count = 0;
        for byte in typed.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
            let character = match byte.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other => other,
            };
            if !ALPHABET.contains(&character) {
                return None;
            }
            *characters.get_mut(count)? = character;
            count += 1;
        }
        (count == CODE_CHARACTERS).then_some(Self(characters))
    }

    /// `XXXX-XXXX-XXXX-XXXX`, for its user and nobody else.
    pub fn expose(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(CODE_CHARACTERS + 3));
        for (place, character) in self.0.iter().enumerate() {
            if place > 0 && place % 4 == 0 {
                text.push('-');
            }
            text.push(char::from(*character));
        }
        text
    }

    /// Its name in the ledger.
    pub fn credential(&self, user: UserId, set: u128, hasher: &NameHasher) -> CredentialId {
        CredentialId(hasher.key(&[&user.0.to_be_bytes(), &set.to_be_bytes(), self.0.as_slice()]))
    }
}

impl std::fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecoveryCode(..)")
    }
}

/// A user's recovery codes as logins see them.
#[derive(Debug)]
pub struct RecoverySet {
    /// As in the ledger.
    pub record: RecoveryRecord,
    codes: Vec<(CredentialId, AtomicBool)>,
    failures: AtomicU32,
}

impl RecoverySet {
    /// Takes over a record. `is_used` tells of each code whether its claim was made.
    ///
    /// # Errors
    /// When the record is damaged.
    pub fn open(record: RecoveryRecord, is_used: impl Fn(CredentialId) -> bool) -> Result<Self, RecordError> {
        let codes = record.codes()?.into_iter().map(|code| (code, AtomicBool::new(is_used(code)))).collect();
        Ok(Self { record, codes, failures: AtomicU32::new(0) })
    }

    /// Whether the code of this name is one of the set and not used. `None` when it is none of the set.
    pub fn is_unused(&self, code: CredentialId) -> Option<bool> {
        let found = self.codes.iter().find(|(known, _)| *known == code)?;
        // Acquire: whoever sees the mark also sees what the claim's login did.
        Some(!found.1.load(Ordering::Acquire))
    }

    /// Marks a code as used. To be called after the claim is durable.
    pub fn set_used(&self, code: CredentialId) {
        for (_, used) in self.codes.iter().filter(|(known, _)| *known == code) {
            used.store(true, Ordering::Release);
        }
    }

    /// How many are left.
    pub fn left(&self) -> u32 {
        let unused = self.codes.iter().filter(|(_, used)| !used.load(Ordering::Acquire)).count();
        u32::try_from(unused).unwrap_or(u32::MAX)
    }

    /// Counts a wrong code and returns how many there are now in a row.
    pub fn add_failure(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Wrong codes in a row.
    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Ends the row. Returns how long it was.
    pub fn clear_failures(&self) -> u32 {
        self.failures.swap(0, Ordering::Relaxed)
    }

    /// Takes over the row as stored.
    pub fn restore_failures(&self, count: u32) {
        self.failures.fetch_max(count, Ordering::Relaxed);
    }

    /// Whether too many wrong codes in a row have disabled the set.
    pub fn is_locked(&self) -> bool {
        ThrottleRules::default().disables(self.failures())
    }

    /// The ledger change that keeps its row of wrong codes.
    pub fn put_failures(&self, count: u32) -> Change {
        super::token::put_failures(self.record.id, count)
    }

    /// What makes its codes void.
    pub fn wipe(&self) -> Vec<Change> {
        let gone = |(credential, _): &(CredentialId, AtomicBool)| Change::RemoveCredential {
            credential: *credential,
        };
        let mut changes: Vec<_> = self.codes.iter().map(gone).collect();
        changes.extend([RecoveryRecord::delete(self.record.user), self.put_failures(0)]);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::MasterKey;

    // covers: A14
    #[test]
    fn every_spelling_of_a_code_is_the_same_code() {
        let hasher = NameHasher::new(&MasterKey::generate().unwrap(), "test");
        let name =
            |typed: &str| RecoveryCode::from_typed(typed).map(|code| code.credential(UserId(1), 2, &hasher));
        let canonical = name("7K2M-9QXD-4H5T-B0W1");
        assert!(canonical.is_some());
        for typed in ["7k2m9qxd4h5tb0w1", " 7K2M 9QXD 4H5T BOWI ", "7K2M-9QXD-4H5T-bOwL"] {
            assert_eq!(name(typed), canonical, "{typed}");
        }
        for typed in [
            "",
            "123456",
            "7K2M-9QXD-4H5T-B0W",
            "7K2M-9QXD-4H5T-B0W11",
            "7K2M-9QXD-4H5T-B0WU",
            "7K2M\t9QXD4H5TB0W1",
            "７K2M-9QXD-4H5T-B0W1",
        ] {
            assert_eq!(name(typed), None, "{typed}");
        }
    }

    // covers: A14
    #[test]
    fn the_same_code_of_another_user_or_set_has_another_name() {
        let hasher = NameHasher::new(&MasterKey::generate().unwrap(), "test");
        let code = RecoveryCode::draw().unwrap();
        let name = |user, set| code.credential(UserId(user), set, &hasher);
        assert_ne!(name(1, 2), name(2, 2));
        assert_ne!(name(1, 2), name(1, 3));
        assert_eq!(name(1, 2), name(1, 2));
    }

    // covers: P1
    #[test]
    fn a_drawn_code_reads_back() {
        for _ in 0..100 {
            let text = RecoveryCode::draw().unwrap().expose();
            assert_eq!(text.len(), 19);
            assert_eq!(RecoveryCode::from_typed(&text).unwrap().expose(), text);
        }
    }
}
