//! Signed checkpoints: how far the audit trail had come, for others to keep.
//!
//! Every answer to an agent carries the newest one, and every agent shows the newest that it has when it connects. A
//! verifier whose trail does not reach a checkpoint of its own, or says something else at that place, has lost what it
//! had decided: its store was restored from a copy, or its machine set back. Such a store takes codes again that were
//! used, so it decides nothing until an administrator has settled it (docs/audit.md).
//!
//! Who presents a checkpoint is believed nothing but that we signed it once: nobody else can make one that is ahead.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::BASE64URL_NOPAD;

use crate::clock::UnixTime;
use crate::keys::MasterKey;

/// Bytes of what is signed: epoch, sequence, chain value, time.
const BODY_BYTES: usize = 4 + 8 + 32 + 8;

/// Bytes of an Ed25519 signature (RFC 8032 §5.1.6).
const SIGNATURE_BYTES: usize = 64;

/// What a signature is about, so that it serves nothing else.
const PURPOSE: &[u8] = b"postern audit checkpoint, format 1\0";

/// How far the trail had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How often a loss was settled. What was signed before counts no more then.
    pub epoch: u32,
    /// The newest record; 0 for an empty trail.
    pub sequence: u64,
    /// Its chain value; zeros for an empty trail.
    pub head: [u8; 32],
    /// When, by this verifier's clock.
    pub at: UnixTime,
}

impl Checkpoint {
    fn body(&self) -> [u8; BODY_BYTES] {
        let mut body = [0; BODY_BYTES];
        body[..4].copy_from_slice(&self.epoch.to_be_bytes());
        body[4..12].copy_from_slice(&self.sequence.to_be_bytes());
        body[12..44].copy_from_slice(&self.head);
        body[44..].copy_from_slice(&self.at.to_be_bytes());
        body
    }

    fn of_body(body: &[u8; BODY_BYTES]) -> Self {
        let (mut epoch, mut sequence, mut head, mut at) = ([0; 4], [0; 8], [0; 32], [0; 8]);
        epoch.copy_from_slice(&body[..4]);
        sequence.copy_from_slice(&body[4..12]);
        head.copy_from_slice(&body[12..44]);
        at.copy_from_slice(&body[44..]);
        let (epoch, sequence, at) =
            (u32::from_be_bytes(epoch), u64::from_be_bytes(sequence), u64::from_be_bytes(at));
        Self { epoch, sequence, head, at }
    }
}

/// Signs checkpoints and knows its own again. The key is derived from the master key, so every verifier with the same
/// master key knows those of the others.
pub struct CheckpointKey(Ed25519KeyPair);

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckpointKey(..)")
    }
}

impl CheckpointKey {
    /// The key of this installation.
    pub fn new(master: &MasterKey) -> Self {
        let seed = master.derive("audit checkpoints");
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice());
        Self(pair.expect("an Ed25519 seed has the 32 bytes of a derived key"))
    }

    /// A checkpoint as text: 155 characters of base 64 (RFC 4648 §5), without padding.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let body = checkpoint.body();
        let signature = self.0.sign(&[PURPOSE, &body].concat());
        BASE64URL_NOPAD.encode(&[&body, signature.as_ref()].concat())
    }

    /// Reads what [`Self::sign`] wrote; `None` for everything else.
    pub fn read(&self, text: &str) -> Option<Checkpoint> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (body, signature) = bytes.split_first_chunk::<BODY_BYTES>()?;
        if signature.len() != SIGNATURE_BYTES {
            return None;
        }
        let key = UnparsedPublicKey::new(&ED25519, self.0.public_key().as_ref());
        key.verify(&[PURPOSE, body].concat(), signature).ok()?;
        Some(Checkpoint::of_body(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKPOINT: Checkpoint = Checkpoint { epoch: 2, sequence: 77, head: [9; 32], at: 1_800_000_000 };

    // covers: P7
    #[test]
    fn a_checkpoint_is_known_again_by_its_own_key_alone() {
        let (key, other) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
        let text = CheckpointKey::new(&key).sign(&CHECKPOINT);
        assert_eq!(text.len(), 155);
        assert_eq!(CheckpointKey::new(&key).read(&text), Some(CHECKPOINT));
        assert_eq!(CheckpointKey::new(&other).read(&text), None);
    }

    // covers: P7
    #[test]
    fn of_a_checkpoint_no_bit_can_be_changed_and_none_left_out() {
        let key = CheckpointKey::new(&MasterKey::generate().unwrap());
        let text = key.sign(&CHECKPOINT);
        let signed = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
        for bit in 0..signed.len() * 8 {
            let mut changed = signed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.read(&BASE64URL_NOPAD.encode(&changed)), None, "bit {bit}");
        }
        for length in 0..signed.len() {
            assert_eq!(key.read(&BASE64URL_NOPAD.encode(&signed[..length])), None, "{length} bytes");
        }
        for odd in ["", "=", "\u{e9}", &format!("{text}A"), &format!(" {text}")] {
            assert_eq!(key.read(odd), None, "{odd:?}");
        }
    }
}
