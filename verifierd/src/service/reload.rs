//! Reads the configuration anew while the service runs.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Service;
use crate::audit::sinks::Sinks;
use crate::config::{Config, ConfigError};
use crate::http::api::{ApiSecretError, ApiSecrets};
use crate::http::certificate::{CertificateFileError, server_config};
use crate::notify::Notifier;
use crate::web::Web;

impl Service {
    /// A handle that reads the configuration anew.
    ///
    /// * `api`: what opens the API, where it is served.
    pub fn reloader(&self, api: Option<Arc<ArcSwap<ApiSecrets>>>) -> Reloader {
        Reloader {
            api,
            path: self.config_path.clone(),
            config: Arc::clone(&self.dialogue.config),
            notifier: Arc::clone(&self.notifier),
            sinks: Arc::clone(&self.administration.sinks),
            web: self.web.clone(),
        }
    }
}

/// Reads the configuration anew.
#[derive(Clone, Debug)]
pub struct Reloader {
    path: PathBuf,
    config: Arc<ArcSwap<Config>>,
    notifier: Arc<Notifier>,
    sinks: Arc<Sinks>,
    api: Option<Arc<ArcSwap<ApiSecrets>>>,
    web: Option<Arc<Web>>,
}

/// Why the configuration stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file is broken.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that it names for the API is.
    #[error(transparent)]
    Api(#[from] ApiSecretError),
    /// The certificate of the pages is.
    #[error(transparent)]
    Web(#[from] CertificateFileError),
    /// The API would go on at its address without encryption.
    #[error(
        "[api] certificate_file: the certificate is taken away by a restart only, not while the API listens"
    )]
    TlsOff,
}

impl Reloader {
    /// Takes over a changed file, and a new key and certificate of the API; keeps all as it was when one of them is
    /// broken.
    ///
    /// # Errors
    /// See [`ReloadError`].
    pub fn reload(&self) -> Result<(), ReloadError> {
        // Whoever moved the file of the audit trail says so by the same signal, and has no fault in the configuration.
        self.sinks.reopen();
        let newer = Config::load(&self.path)?;
        let secrets = newer.api.as_ref().map(ApiSecrets::load).transpose()?;
        let loses_tls = |present: &Arc<ArcSwap<ApiSecrets>>| {
            present.load().tls().is_some() && secrets.as_ref().is_some_and(|newer| newer.tls().is_none())
        };
        if self.api.as_ref().is_some_and(loses_tls) {
            return Err(ReloadError::TlsOff);
        }
        let certificate = newer.web.as_ref().map(|web| server_config("web", &web.certificate)).transpose()?;
        let old = self.config.load_full();
        let fixed = old.needs_restart(&newer);
        if !fixed.is_empty() {
            tracing::warn!(settings = ?fixed, "changed settings take effect at the next start");
        }
        if let (Some(present), Some(secrets)) = (&self.api, secrets) {
            present.store(Arc::new(secrets));
        }
        if let (Some(web), Some(certificate)) = (&self.web, certificate) {
            web.change_certificate(certificate);
        }
        self.notifier.change(newer.notify.clone());
        self.config.store(Arc::new(newer));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::trial::Trial;

    // covers: F15
    #[tokio::test]
    async fn a_reload_does_not_turn_encryption_off_where_the_api_listens() {
        let trial = Trial::new().await;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| {
            std::fs::write(path(name), text).unwrap();
            std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        let mine = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        write("key", &"0a".repeat(32));
        write("certificate", &mine.cert.pem());
        write("private", &mine.signing_key.serialize_pem());
        let [key, certificate, private] = ["key", "certificate", "private"].map(path);
        let plain = format!("version = 1\n[api]\nlisten = \"127.0.0.1:7878\"\nkey_file = {key:?}\n");
        let encrypted = plain.replace("127.0.0.1", "0.0.0.0")
            + &format!("certificate_file = {certificate:?}\nprivate_key_file = {private:?}\n");
        let config = Config::parse(&encrypted).unwrap();
        let secrets = ApiSecrets::load(config.api.as_ref().unwrap()).unwrap();
        let secrets = Arc::new(ArcSwap::from_pointee(secrets));
        write("config", &plain);
        let reloader = Reloader {
            path: path("config"),
            config: Arc::new(ArcSwap::from_pointee(config)),
            ..trial.service.reloader(Some(Arc::clone(&secrets)))
        };
        assert!(matches!(reloader.reload(), Err(ReloadError::TlsOff)));
        assert!(secrets.load().tls().is_some());
        write("config", &encrypted);
        assert!(reloader.reload().is_ok());
    }
}
