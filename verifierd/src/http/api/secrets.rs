//! The key that callers show, and how connections are encrypted.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hyper::header::HeaderValue;
use rustls::ServerConfig;
use zeroize::Zeroizing;

use crate::config::ApiConfig;
use crate::http::certificate::{CertificateFileError, server_config};
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
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateFileError),
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
        let text = read_ours(path, Access::OnlyOurs).map(Zeroizing::new);
        let text = text.map_err(|source| ApiSecretError::File { setting: "key_file", source })?;
        let key = ApiKey::parse(&text).ok_or_else(|| ApiSecretError::Key { path: path.clone() })?;
        let tls =
            config.certificate.as_ref().map(|files| server_config("api", files)).transpose()?.map(Arc::new);
        Ok(Self { key, tls })
    }

    pub(super) fn key(&self) -> &ApiKey {
        &self.key
    }

    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::CertificateFiles;

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
