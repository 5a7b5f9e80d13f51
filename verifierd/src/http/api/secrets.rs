//! The key that callers show, and the certificate that we show them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hyper::header::HeaderValue;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use zeroize::Zeroizing;

use crate::config::{ApiConfig, CertificateFiles};
use owned_files::{Access, OpenError, read_ours};

/// Digits of a key: 256 bits.
const KEY_DIGITS: usize = 64;

/// Why the API has no key or no certificate.
#[derive(Debug, thiserror::Error)]
pub enum ApiSecretError {
    /// A file cannot be used.
    #[error("cannot use [api] {setting}")]
    File {
        /// Which setting names it.
        setting: &'static str,
        /// Why.
        source: OpenError,
    },
    /// It holds no key.
    #[error("{path} holds no key: 64 hexadecimal digits are needed, as `openssl rand -hex 32` makes them")]
    Key {
        /// The file.
        path: PathBuf,
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

/// What opens the API: 64 hexadecimal digits.
pub struct ApiKey(Zeroizing<[u8; KEY_DIGITS]>);

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}

impl ApiKey {
    /// Reads a key, with or without white space around it. `None` where it is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digits: &[u8; KEY_DIGITS] = text.trim_ascii().try_into().ok()?;
        digits.iter().all(u8::is_ascii_hexdigit).then(|| Self(Zeroizing::new(*digits)))
    }

    /// Whether a header shows it.
    ///
    /// # Leaks
    /// Whether what is shown has the form of a key; nothing of how much of it is right.
    pub(super) fn is_shown(&self, header: Option<&HeaderValue>) -> bool {
        let Some((scheme, shown)) = header.and_then(|header| header.as_bytes().split_at_checked(7)) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ") && verify_slices_are_equal(shown, &*self.0).is_ok()
    }
}

/// The key, and where connections are encrypted, how.
#[derive(Debug)]
pub struct ApiSecrets {
    key: ApiKey,
    tls: Option<Arc<ServerConfig>>,
}

impl ApiSecrets {
    /// A key, and plain connections.
    pub fn plain(key: ApiKey) -> Self {
        Self { key, tls: None }
    }

    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// See [`ApiSecretError`].
    pub fn load(config: &ApiConfig) -> Result<Self, ApiSecretError> {
        let path = &config.key_file;
        let text = read("key_file", path, Access::OnlyOurs)?;
        let key = ApiKey::parse(&text).ok_or_else(|| ApiSecretError::Key { path: path.clone() })?;
        let tls = config.certificate.as_ref().map(server_config).transpose()?.map(Arc::new);
        Ok(Self { key, tls })
    }

    pub(super) fn key(&self) -> &ApiKey {
        &self.key
    }

    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.clone()
    }
}

fn read(setting: &'static str, path: &Path, access: Access) -> Result<Zeroizing<Vec<u8>>, ApiSecretError> {
    read_ours(path, access).map(Zeroizing::new).map_err(|source| ApiSecretError::File { setting, source })
}

/// TLS 1.3 alone, one provider of cryptography, and no session that is resumed: a resumed one is not asked for what
/// it showed at first.
fn server_config(files: &CertificateFiles) -> Result<ServerConfig, ApiSecretError> {
    let chain = read("certificate_file", &files.certificate_file, Access::WrittenByUs)?;
    let pem_fault = |path: &Path, what, source| ApiSecretError::Pem { path: path.into(), what, source };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .and_then(|chain: Vec<_>| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(|source| pem_fault(&files.certificate_file, "certificate", source))?;
    let key = read("private_key_file", &files.private_key_file, Access::OnlyOurs)?;
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|source| pem_fault(&files.private_key_file, "private key", source))?;
    let pair_fault = |source| ApiSecretError::Pair { files: files.clone(), source };
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const DIGITS: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

    fn shows(value: &str) -> bool {
        let key = ApiKey::parse(format!("{DIGITS}\n").as_bytes()).unwrap();
        key.is_shown(Some(&HeaderValue::from_str(value).unwrap()))
    }

    // covers: F15
    #[test]
    fn only_the_whole_key_opens_the_api() {
        assert!(shows(&format!("Bearer {DIGITS}")) && shows(&format!("bearer {DIGITS}")));
        let (short, long) = (&DIGITS[1..], format!("{DIGITS}0"));
        let other = DIGITS.replace("EEFF", "EEFE");
        for wrong in ["", short, &long, &other, "x"] {
            assert!(!shows(&format!("Bearer {wrong}")), "{wrong}");
        }
        assert!(!shows(DIGITS) && !shows("Bearer") && !shows(&format!("Basic {DIGITS}")));
        assert!(!ApiKey::parse(DIGITS.as_bytes()).unwrap().is_shown(None));
    }

    #[test]
    fn a_key_is_64_hexadecimal_digits() {
        for text in [&DIGITS[2..], "", &DIGITS.replace('a', "g"), &format!("{DIGITS}{DIGITS}")] {
            assert!(ApiKey::parse(text.as_bytes()).is_none(), "{text}");
        }
        assert_eq!(format!("{:?}", ApiKey::parse(DIGITS.as_bytes()).unwrap()), "ApiKey");
    }

    // covers: E25
    #[test]
    fn files_that_cannot_be_used_are_named_with_what_would_be_right() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str, mode| {
            fs::write(at(name), text).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let files = CertificateFiles { certificate_file: at("cert"), private_key_file: at("private") };
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = ApiConfig { listen, key_file: at("key"), certificate: Some(files) };
        let check = |expected: &str| {
            let error = ApiSecrets::load(&config).unwrap_err();
            let told = format!("{:#}", anyhow::Error::from(error));
            assert!(told.contains(expected), "{told:?} does not say {expected:?}");
        };
        check("cannot use [api] key_file: no file");
        write("key", "secret", 0o644);
        check("has mode 0644; take away 0044");
        write("key", "secret", 0o600);
        check("key holds no key: 64 hexadecimal digits are needed");
        write("key", DIGITS, 0o600);
        check("cannot use [api] certificate_file: no file");
        write("cert", "", 0o644);
        check("cert holds no certificate in PEM form");
        let mine = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        write("cert", &mine.cert.pem(), 0o644);
        write("private", &mine.signing_key.serialize_pem(), 0o640);
        check("private has mode 0640");
        write("private", &mine.cert.pem(), 0o600);
        check("private holds no private key in PEM form");
        write("private", &other.signing_key.serialize_pem(), 0o600);
        check("cannot be used together");
        write("private", &mine.signing_key.serialize_pem(), 0o600);
        assert!(ApiSecrets::load(&config).unwrap().tls().is_some());
    }
}
