//! The key of one host: whoever has it can make passwords for that host and for no other one.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Bytes of the number of a host's key: it rises when the host gets another one.
pub const EPOCH_BYTES: usize = 4;

/// What the key is for, so that no other use of the master key can give it.
const PURPOSE: &[u8] = b"postern offline passwords 1";

/// A host's key: 256 bits, wiped when dropped.
#[derive(Clone)]
pub struct HostKey(Zeroizing<[u8; 32]>);

impl HostKey {
    /// HKDF-SHA-256 (RFC 5869) of the master key, with the fleet as salt.
    ///
    /// * `fleet`, `host`: their ids, which never change and are never given again.
    /// * `epoch`: the number of the key; a host that is set up anew gets the next one.
    pub fn derive(master: &[u8; 32], fleet: &[u8; 16], host: &[u8; 16], epoch: u32) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        let epoch: [u8; EPOCH_BYTES] = epoch.to_be_bytes();
        Hkdf::<Sha256>::new(Some(fleet), master)
            .expand_multi_info(&[PURPOSE, host, &epoch], key.as_mut())
            .expect("32 bytes are fewer than 255 hashes");
        Self(key)
    }

    /// The key that a host was given.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// For the host that it is of, and for nobody else.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HostKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: D10
    #[test]
    fn fleets_hosts_and_epochs_have_keys_of_their_own() {
        let key = |fleet, host, epoch| *HostKey::derive(&[7; 32], &[fleet; 16], &[host; 16], epoch).expose();
        let keys = [key(1, 1, 0), key(2, 1, 0), key(1, 2, 0), key(1, 1, 1)];
        for (place, one) in keys.iter().enumerate() {
            assert!(keys[place + 1..].iter().all(|other| other != one));
        }
        assert_eq!(key(1, 1, 0), keys[0]);
        assert_eq!(format!("{:?}", HostKey::new(Zeroizing::new([9; 32]))), "HostKey(..)");
    }
}
