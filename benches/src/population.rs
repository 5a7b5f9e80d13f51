//! The users of a measurement: `u0000001` and so on, each with one token that is in use.
//!
//! Secrets are derived from the names, so that whoever measures knows every code without asking. The token is the
//! commonest one: TOTP, SHA-1, six digits, 30 seconds.

use std::ops::Range;

use ledger::{Change, ClaimId, Contents, Credential, Entry, Record};
use otp_core::{Algorithm, Digits, OtpKey, SharedSecret};
use sha2::{Digest as _, Sha256};
use verifierd::accounts::{
    NewSecret, Origin, TokenId, TokenParameters, TokenRecord, TokenState, UserId, UserName, UserRecord,
};
use verifierd::keys::{MasterKey, Sealer};

/// Users in one entry of a ledger; each takes three of its 1,024 changes.
pub const USERS_PER_ENTRY: u64 = 256;

/// When all of them enrolled, in seconds since the Unix epoch.
const ENROLLED: u64 = 1_700_000_000;

/// The master key of a store that holds nothing worth protecting.
pub fn master() -> MasterKey {
    MasterKey::parse("5a".repeat(32).as_bytes()).expect("64 hexadecimal digits")
}

/// The name of a user; the first one is number 0.
pub fn name(number: u64) -> String {
    format!("u{:07}", number + 1)
}

/// His secret: the first 20 bytes of SHA-256 over `postern load` and his name.
pub fn secret(name: &str) -> SharedSecret {
    let hash = Sha256::new().chain_update(b"postern load").chain_update(name).finalize();
    SharedSecret::from_bytes(&hash[..20]).expect("20 bytes")
}

/// His token's key, ready to compute codes.
pub fn key(number: u64) -> OtpKey {
    OtpKey::new(&secret(&name(number)), Algorithm::Sha1, Digits::SIX)
}

/// The keys of the first users, made by two threads: for ten million it takes a while.
pub fn keys(users: u64) -> Vec<OtpKey> {
    let half = users / 2;
    std::thread::scope(|scope| {
        let second = scope.spawn(move || (half..users).map(key).collect::<Vec<_>>());
        let mut keys = Vec::with_capacity(usize::try_from(users).unwrap_or_default());
        keys.extend((0..half).map(key));
        keys.extend(second.join().expect("it makes keys"));
        keys
    })
}

/// Makes the records of users under one master key.
#[derive(Debug)]
pub struct Registrar {
    sealer: Sealer,
}

impl Default for Registrar {
    fn default() -> Self {
        Self { sealer: Sealer::new(&master(), "token secrets") }
    }
}

impl Registrar {
    /// Seals and opens the secrets.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// The entries that bring users into a ledger.
    pub fn entries(&self, users: Range<u64>) -> impl Iterator<Item = Entry> {
        users.clone().step_by(USERS_PER_ENTRY as usize).map(move |first| {
            let numbers = first..users.end.min(first + USERS_PER_ENTRY);
            Entry { changes: numbers.flat_map(|number| self.changes(number)).collect(), ..Entry::default() }
        })
    }

    /// The same users as a ledger gives them back.
    pub fn contents(&self, numbers: Range<u64>) -> Contents {
        let mut contents = Contents::default();
        for change in numbers.flat_map(|number| self.changes(number)) {
            match change {
                Change::Put { kind, key, value } => contents.records.push(Record { kind, key, value }),
                Change::AddCredential { credential, value } => {
                    contents.credentials.push(Credential { id: credential, value, by: ClaimId([0; 16]) });
                }
                _ => unreachable!("a user is two records and a credential"),
            }
        }
        contents
    }

    fn changes(&self, number: u64) -> [Change; 3] {
        let text = name(number);
        let user_name = UserName::new(&text).expect("letters and digits");
        let mut user = UserRecord::new(UserId(identity("user", &text)), &user_name);
        user.otp_on = true;
        let new = NewSecret {
            serial: format!("T{:07}", number + 1),
            parameters: &TokenParameters::default(),
            secret: &secret(&text),
            origin: Origin::App,
        };
        // Ids of tokens are even: the odd ones name their other counts.
        let id = TokenId(identity("token", &text) & !1);
        let token = TokenRecord::new(id, new, &self.sealer, ENROLLED).expect("random bytes");
        let mut token = token.owned_by(Some(user.id), &self.sealer, ENROLLED).expect("its own seal opens");
        token.state = TokenState::Associated;
        token.associated = Some(ENROLLED);
        let credential = token.id.credential(token.generation);
        [user.put(), token.put(), Change::AddCredential { credential, value: 0 }]
    }
}

fn identity(what: &str, name: &str) -> u128 {
    let hash = Sha256::new().chain_update(what).chain_update(b" of ").chain_update(name).finalize();
    u128::from_be_bytes(hash[..16].try_into().expect("16 bytes"))
}

/// Goes round over all users in an order in which neighbours lie far apart, so that no cache knows what comes next.
///
/// * `users`: a power of ten, or anything else that is no multiple of 3, 13, 23 or 53.
pub fn scattered(position: u64, users: u64) -> u64 {
    /// 3 * 13 * 13 * 23 * 53, about the golden section of a million.
    const STRIDE: u64 = 618_033;
    (position % users).wrapping_mul(STRIDE) % users
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use verifierd::accounts::kind;

    #[test]
    fn a_round_meets_every_user_once() {
        let met: HashSet<u64> = (0..10_000).map(|position| scattered(position, 10_000)).collect();
        assert_eq!(met.len(), 10_000);
        assert_eq!(scattered(10_007, 10_000), scattered(7, 10_000));
    }

    #[test]
    fn what_a_ledger_gives_back_are_users_with_a_token_in_use() {
        let registrar = Registrar::default();
        let contents = registrar.contents(9..10);
        let of = |kind: u8| &contents.records.iter().find(|record| record.kind == kind).unwrap().value;
        let (user, name) = UserRecord::decode(of(kind::USER)).unwrap();
        assert!(user.otp_on && name.as_str() == "u0000010");
        let token = TokenRecord::decode(of(kind::TOKEN)).unwrap();
        assert_eq!((token.user, token.state), (Some(user.id), TokenState::Associated));
        let sealed = token.secret(registrar.sealer()).unwrap();
        assert_eq!(sealed.expose(), secret("u0000010").expose());
        assert_eq!(contents.credentials[0].id, token.id.credential(token.generation));
    }

    #[test]
    fn entries_hold_every_user_and_fit_their_bounds() {
        let changes: Vec<usize> =
            Registrar::default().entries(0..600).map(|entry| entry.changes.len()).collect();
        assert_eq!(changes, [768, 768, 264]);
        assert!(changes[0] <= ledger::ENTRY_CHANGES_MAX);
    }
}
