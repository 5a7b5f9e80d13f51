//! What a host remembers of its offline passwords, as one record with a MAC under the host's own key: a damaged or a foreign
//! record is not taken for one. Root, who has the key, could write any.

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use offline_password::{HostKey, Redeemed};
use serde::{Deserialize, Serialize};

use super::grants::Grants;
use super::moment::Latest;
use super::tries::AllTries;
use crate::clock::UnixTime;

/// The first line of a record: what it is, and its format.
const HEAD: &str = "postern offline state 1";

/// Uses that wait to be told: as many as passwords can be used before a verifier has heard of the first.
pub const USES_MAX: usize = 256;

/// A password that was used, for the verifiers to hear of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Which.
    pub counter: u64,
    /// The Unix account of that login.
    pub user: String,
    /// Its PAM service.
    pub service: String,
    /// When, by this host's clock.
    pub at: UnixTime,
    /// When what it gave ends.
    pub until: UnixTime,
}

/// All that is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The number of the host's key.
    pub epoch: u32,
    /// Rises with each change.
    pub generation: u64,
    /// The latest time that was known.
    pub latest: Latest,
    /// Which passwords were used.
    pub redeemed: Redeemed,
    /// How often somebody was wrong.
    pub tries: AllTries,
    /// What holds.
    pub grants: Grants,
    /// What the verifiers have not heard of.
    pub uses: Vec<Use>,
}

/// Bytes that are no record of this host under this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("damaged, or of another host or key")]
pub struct KeptError;

/// The record as written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    epoch: u32,
    generation: u64,
    latest: Latest,
    redeemed: String,
    tries: AllTries,
    grants: Grants,
    uses: Vec<Use>,
}

impl Kept {
    /// What is remembered under a new key: that time has come so far.
    pub fn new(epoch: u32, latest: Latest) -> Self {
        Self {
            epoch,
            generation: 0,
            latest,
            redeemed: Redeemed::default(),
            tries: AllTries::default(),
            grants: Grants::default(),
            uses: Vec::new(),
        }
    }

    /// Writes the record.
    pub fn encode(&self, key: &HostKey) -> Vec<u8> {
        let written = Written {
            epoch: self.epoch,
            generation: self.generation,
            latest: self.latest.clone(),
            redeemed: BASE64.encode(&self.redeemed.encode()),
            tries: self.tries.clone(),
            grants: self.grants.clone(),
            uses: self.uses.clone(),
        };
        let body = serde_json::to_string(&written).expect("the record holds only numbers, texts and lists");
        let tag = hmac::sign(&mac_key(key), format!("{HEAD}\n{body}").as_bytes());
        format!("{HEAD}\n{}\n{body}\n", BASE64.encode(tag.as_ref())).into_bytes()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`KeptError`] for whatever [`Kept::encode`] did not write with this key.
    pub fn decode(bytes: &[u8], key: &HostKey) -> Result<Self, KeptError> {
        let text = std::str::from_utf8(bytes).map_err(|_| KeptError)?;
        let rest = text.strip_prefix(HEAD).and_then(|rest| rest.strip_prefix('\n')).ok_or(KeptError)?;
        let (tag, body) = rest.split_once('\n').ok_or(KeptError)?;
        let body = body.strip_suffix('\n').ok_or(KeptError)?;
        let tag = BASE64.decode(tag.as_bytes()).map_err(|_| KeptError)?;
        hmac::verify(&mac_key(key), format!("{HEAD}\n{body}").as_bytes(), &tag).map_err(|_| KeptError)?;
        let Written { epoch, generation, latest, redeemed, tries, grants, uses } =
            serde_json::from_str(body).map_err(|_| KeptError)?;
        let redeemed = BASE64.decode(redeemed.as_bytes()).map_err(|_| KeptError)?;
        let redeemed = Redeemed::decode(&redeemed).map_err(|_| KeptError)?;
        Ok(Self { epoch, generation, latest, redeemed, tries, grants, uses })
    }
}

/// The text that is signed begins as no other text that this key signs.
fn mac_key(key: &HostKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key.expose())
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::super::moment::moment;
    use super::*;

    // covers: D15
    #[test]
    fn a_record_reads_back_and_none_with_another_byte_or_key_or_end() {
        let key = HostKey::new(Zeroizing::new([7; 32]));
        let used = Use { counter: 3, user: "alice".into(), service: "sshd".into(), at: 5, until: 9 };
        let redeemed = Redeemed::default().with(3);
        let latest = Latest::new(1_000, &moment(990, "a", 5));
        let kept = Kept { generation: 8, redeemed, uses: vec![used], ..Kept::new(2, latest) };
        let bytes = kept.encode(&key);
        assert_eq!(Kept::decode(&bytes, &key), Ok(kept));
        assert_eq!(Kept::decode(&bytes, &HostKey::new(Zeroizing::new([8; 32]))), Err(KeptError));
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[place] ^= 1 << bit;
                assert_eq!(Kept::decode(&damaged, &key), Err(KeptError), "bit {bit} of byte {place}");
            }
            assert_eq!(Kept::decode(&bytes[..place], &key), Err(KeptError), "{place} bytes");
        }
        assert_eq!(Kept::decode(&[&bytes[..], b"\n"].concat(), &key), Err(KeptError));
    }
}
