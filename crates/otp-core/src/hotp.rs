//! The OTP value of a moving factor: HMAC, dynamic truncation, reduction to digits.
//!
//! TOTP is the same with a time step as the moving factor (RFC 6238 §4.2), so both kinds of token share
//! [`OtpKey`]. This module keeps no counter and does not look for matches; see [`crate::matching`].
//!
//! Source: RFC 4226 §5.3 and §5.4.

use std::fmt;

use hmac::KeyInit as _;
use hmac::block_api::HmacCore;
use hmac::digest::Output;
use hmac::digest::block_api::{Buffer, EagerHash, FixedOutputCore, UpdateCore};
use sha1::block_api::compress;
use sha1::{Digest as _, Sha1};
use sha2::{Sha256, Sha512};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Algorithm, Digits, OtpValue, SharedSecret};

/// One secret, ready for use: the two HMAC states after the padded key, with the number of digits.
///
/// Keeping the states instead of the secret saves two of the four compressions of an HMAC. They are as secret
/// as the secret itself, and are wiped when dropped.
#[derive(Clone)]
pub struct OtpKey {
    keyed: Keyed,
    digits: Digits,
}

/// SHA-1 lies inline, because nearly every token uses it and an index holds millions; the larger states are
/// boxed.
#[derive(Clone)]
enum Keyed {
    Sha1(Sha1States),
    Sha256(Box<HmacCore<Sha256>>),
    Sha512(Box<HmacCore<Sha512>>),
}

// A user's entry (name, key, moving state) has to fit two cache lines of 64 bytes.
const _: () = assert!(size_of::<OtpKey>() <= 56);

impl OtpKey {
    /// Prepares `secret` for `algorithm` and `digits`.
    pub fn new(secret: &SharedSecret, algorithm: Algorithm, digits: Digits) -> Self {
        let keyed = match algorithm {
            Algorithm::Sha1 => Keyed::Sha1(Sha1States::new(secret)),
            Algorithm::Sha256 => Keyed::Sha256(Box::new(keyed(secret))),
            Algorithm::Sha512 => Keyed::Sha512(Box::new(keyed(secret))),
        };
        Self { keyed, digits }
    }

    /// The OTP value of `moving_factor`, a counter or a time step.
    ///
    /// # Leaks
    /// The time depends on algorithm and digits, which are public. The truncation reads the hash at a secret
    /// offset; the four bits that choose it are no part of the value, and the hash lies in one or two cache
    /// lines.
    ///
    /// Source: RFC 4226 §5.3.
    pub fn value(&self, moving_factor: u64) -> OtpValue {
        let truncated = match &self.keyed {
            Keyed::Sha1(states) => states.truncated_hmac(moving_factor),
            Keyed::Sha256(core) => truncated_hmac(core.as_ref(), moving_factor),
            Keyed::Sha512(core) => truncated_hmac(core.as_ref(), moving_factor),
        };
        OtpValue::from_number(reduce(truncated, self.digits), self.digits)
    }

    /// The hash under HMAC.
    pub fn algorithm(&self) -> Algorithm {
        match &self.keyed {
            Keyed::Sha1(_) => Algorithm::Sha1,
            Keyed::Sha256(_) => Algorithm::Sha256,
            Keyed::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// How many digits the values have.
    pub fn digits(&self) -> Digits {
        self.digits
    }
}

impl fmt::Debug for OtpKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OtpKey(..)")
    }
}

/// HMAC-SHA-1 after its padded key: the chaining values of the inner and the outer hash, 40 bytes.
///
/// What the `hmac` crate keeps is 64 bytes, and it goes through two more buffers.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Sha1States {
    inner: [u32; 5],
    outer: [u32; 5],
}

impl Sha1States {
    /// Source: RFC 2104 §2.
    fn new(secret: &SharedSecret) -> Self {
        let mut key = Zeroizing::new([0; SHA1_BLOCK]);
        match secret.expose() {
            bytes if bytes.len() <= SHA1_BLOCK => key[..bytes.len()].copy_from_slice(bytes),
            bytes => key[..SHA1_BYTES].copy_from_slice(&Sha1::digest(bytes)),
        }
        let after = |pad: u8| {
            let mut state = SHA1_START;
            compress(&mut state, &[*Zeroizing::new(key.map(|byte| byte ^ pad))]);
            state
        };
        Self { inner: after(0x36), outer: after(0x5c) }
    }

    /// As [`truncated_hmac`].
    fn truncated_hmac(&self, moving_factor: u64) -> u32 {
        let mut hash = after_last_block(self.inner, &moving_factor.to_be_bytes());
        let mut inner = sha1_bytes(hash);
        hash = after_last_block(self.outer, &inner);
        let mut outer = sha1_bytes(hash);
        let truncated = truncate(&outer);
        hash.zeroize();
        inner.zeroize();
        outer.zeroize();
        truncated
    }
}

/// Bytes of a block of SHA-1, and of its hash.
const SHA1_BLOCK: usize = 64;
const SHA1_BYTES: usize = 20;

/// Source: FIPS 180-4 §5.3.1.
const SHA1_START: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// Hashes a message that ends the second block of its hash, and is at most 55 bytes long.
///
/// Source: FIPS 180-4 §5.1.1: a one bit, zeros, and the length in bits, the padded key's block included.
fn after_last_block(mut state: [u32; 5], message: &[u8]) -> [u32; 5] {
    let mut block = [0; SHA1_BLOCK];
    block[..message.len()].copy_from_slice(message);
    block[message.len()] = 0x80;
    let bits = 8 * (SHA1_BLOCK + message.len()) as u64;
    block[SHA1_BLOCK - 8..].copy_from_slice(&bits.to_be_bytes());
    compress(&mut state, &[block]);
    block.zeroize();
    state
}

fn sha1_bytes(state: [u32; 5]) -> [u8; SHA1_BYTES] {
    let mut bytes = [0; SHA1_BYTES];
    for (four, word) in bytes.chunks_exact_mut(4).zip(state) {
        four.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

fn keyed<D: EagerHash>(secret: &SharedSecret) -> HmacCore<D> {
    HmacCore::new_from_slice(secret.expose()).expect("HMAC takes keys of every length")
}

/// Steps 1 and 2 of RFC 4226 §5.3: the HMAC of the factor in eight bytes, and the 31 bits that dynamic
/// truncation takes.
fn truncated_hmac<D: EagerHash>(keyed: &HmacCore<D>, moving_factor: u64) -> u32 {
    let mut core = keyed.clone();
    let mut buffer = Buffer::<HmacCore<D>>::default();
    let mut hash = Output::<HmacCore<D>>::default();
    buffer.digest_blocks(&moving_factor.to_be_bytes(), |blocks| core.update_blocks(blocks));
    core.finalize_fixed_core(&mut buffer, &mut hash);

    let truncated = truncate(&hash);
    hash.as_mut_slice().zeroize();
    truncated
}

/// Dynamic truncation.
///
/// Source: RFC 4226 §5.3.
fn truncate(hash: &[u8]) -> u32 {
    let offset = usize::from(hash[hash.len() - 1] & 0x0f);
    let bytes = [hash[offset], hash[offset + 1], hash[offset + 2], hash[offset + 3]];
    u32::from_be_bytes(bytes) & 0x7fff_ffff
}

/// Step 3 of RFC 4226 §5.3. Divides by constants, which compiles to multiplications: a division by a variable
/// takes a time that depends on the secret dividend on many processors.
fn reduce(truncated: u32, digits: Digits) -> u32 {
    match digits.count() {
        6 => truncated % 1_000_000,
        7 => truncated % 10_000_000,
        _ => truncated % 100_000_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_key_gives_the_same_value_every_time_and_so_does_its_copy() {
        let secret = SharedSecret::from_bytes(b"12345678901234567890").unwrap();
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512] {
            let key = OtpKey::new(&secret, algorithm, Digits::SIX);
            let copy = key.clone();
            let first = key.value(7);
            assert!(key.value(7).matches(&first));
            assert!(copy.value(7).matches(&first));
            assert!(!key.value(8).matches(&first));
            assert_eq!((key.algorithm(), key.digits()), (algorithm, Digits::SIX));
        }
    }

    #[test]
    fn kept_sha1_states_give_the_hmac_of_the_library_for_keys_of_every_length() {
        for length in SharedSecret::BYTES_MIN..=SharedSecret::BYTES_MAX {
            let bytes: Vec<u8> = (0..length).map(|n| (n * 37 + length) as u8).collect();
            let secret = SharedSecret::from_bytes(&bytes).unwrap();
            let (states, library) = (Sha1States::new(&secret), keyed::<Sha1>(&secret));
            for factor in [0, 1, length as u64, u64::MAX] {
                assert_eq!(states.truncated_hmac(factor), truncated_hmac(&library, factor), "{length} bytes");
            }
        }
    }

    #[test]
    fn debug_output_tells_nothing() {
        // covers: E24
        let secret = SharedSecret::from_bytes(b"12345678901234567890").unwrap();
        assert_eq!(format!("{:?}", OtpKey::new(&secret, Algorithm::Sha1, Digits::SIX)), "OtpKey(..)");
    }
}
