//! One connection to the directory: encrypted (see `line`), bound, asked, closed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, Scope, SearchOptions, StdStream};
use owned_files::{OpenError, read_ours};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use super::DirectoryError;
use super::entry::Entry;
use super::line;
use crate::config::DirectoryConfig;

/// Result codes of RFC 4511 §4.1.9 that a bind with a wrong password, a locked or an empty entry is answered with:
/// noSuchObject, inappropriateAuthentication, invalidCredentials, insufficientAccessRights, unwillingToPerform.
const NOT_HIM: [u32; 5] = [32, 48, 49, 50, 53];

/// What the library calls a stream that it is given: to it, the directory is on this machine and needs no encryption.
const OVER_A_STREAM: &str = "ldapi:///";

/// sizeLimitExceeded, whatever was found before it.
const SIZE_LIMIT: u32 = 4;

/// Why the directory cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryOpenError {
    /// A file cannot be read.
    #[error("cannot read directory.{key}")]
    File {
        /// Which setting names it.
        key: &'static str,
        /// Why.
        source: OpenError,
    },
    /// The password is not one.
    #[error("directory.bind_password_file: {} holds no password: one line of text is needed", .path.display())]
    Password {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no threads.
    #[error("cannot start the directory's threads")]
    Threads {
        /// Why.
        source: std::io::Error,
    },
    /// There are no authorities.
    #[error("no certificate of an authority {}: no directory could be trusted", .place)]
    NoAuthority {
        /// Where they were looked for.
        place: String,
    },
}

/// How the directory is reached.
pub(super) struct Access {
    url: String,
    login: Option<(String, Zeroizing<String>)>,
    tls: Arc<ClientConfig>,
}

impl Access {
    /// Reads the files that the configuration names.
    pub(super) fn open(config: &DirectoryConfig) -> Result<Self, DirectoryOpenError> {
        let login = match &config.login {
            None => None,
            Some((name, path)) => Some((name.clone(), read_password(path)?)),
        };
        let roots = roots(config.trust_file.as_deref())?;
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has both versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { url: config.url.clone(), login, tls: Arc::new(tls) })
    }
}

fn read_password(path: &Path) -> Result<Zeroizing<String>, DirectoryOpenError> {
    let bytes = read_ours(path, owned_files::Access::OnlyOurs).map(Zeroizing::new);
    let bytes = bytes.map_err(|source| DirectoryOpenError::File { key: "bind_password_file", source })?;
    let text = str::from_utf8(bytes.trim_ascii_end()).ok().filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| DirectoryOpenError::Password { path: path.into() })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Whom the server's certificate may be of: a file, or what the machine trusts.
fn roots(trust_file: Option<&Path>) -> Result<RootCertStore, DirectoryOpenError> {
    let mut roots = RootCertStore::empty();
    let place = match trust_file {
        Some(path) => {
            let text = read_ours(path, owned_files::Access::WrittenByUs)
                .map_err(|source| DirectoryOpenError::File { key: "trust_file", source })?;
            roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&text).filter_map(Result::ok));
            format!("in {}", path.display())
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            "on this machine".into()
        }
    };
    if roots.is_empty() { Err(DirectoryOpenError::NoAuthority { place }) } else { Ok(roots) }
}

/// A connection, closed when it is dropped.
pub(super) struct Connection(Ldap);

impl Connection {
    /// Connects, and binds as we are to the directory.
    pub(super) async fn open(access: &Access) -> Result<Self, DirectoryError> {
        let stream = line::open(&access.url, &access.tls).await?;
        let settings = LdapConnSettings::new().set_std_stream(StdStream::Unix(stream));
        let (connection, mut ldap) = LdapConnAsync::with_settings(settings, OVER_A_STREAM).await?;
        // Ends when `ldap` is dropped.
        tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "a connection to the directory ended");
            }
        });
        if let Some((name, password)) = &access.login {
            let answer = ldap.simple_bind(name, password).await?;
            if answer.rc != 0 {
                return Err(refused("our own bind", answer.rc, answer.text));
            }
        }
        Ok(Self(ldap))
    }

    /// Entries that fulfil a filter, at most so many. References to other servers are left out.
    pub(super) async fn search(
        &mut self,
        base: &str,
        filter: &str,
        attributes: &[&str],
        most: usize,
    ) -> Result<Vec<Entry>, DirectoryError> {
        let options = SearchOptions::new().sizelimit(i32::try_from(most).unwrap_or(i32::MAX));
        let search = self.0.with_search_options(options).search(base, Scope::Subtree, filter, attributes);
        let found = search.await?;
        match found.1.rc {
            0 => Ok(found.0.into_iter().take(most).filter_map(Entry::read).collect()),
            // Our own limit: the caller sees that there are too many. The server's is lower, and hides somebody.
            SIZE_LIMIT if found.0.len() >= most => {
                Ok(found.0.into_iter().take(most).filter_map(Entry::read).collect())
            }
            code => Err(refused("a search", code, found.1.text)),
        }
    }

    /// Whether a password is that of an entry. The caller has seen to it that it is not empty.
    pub(super) async fn is_password(&mut self, dn: &str, password: &str) -> Result<bool, DirectoryError> {
        let answer = self.0.simple_bind(dn, password).await?;
        match answer.rc {
            0 => Ok(true),
            code if NOT_HIM.contains(&code) => Ok(false),
            code => Err(refused("a person's bind", code, answer.text)),
        }
    }
}

pub(super) fn refused(what: &'static str, code: u32, text: String) -> DirectoryError {
    DirectoryError::Refused { what, code, text }
}
