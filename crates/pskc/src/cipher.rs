//! The cryptography of RFC 6030 §6: AES-128-CBC, HMAC over what it encrypts, and PBKDF2 of a passphrase.
//!
//! Knows no XML, and makes no random numbers. Nothing here is secret about its time but the comparison of MACs.

use aes::Aes128;
use cbc::cipher::block_padding::{NoPadding, Pkcs7};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::token::Algorithm;

/// Length of a key, of a block and of an initialisation vector of AES-128, in bytes.
pub(crate) const KEY_BYTES: usize = 16;

/// A key of AES-128.
pub(crate) type Key = Zeroizing<[u8; KEY_BYTES]>;

/// Takes an initialisation vector off the front and decrypts the rest; none where lengths or padding are wrong.
///
/// The last byte says how many bytes were filled up, and the others of them may be anything (XML Encryption
/// §5.2); PKCS #7 is a case of it. Whoever calls has checked a MAC, or takes nothing for an answer but that the
/// key is wrong.
pub(crate) fn decrypt(key: &Key, bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (iv, encrypted) = bytes.split_first_chunk::<KEY_BYTES>()?;
    let mut plain = Zeroizing::new(encrypted.to_vec());
    let decryptor = cbc::Decryptor::<Aes128>::new((&**key).into(), iv.into());
    decryptor.decrypt_padded::<NoPadding>(&mut plain).ok()?;
    let filled = usize::from(*plain.last()?);
    let len = plain.len().checked_sub(filled).filter(|_| (1..=KEY_BYTES).contains(&filled))?;
    plain.truncate(len);
    Some(plain)
}

/// The initialisation vector, followed by what was encrypted.
pub(crate) fn encrypt(key: &Key, iv: [u8; KEY_BYTES], plain: &[u8]) -> Vec<u8> {
    let encryptor = cbc::Encryptor::<Aes128>::new((&**key).into(), (&iv).into());
    let mut out = iv.to_vec();
    out.extend(encryptor.encrypt_padded_vec::<Pkcs7>(plain));
    out
}

/// HMAC (RFC 2104) with a key of any length.
pub(crate) fn mac(hash: Algorithm, key: &[u8], bytes: &[u8]) -> Vec<u8> {
    match hash {
        Algorithm::Sha1 => mac_with::<Hmac<Sha1>>(key, bytes),
        Algorithm::Sha256 => mac_with::<Hmac<Sha256>>(key, bytes),
        Algorithm::Sha512 => mac_with::<Hmac<Sha512>>(key, bytes),
    }
}

/// Whether a MAC holds, in a time that tells nothing but its length.
pub(crate) fn mac_holds(hash: Algorithm, key: &[u8], bytes: &[u8], found: &[u8]) -> bool {
    mac(hash, key, bytes).ct_eq(found).into()
}

/// PBKDF2 (RFC 8018 §5.2) over HMAC with that hash.
pub(crate) fn derive(prf: Algorithm, passphrase: &str, salt: &[u8], iterations: u32) -> Key {
    let mut key = Key::default();
    let passphrase = passphrase.as_bytes();
    match prf {
        Algorithm::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(passphrase, salt, iterations, &mut *key),
        Algorithm::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(passphrase, salt, iterations, &mut *key),
        Algorithm::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(passphrase, salt, iterations, &mut *key),
    }
    key
}

fn mac_with<M: Mac + KeyInit>(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(bytes);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    // Source: RFC 6030 §6.2, figure 7, and RFC 6070 §2.
    #[test]
    fn a_passphrase_gives_the_published_keys() {
        let salt = [0x12, 0x3e, 0xff, 0x3c, 0x4a, 0x72, 0x12, 0x9c];
        let key = derive(Algorithm::Sha1, "qwerty", &salt, 1000);
        assert_eq!(HEXLOWER.encode(&*key), "651e63cd57008476af1ff6422cd02e41");
        let key = derive(Algorithm::Sha1, "password", b"salt", 4096);
        assert_eq!(HEXLOWER.encode(&*key), "4b007901b765489abead49d926f721d0");
    }

    #[test]
    fn what_was_encrypted_is_decrypted_and_odd_lengths_are_not() {
        let key = Key::new([7; 16]);
        for len in 0..50 {
            let plain: Vec<u8> = (0..len).collect();
            let sealed = encrypt(&key, [9; 16], &plain);
            assert_eq!(decrypt(&key, &sealed).as_deref(), Some(&plain));
            assert_eq!(decrypt(&key, &sealed[..sealed.len() - 1]), None);
        }
        assert_eq!(decrypt(&key, &[0; 16]), None);
        assert_eq!(decrypt(&key, &[]), None);
    }

    // Source: XML Encryption §5.2: only the last byte of the padding says something.
    #[test]
    fn padding_may_hold_anything_before_its_last_byte() {
        let (key, iv) = (Key::new([7; 16]), [9; 16]);
        let padded = *b"12345678\x01\x02\x03\x04\x05\x06\x07\x08";
        let encryptor = cbc::Encryptor::<Aes128>::new((&*key).into(), (&iv).into());
        let mut sealed = iv.to_vec();
        sealed.extend(encryptor.encrypt_padded_vec::<NoPadding>(&padded));
        assert_eq!(decrypt(&key, &sealed).as_deref().map(Vec::as_slice), Some(b"12345678".as_slice()));
        for wrong in [0, 17, 255] {
            let mut padded = padded;
            padded[15] = wrong;
            let encryptor = cbc::Encryptor::<Aes128>::new((&*key).into(), (&iv).into());
            let mut sealed = iv.to_vec();
            sealed.extend(encryptor.encrypt_padded_vec::<NoPadding>(&padded));
            assert_eq!(decrypt(&key, &sealed), None);
        }
    }
}
