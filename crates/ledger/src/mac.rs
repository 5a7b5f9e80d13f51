//! The MACs over everything that is stored, each purpose under a key of its own.
//!
//! Does not decide what is covered: each caller names the parts. Source: HMAC is RFC 2104, SHA-256 is
//! FIPS 180-4; keys are told apart by HMAC over a label, as the expand step of RFC 5869 does.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

/// Length of a MAC in bytes.
pub(crate) const MAC_BYTES: usize = 32;

/// A MAC as stored beside what it covers.
pub(crate) type Mac = [u8; MAC_BYTES];

/// A key for one purpose, ready to use. Wiped on drop by the hash implementation.
#[derive(Clone)]
pub(crate) struct MacKey(Hmac<Sha256>);

impl MacKey {
    /// The key for the purpose `label`, bound to `context` (empty, or the id of the store).
    pub(crate) fn derive(root: &[u8; 32], label: &str, context: &[u8]) -> Self {
        let derived = keyed(root).chain_update([len_byte(label)]).chain_update(label).chain_update(context);
        let bytes: [u8; 32] = derived.finalize().into_bytes().into();
        Self(keyed(&bytes))
    }

    /// The MAC over the parts, one after the other. All parts but the last must have a length that is fixed
    /// or stands before them, so that no two lists of parts give the same bytes.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> Mac {
        self.over(parts).finalize().into_bytes().into()
    }

    /// Whether `mac` is the MAC over the parts; compares in constant time.
    pub(crate) fn holds(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        self.over(parts).verify_slice(mac).is_ok()
    }

    fn over(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut state = self.0.clone();
        parts.iter().for_each(|part| state.update(part));
        state
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey")
    }
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn len_byte(label: &str) -> u8 {
    u8::try_from(label.len()).expect("labels are short literals")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_and_contexts_have_different_keys() {
        let root = [7; 32];
        let macs = [("a", ""), ("b", ""), ("a", "x"), ("ax", "")]
            .map(|(label, context)| MacKey::derive(&root, label, context.as_bytes()).mac(&[b"text"]));
        for (i, one) in macs.iter().enumerate() {
            assert!(macs.iter().skip(i + 1).all(|other| other != one));
        }
    }

    #[test]
    fn a_mac_holds_for_its_own_bytes_only() {
        let key = MacKey::derive(&[1; 32], "purpose", &[]);
        let mac = key.mac(&[b"ab", b"c"]);
        assert!(key.holds(&[b"ab", b"c"], &mac));
        assert!(!key.holds(&[b"ab", b"d"], &mac));
        assert!(!key.holds(&[b"ab", b"c"], &mac[..31]));
    }
}
