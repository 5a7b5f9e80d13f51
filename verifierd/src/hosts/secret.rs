//! The join secret: what lets one host join, once.

use std::fmt;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use wire::fleet::JOIN_SECRET_BYTES;
use zeroize::{Zeroize, Zeroizing};

use crate::keys::{KeyError, NameHasher, random_bytes};

/// Random bytes of a join secret: nobody guesses 128 bits in a quarter of an hour.
const SECRET_BYTES: usize = 16;

/// Characters between two `-`, so that people find their place.
const GROUP: usize = 8;

/// A join secret without what tells the authority.
pub struct JoinSecret(Zeroizing<[u8; SECRET_BYTES]>);

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecret")
    }
}

impl JoinSecret {
    /// Draws a new one.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn draw() -> Result<Self, KeyError> {
        Ok(Self(Zeroizing::new(random_bytes()?)))
    }

    /// Reads what an agent sends: 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map(Zeroizing::new).ok()?;
        <[u8; SECRET_BYTES]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new).map(Self)
    }

    /// What administrators get: base 32 of the secret and of what tells the authority, in groups.
    ///
    /// * `authority`: SHA-256 of the authority's certificate (DER).
    pub fn text(&self, authority: &[u8; 32]) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; JOIN_SECRET_BYTES]);
        bytes[..SECRET_BYTES].copy_from_slice(self.0.as_slice());
        bytes[SECRET_BYTES..].copy_from_slice(authority);
        let mut letters = BASE32_NOPAD.encode(bytes.as_slice());
        let mut text = Zeroizing::new(String::with_capacity(letters.len() + letters.len() / GROUP));
        for (place, letter) in letters.chars().enumerate() {
            if place > 0 && place % GROUP == 0 {
                text.push('-');
            }
            text.push(letter);
        }
        letters.zeroize();
        text
    }

    /// What is kept of it. Whoever has the store cannot join with that.
    pub fn hash(&self, hasher: &NameHasher) -> JoinHash {
        JoinHash(hasher.key(&[self.0.as_slice()]))
    }
}

/// The keyed hash of a join secret. Nobody outside can predict it, so how long a comparison takes tells nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct JoinHash(pub(super) [u8; 16]);

impl fmt::Debug for JoinHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::MasterKey;

    // covers: E24, I13
    #[test]
    fn a_secret_is_told_with_the_authority_and_shows_nothing_of_itself_elsewhere() {
        let secret = JoinSecret::parse("00112233445566778899aabbccddeeff").unwrap();
        let text = secret.text(&[0xff; 32]);
        let groups: Vec<&str> = text.split('-').collect();
        assert_eq!(groups[0], "AAISEM2E");
        assert_eq!((groups.len(), groups[8].len(), groups[9].len()), (10, 8, 5));
        let bytes = BASE32_NOPAD.decode(groups.concat().as_bytes()).unwrap();
        assert_eq!((&bytes[..2], bytes.len(), &bytes[16..]), (&[0, 0x11][..], 48, &[0xff; 32][..]));
        let hash = secret.hash(&NameHasher::new(&MasterKey::generate().unwrap(), "join secrets"));
        assert_eq!((format!("{secret:?}"), format!("{hash:?}")), ("JoinSecret".into(), "JoinHash".into()));
        assert_ne!(hash.0.as_slice(), secret.0.as_slice());
    }

    // covers: I13
    #[test]
    fn a_secret_has_one_form_and_its_hash_needs_our_key() {
        for text in ["", "00", "00112233445566778899AABBCCDDEEFF", "00112233445566778899aabbccddeeff00", " "]
        {
            assert!(JoinSecret::parse(text).is_none(), "{text}");
        }
        let hasher = || NameHasher::new(&MasterKey::generate().unwrap(), "join secrets");
        let (one, other, secret) = (hasher(), hasher(), JoinSecret::draw().unwrap());
        assert_eq!(secret.hash(&one), secret.hash(&one));
        assert_ne!(secret.hash(&one), secret.hash(&other));
        assert_ne!(secret.hash(&one), JoinSecret::draw().unwrap().hash(&one));
    }
}
