//! An authority of the site's: an intermediate whose key the site hands over.

use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use zeroize::Zeroizing;

use super::{Authority, AuthorityError, AuthorityKey, validity_of};
use crate::config::CertificateFiles;
use owned_files::{Access, OpenError, read_ours};

/// Why a site's authority is of no use.
#[derive(Debug, thiserror::Error)]
pub enum SiteAuthorityError {
    /// A file cannot be used.
    #[error("cannot use [fleet] {setting}")]
    File {
        /// Which setting names it.
        setting: &'static str,
        /// Why.
        source: OpenError,
    },
    /// It holds no certificate, or no private key.
    #[error("{path} holds no {what} in PEM form")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why it does not.
        source: pem::Error,
    },
    /// It holds several certificates.
    #[error("{path} holds {count} certificates: only that of the authority which signs hosts belongs there")]
    Several {
        /// The file.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// The certificate is not that of an authority.
    #[error("{path} is not the certificate of an authority: {fault}")]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: &'static str,
    },
    /// The key is of a kind that cannot be used, or damaged.
    #[error("{path} holds no private key that can sign: ECDSA on P-256 or P-384, Ed25519 or RSA is needed")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rcgen::Error,
    },
    /// They do not go together.
    #[error("{} is not the key of {}", .files.private_key_file.display(), .files.certificate_file.display())]
    Pair {
        /// The files.
        files: CertificateFiles,
    },
    /// What it signs would be believed by nobody.
    #[error(
        "certificates that the fleet's authority signs are not accepted: its name constraints must permit URIs"
    )]
    NotBelieved {
        /// Why.
        source: rustls::Error,
    },
}

impl Authority {
    /// Reads the site's authority. Whether what it signs is believed, the listener tries (see `http::fleet`).
    ///
    /// # Errors
    /// See [`SiteAuthorityError`].
    pub fn of_site(files: &CertificateFiles) -> Result<Self, AuthorityError> {
        let (path, key_path) = (&files.certificate_file, &files.private_key_file);
        let certificate = certificate(path)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate)
            .map_err(|_| unfit(path, "it cannot be read"))?;
        check_authority(path, &parsed)?;
        let key = AuthorityKey(key(key_path)?);
        if parsed.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
            return Err(SiteAuthorityError::Pair { files: files.clone() }.into());
        }
        let validity = validity_of(&certificate)?;
        Self::new(certificate.clone().into_owned(), key, validity)
    }
}

fn certificate(path: &Path) -> Result<CertificateDer<'static>, SiteAuthorityError> {
    let text = read("ca_certificate_file", path, Access::WrittenByUs)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let fault = |source| SiteAuthorityError::Pem { path: path.into(), what: "certificate", source };
    match <[_; 1]>::try_from(found.map_err(fault)?) {
        Ok([certificate]) => Ok(certificate),
        Err(none) if none.is_empty() => Err(fault(pem::Error::NoItemsFound)),
        Err(several) => Err(SiteAuthorityError::Several { path: path.into(), count: several.len() }),
    }
}

fn key(path: &Path) -> Result<KeyPair, SiteAuthorityError> {
    let text = read("ca_private_key_file", path, Access::OnlyOurs)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|source| SiteAuthorityError::Pem {
        path: path.into(),
        what: "private key",
        source,
    })?;
    KeyPair::try_from(&key).map_err(|source| SiteAuthorityError::Key { path: path.into(), source })
}

fn check_authority(path: &Path, certificate: &X509Certificate<'_>) -> Result<(), SiteAuthorityError> {
    let basic = certificate.basic_constraints().ok().flatten();
    if !basic.is_some_and(|basic| basic.value.ca) {
        return Err(unfit(path, "its basic constraints do not say so (CA:TRUE)"));
    }
    match certificate.key_usage() {
        Ok(None) => Ok(()),
        Ok(Some(usage)) if usage.value.key_cert_sign() => Ok(()),
        Ok(Some(_)) | Err(_) => Err(unfit(path, "its key usage does not include keyCertSign")),
    }
}

fn read(
    setting: &'static str,
    path: &Path,
    access: Access,
) -> Result<Zeroizing<Vec<u8>>, SiteAuthorityError> {
    read_ours(path, access).map(Zeroizing::new).map_err(|source| SiteAuthorityError::File { setting, source })
}

fn unfit(path: &Path, fault: &'static str) -> SiteAuthorityError {
    SiteAuthorityError::Unfit { path: path.into(), fault }
}
