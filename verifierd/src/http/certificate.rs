//! The certificate that a listener of the network shows, and its key, as files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use zeroize::Zeroizing;

use crate::config::CertificateFiles;
use owned_files::{Access, OpenError, read_ours};

/// Why a listener has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFileError {
    /// A file cannot be used.
    #[error("cannot use [{section}] {setting}")]
    File {
        /// The section of the configuration.
        section: &'static str,
        /// Which setting of it names the file.
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
    /// They do not go together, or are of a kind that nobody can use.
    #[error("{} and {} cannot be used together", .files.certificate_file.display(), .files.private_key_file.display())]
    Pair {
        /// The files.
        files: CertificateFiles,
        /// Why.
        source: rustls::Error,
    },
}

/// TLS 1.3 alone, one provider of cryptography, and no session that is resumed: a resumed one is not asked for what
/// it showed at first.
///
/// * `section`: of the configuration, that names the files.
///
/// # Errors
/// See [`CertificateFileError`].
pub fn server_config(
    section: &'static str,
    files: &CertificateFiles,
) -> Result<ServerConfig, CertificateFileError> {
    let read = |setting, path: &Path, access| {
        let read = read_ours(path, access).map(Zeroizing::new);
        read.map_err(|source| CertificateFileError::File { section, setting, source })
    };
    let chain = read("certificate_file", &files.certificate_file, Access::WrittenByUs)?;
    let pem_fault = |path: &Path, what, source| CertificateFileError::Pem { path: path.into(), what, source };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .and_then(|chain: Vec<_>| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(|source| pem_fault(&files.certificate_file, "certificate", source))?;
    let key = read("private_key_file", &files.private_key_file, Access::OnlyOurs)?;
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|source| pem_fault(&files.private_key_file, "private key", source))?;
    let pair_fault = |source| CertificateFileError::Pair { files: files.clone(), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(pair_fault)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair_fault)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}
