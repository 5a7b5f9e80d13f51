//! Ids of persons from what a directory names its entries by.
//!
//! That is a UUID of 128 bits (`entryUUID` of RFC 4530, `objectGUID`), as ours are. Ours is the other one, enciphered with
//! AES-256 as one block under a key of its own: who has an id can be asked for without a table of who had which, and
//! nobody who writes into a directory can choose an id that is somebody else's.

use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey};

use super::PersonId;
use crate::keys::MasterKey;

/// Turns UUIDs into ids and back.
pub(super) struct Names {
    to: EncryptingKey,
    from: DecryptingKey,
}

impl Names {
    pub(super) fn new(master: &MasterKey) -> Self {
        let key = master.derive("ids of the directory");
        let key = || UnboundCipherKey::new(&AES_256, key.as_slice()).expect("the derived key has 32 bytes");
        Self {
            to: EncryptingKey::ecb(key()).expect("AES has this mode"),
            from: DecryptingKey::ecb(key()).expect("AES has this mode"),
        }
    }

    /// The id of the person whose entry has this UUID.
    pub(super) fn id(&self, uuid: [u8; 16]) -> PersonId {
        let mut block = uuid;
        self.to.encrypt(&mut block).expect("it is one whole block");
        PersonId(u128::from_be_bytes(block))
    }

    /// The filter that finds the entry of an id: its UUID as text, and as bytes.
    pub(super) fn condition(&self, attribute: &str, id: PersonId) -> String {
        let mut block = id.0.to_be_bytes();
        self.from.decrypt(&mut block, DecryptionContext::None).expect("it is one whole block");
        let digits = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let parts = [&block[..4], &block[4..6], &block[6..8], &block[8..10], &block[10..]].map(digits);
        let bytes: String = block.iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!("(|({attribute}={})({attribute}={bytes}))", parts.join("-"))
    }
}

/// A UUID, as an attribute has it: sixteen bytes, or their digits with or without `-` and braces.
pub(super) fn uuid(value: &[u8]) -> Option<[u8; 16]> {
    if let Ok(bytes) = value.try_into() {
        return Some(bytes);
    }
    let text = str::from_utf8(value).ok()?.trim_matches(['{', '}']).replace('-', "");
    data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_its_entry_and_to_no_other() {
        let names = Names::new(&MasterKey::generate().unwrap());
        let text = b"597ae2f6-16a6-1027-98f4-d28b5365dc14";
        let named = uuid(text).unwrap();
        assert_eq!(uuid(b"{597AE2F6-16A6-1027-98F4-D28B5365DC14}"), Some(named));
        assert_eq!(uuid(&named), Some(named));
        for odd in [&b"597ae2f6"[..], b"", b"597ae2f6-16a6-1027-98f4-d28b5365dc1g", &[7; 17]] {
            assert_eq!(uuid(odd), None);
        }
        let condition = names.condition("entryUUID", names.id(named));
        assert!(
            condition.starts_with("(|(entryUUID=597ae2f6-16a6-1027-98f4-d28b5365dc14)(entryUUID=\\59\\7a")
        );
        assert!(ldap3::parse_filter(&condition).is_ok());
        let other = Names::new(&MasterKey::generate().unwrap());
        assert_ne!(other.id(named), names.id(named));
    }
}
