//! The master key and what is derived from it; sealing of token secrets and of dialogue state.
//!
//! The master key is 32 bytes, written as 64 hexadecimal digits in a file that only the daemon's user can
//! read, or handed over by systemd as the credential `postern-master-key`. One key per purpose is derived
//! with HKDF-SHA-256 (RFC 5869). Sealing is AES-256-GCM-SIV (RFC 8452) with a random nonce: a nonce drawn
//! twice tells only whether two texts were equal.

use std::fmt;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use siphasher::sip128::{Hasher128 as _, SipHasher24};
use zeroize::Zeroizing;

use owned_files::{Access, OpenError, read_ours};

/// The name of the systemd credential that holds the master key.
pub const CREDENTIAL: &str = "postern-master-key";

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is not there.
    #[error("no master key in {path}: put your copy back (`postern init` makes one, for a first start only)")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be used.
    #[error("cannot use the master key")]
    File(#[source] OpenError),
    /// The file does not hold a key.
    #[error("{path} does not hold a master key: 64 hexadecimal digits are needed")]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// Neither a file is configured nor a credential was handed over.
    #[error("no master key: set key_file, or hand over the systemd credential {CREDENTIAL}")]
    None,
    /// The kernel gave no random bytes.
    #[error("the kernel gave no random bytes")]
    Random(#[source] getrandom::Error),
}

/// What could not be opened with our key: damaged, moved to another place, or sealed under another key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the sealed text does not open under this key and these bindings")]
pub struct SealError;

/// Random bytes from the kernel.
///
/// # Errors
/// When the kernel gives none; there is no other source.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(KeyError::Random)?;
    Ok(bytes)
}

/// The master key.
pub struct MasterKey(Zeroizing<[u8; KEY_BYTES]>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    /// Draws a new one.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self(Zeroizing::new(random_bytes()?)))
    }

    /// Reads `key_file`, or the systemd credential where no file is configured.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn load(key_file: Option<&Path>, credentials: Option<&Path>) -> Result<Self, KeyError> {
        let path = match (key_file, credentials) {
            (Some(path), _) => path.to_path_buf(),
            (None, Some(directory)) => directory.join(CREDENTIAL),
            (None, None) => return Err(KeyError::None),
        };
        let text = read_ours(&path, Access::OnlyOurs).map(Zeroizing::new).map_err(|error| match error {
            OpenError::Missing { path } => KeyError::Missing { path },
            other => KeyError::File(other),
        })?;
        Self::parse(&text).ok_or(KeyError::NotAKey { path })
    }

    /// Reads the text of a key file; `None` for anything else.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.trim_ascii()).map(Zeroizing::new).ok()?;
        <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new).map(Self)
    }

    /// What goes into a key file.
    pub fn to_file_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}\n", HEXLOWER.encode(self.0.as_slice())))
    }

    /// The key for one purpose; `purpose` is fixed text, different for each use.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Salt::new(HKDF_SHA256, b"postern")
            .extract(self.0.as_slice())
            .expand(&[purpose.as_bytes()], KeyLength)
            .and_then(|output| output.fill(key.as_mut_slice()))
            .expect("HKDF-SHA-256 yields 32 bytes: RFC 5869 allows 255 times the hash length");
        key
    }
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

/// Seals and opens texts under one derived key.
pub struct Sealer {
    key: LessSafeKey,
    fingerprints: NameHasher,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl Sealer {
    /// A sealer for one purpose.
    pub fn new(master: &MasterKey, purpose: &str) -> Self {
        let key = master.derive(purpose);
        let key = UnboundKey::new(&AES_256_GCM_SIV, key.as_slice()).expect("the derived key has 32 bytes");
        let fingerprints = NameHasher::new(master, &format!("{purpose}, fingerprints"));
        Self { key: LessSafeKey::new(key), fingerprints }
    }

    /// Tells whether two texts are the same, and nothing else of them: a keyed hash.
    pub fn fingerprint(&self, text: &[u8]) -> [u8; 16] {
        self.fingerprints.key(&[text])
    }

    /// Seals `text`; it opens only with the same `bindings`. Adds 28 bytes.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn seal(&self, text: &[u8], bindings: &[u8]) -> Result<Vec<u8>, KeyError> {
        let nonce = random_bytes::<NONCE_BYTES>()?;
        let mut body = text.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bindings), &mut body)
            .expect("texts are far below the 64 GiB that AES-GCM-SIV allows");
        Ok([nonce.as_slice(), &body].concat())
    }

    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    /// [`SealError`] for anything else; it does not tell which part was wrong.
    pub fn open(&self, sealed: &[u8], bindings: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealError)?;
        let mut body = Zeroizing::new(body.to_vec());
        let length = self
            .key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(bindings), &mut body)
            .map_err(|_| SealError)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

/// Turns names into fixed-size index keys that nobody outside can predict or make collide.
pub struct NameHasher(hmac::Key);

impl fmt::Debug for NameHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameHasher(..)")
    }
}

impl NameHasher {
    /// A hasher for one purpose.
    pub fn new(master: &MasterKey, purpose: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, master.derive(purpose).as_slice()))
    }

    /// The first 128 bits of HMAC-SHA-256 over the parts, each preceded by its length.
    pub fn key(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(&context.sign().as_ref()[..16]);
        key
    }
}

/// Names things in memory and in the ledger, faster than [`NameHasher`]: SipHash-2-4 with a 128-bit result. Who
/// does not know the key can neither predict a name nor make two meet. Not for secrets: what is to stay unknown to
/// whoever has the key takes a [`NameHasher`].
pub struct IndexHasher(SipHasher24);

impl fmt::Debug for IndexHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IndexHasher(..)")
    }
}

impl IndexHasher {
    /// A hasher for one purpose.
    pub fn new(master: &MasterKey, purpose: &str) -> Self {
        let key = master.derive(purpose);
        let key = key.first_chunk().expect("a derived key has 32 bytes");
        Self(SipHasher24::new_with_key(key))
    }

    /// The name of the parts, each preceded by its length.
    pub fn key(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = self.0;
        for part in parts {
            hasher.write_u64(part.len() as u64);
            hasher.write(part);
        }
        hasher.finish128().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(byte: u8) -> MasterKey {
        MasterKey(Zeroizing::new([byte; KEY_BYTES]))
    }

    #[test]
    fn a_sealed_text_opens_only_with_its_key_and_bindings() {
        let sealer = Sealer::new(&master(1), "tokens");
        let sealed = sealer.seal(b"secret", b"alice").unwrap();
        assert_eq!(sealer.open(&sealed, b"alice").unwrap().as_slice(), b"secret");
        assert_eq!(sealer.open(&sealed, b"bob"), Err(SealError));
        assert_eq!(Sealer::new(&master(1), "dialogue").open(&sealed, b"alice"), Err(SealError));
        assert_eq!(Sealer::new(&master(2), "tokens").open(&sealed, b"alice"), Err(SealError));
        for position in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[position] ^= 1;
            assert_eq!(sealer.open(&damaged, b"alice"), Err(SealError), "byte {position}");
            assert_eq!(sealer.open(&sealed[..position], b"alice"), Err(SealError), "cut at {position}");
        }
    }

    #[test]
    fn names_hash_apart_even_when_their_parts_join_to_the_same_text() {
        let hasher = NameHasher::new(&master(1), "index");
        assert_ne!(hasher.key(&[b"ab", b"c"]), hasher.key(&[b"a", b"bc"]));
        assert_eq!(hasher.key(&[b"a"]), hasher.key(&[b"a"]));
        assert_ne!(hasher.key(&[b"a"]), NameHasher::new(&master(2), "index").key(&[b"a"]));
    }

    #[test]
    fn index_keys_differ_by_parts_by_purpose_and_by_master_key() {
        let hasher = IndexHasher::new(&master(1), "index");
        assert_eq!(hasher.key(&[b"a", b"b"]), hasher.key(&[b"a", b"b"]));
        assert_ne!(hasher.key(&[b"ab", b"c"]), hasher.key(&[b"a", b"bc"]));
        assert_ne!(hasher.key(&[b"a"]), hasher.key(&[b"a", b""]));
        assert_ne!(hasher.key(&[b"a"]), IndexHasher::new(&master(1), "other").key(&[b"a"]));
        assert_ne!(hasher.key(&[b"a"]), IndexHasher::new(&master(2), "index").key(&[b"a"]));
    }

    #[test]
    fn a_key_file_reads_back_as_the_key_it_was_made_from() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, master(7).to_file_text().as_bytes()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        let read = MasterKey::load(Some(&path), None).unwrap();
        assert_eq!(read.derive("x").as_slice(), master(7).derive("x").as_slice());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(MasterKey::load(Some(&path), None), Err(KeyError::NotAKey { .. })));
        assert!(matches!(MasterKey::load(None, None), Err(KeyError::None)));
    }
}
