//! The host's key and certificate: what they say, and how they are kept.
//!
//! One file holds all of it, so that key and certificate always belong together: it is written beside, brought to
//! disk, and put in the place of the old one. A crash in between leaves the old one. The file is PEM (RFC 7468):
//! the private key, the host's certificate, those between it and the authority, and at last the authority's.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64;
use owned_files::{Access, OpenError, read_ours};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use wire::fleet::{Certificate, HOST_URN_PREFIX};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::clock::UnixTime;

/// The file, in the state's folder.
pub const FILE: &str = "identity.pem";

/// What is written before it takes the place of [`FILE`].
const FILE_BESIDE: &str = "identity.pem.new";

/// Bytes in a line of PEM (RFC 7468 §2).
const PEM_LINE: usize = 64;

/// Who this host is, and how it proves it.
pub struct Identity {
    /// The host's id, as its certificate says.
    pub host: String,
    /// When the certificate begins and ends.
    pub not_before: UnixTime,
    /// When it ends.
    pub not_after: UnixTime,
    /// Its own certificate, then those between it and the authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The authority that signs hosts and verifiers.
    pub authority: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The host has not joined a fleet.
    #[error(
        "this host has not joined a fleet ({path} is not there): get a secret by `postern host enrol NAME` at a verifier, \
         then run `postern-agent join --verifier https://NAME:7443` here"
    )]
    NotJoined {
        /// The file that would be there.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot use the host's key and certificate")]
    File(#[from] OpenError),
    /// It does not hold what it must.
    #[error("{what}; join again: `postern host enrol NAME --again`, then `postern-agent join`")]
    Content {
        /// What is wrong.
        what: &'static str,
    },
}

/// Why an identity was not kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
pub struct KeepError {
    /// The file or folder.
    path: PathBuf,
    /// Why.
    source: io::Error,
}

/// A key that has no certificate yet.
pub struct NewKey {
    pair: KeyPair,
}

impl NewKey {
    /// Draws one: ECDSA with P-256.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate() -> Result<Self, rcgen::Error> {
        Ok(Self { pair: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)? })
    }

    /// The request for a certificate (PKCS #10), in base 64 of its DER form. It names nothing: what the host is
    /// called, others say.
    ///
    /// # Errors
    /// When the request cannot be signed.
    pub fn signing_request(&self) -> Result<String, rcgen::Error> {
        let request = CertificateParams::default().serialize_request(&self.pair)?;
        Ok(BASE64.encode(request.der()))
    }

    /// Takes over a certificate for it.
    ///
    /// # Errors
    /// When the certificate is not for this key and for a host.
    pub fn certified(self, certificate: &Certificate) -> Result<Identity, IdentityError> {
        let fault = |what| IdentityError::Content { what };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate.chain.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| fault("the verifier's certificates are not PEM"))?;
        let authority = CertificateDer::from_pem_slice(certificate.authority.as_bytes())
            .map_err(|_| fault("the verifier's authority is not PEM"))?;
        let key = PrivateKeyDer::try_from(self.pair.serialize_der())
            .map_err(|_| fault("the new key has no form that can be kept"))?;
        let identity = Identity::of(key, chain, authority)?;
        let own = identity.chain.first().ok_or(fault("no certificate came"))?;
        let (_, own) = X509Certificate::from_der(own).map_err(|_| fault("no certificate came"))?;
        if own.public_key().raw != self.pair.subject_public_key_info() {
            return Err(fault("the certificate that came is for another key"));
        }
        Ok(identity)
    }
}

impl Identity {
    /// Reads it from the state's folder.
    ///
    /// # Errors
    /// See [`IdentityError`]; a file that others can read is refused.
    pub fn load(state_dir: &Path) -> Result<Self, IdentityError> {
        let path = state_dir.join(FILE);
        let text = match read_ours(&path, Access::OnlyOurs) {
            Ok(text) => Zeroizing::new(text),
            Err(OpenError::Missing { .. }) => return Err(IdentityError::NotJoined { path }),
            Err(error) => return Err(error.into()),
        };
        Self::parse(&text)
    }

    /// Reads what [`Self::text`] wrote.
    ///
    /// # Errors
    /// When it is anything else.
    fn parse(text: &[u8]) -> Result<Self, IdentityError> {
        let fault = |what| IdentityError::Content { what };
        let key =
            PrivateKeyDer::from_pem_slice(text).map_err(|_| fault("identity.pem holds no private key"))?;
        let mut chain: Vec<_> = CertificateDer::pem_slice_iter(text)
            .collect::<Result<_, _>>()
            .map_err(|_| fault("identity.pem holds a certificate that is not PEM"))?;
        let authority = chain.pop().ok_or(fault("identity.pem holds no certificate"))?;
        Self::of(key, chain, authority)
    }

    fn of(
        key: PrivateKeyDer<'static>,
        chain: Vec<CertificateDer<'static>>,
        authority: CertificateDer<'static>,
    ) -> Result<Self, IdentityError> {
        let fault = |what| IdentityError::Content { what };
        let own = chain.first().ok_or(fault("the host's certificate is missing"))?;
        let (_, own) = X509Certificate::from_der(own).map_err(|_| fault("a certificate cannot be read"))?;
        let host = host_of(&own).ok_or(fault("the certificate names no host"))?;
        let seconds = |at: i64| UnixTime::try_from(at).unwrap_or_default();
        let not_before = seconds(own.validity().not_before.timestamp());
        let not_after = seconds(own.validity().not_after.timestamp());
        Ok(Self { host, not_before, not_after, chain, authority, key })
    }

    /// Keeps it in the state's folder, which is made where it is missing (mode 0700).
    ///
    /// # Errors
    /// When the file system refuses; the one before is in force then.
    pub fn keep(&self, state_dir: &Path) -> Result<(), KeepError> {
        let (path, beside) = (state_dir.join(FILE), state_dir.join(FILE_BESIDE));
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| KeepError { path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(at(state_dir))?;
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&beside)(error)),
            Ok(()) | Err(_) => {}
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(at(&beside))?;
        file.write_all(&self.text()).and_then(|()| file.sync_all()).map_err(at(&beside))?;
        fs::rename(&beside, &path).map_err(at(&path))?;
        fs::File::open(state_dir).and_then(|folder| folder.sync_all()).map_err(at(state_dir))
    }

    /// All of it as PEM.
    fn text(&self) -> Zeroizing<Vec<u8>> {
        let certificates = self.chain.iter().chain([&self.authority]);
        let bytes: usize = certificates.clone().map(|certificate| 2 * certificate.len()).sum();
        // At its full size at once: a buffer that grows leaves what it held behind.
        let mut text = Zeroizing::new(Vec::with_capacity(bytes + 2_048));
        write_pem(&mut text, "PRIVATE KEY", self.key.secret_der());
        for certificate in certificates {
            write_pem(&mut text, "CERTIFICATE", certificate);
        }
        text
    }

    /// The private key, for the TLS library.
    pub fn expose_key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// From when on to ask for the next certificate: half of this one's life.
    pub fn renew_at(&self) -> UnixTime {
        self.not_before + self.life() / 2
    }

    /// How long the certificate lives, in seconds.
    pub fn life(&self) -> u64 {
        self.not_after.saturating_sub(self.not_before)
    }
}

/// The host that a certificate names: by its one alternative name, a URI of ours with a UUID (RFC 9562) at its end.
fn host_of(certificate: &X509Certificate<'_>) -> Option<String> {
    let names = certificate.subject_alternative_name().ok()??;
    let [GeneralName::URI(urn)] = names.value.general_names[..] else { return None };
    let id = urn.strip_prefix(HOST_URN_PREFIX)?;
    let is_uuid = id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
    is_uuid.then(|| id.to_owned())
}

fn write_pem(text: &mut Vec<u8>, label: &str, der: &[u8]) {
    let body = Zeroizing::new(BASE64.encode(der));
    text.extend(format!("-----BEGIN {label}-----\n").bytes());
    for line in body.as_bytes().chunks(PEM_LINE) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.extend(format!("-----END {label}-----\n").bytes());
}

/// The hash by which a join secret names its authority.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, certificate).as_ref());
    hash
}

#[cfg(test)]
pub mod tests;
