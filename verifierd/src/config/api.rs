//! The listener of the network.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where programs of the network ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// The file with the key that callers show: 64 hexadecimal digits.
    pub key_file: PathBuf,
    /// What the listener shows; without it connections are not encrypted, which only a loopback address may do.
    pub certificate: Option<CertificateFiles>,
}

impl ApiConfig {
    /// Whether this may be served at an address: where no certificate is, only on the machine itself.
    pub fn may_listen_at(&self, address: SocketAddr) -> bool {
        self.certificate.is_some() || address.ip().to_canonical().is_loopback()
    }
}

/// A certificate and its key, both in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and those between it and the root.
    pub certificate_file: PathBuf,
    /// Its private key.
    pub private_key_file: PathBuf,
}

/// The section as written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawApi {
    listen: String,
    key_file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key_file: Option<PathBuf>,
}

impl From<&ApiConfig> for RawApi {
    fn from(api: &ApiConfig) -> Self {
        let files = api.certificate.clone();
        let (certificate_file, private_key_file) =
            files.map(|files| (files.certificate_file, files.private_key_file)).unzip();
        Self {
            listen: api.listen.to_string(),
            key_file: api.key_file.clone(),
            certificate_file,
            private_key_file,
        }
    }
}

impl RawApi {
    /// All that is wrong goes into `faults`; the section is `None` then.
    pub(super) fn check(self, faults: &mut Vec<String>) -> Option<ApiConfig> {
        let before = faults.len();
        let paths = [
            ("key_file", Some(&self.key_file)),
            ("certificate_file", self.certificate_file.as_ref()),
            ("private_key_file", self.private_key_file.as_ref()),
        ];
        let relative = paths.into_iter().filter_map(|(name, path)| Some((name, path?)));
        for (name, path) in relative.filter(|(_, path)| !path.is_absolute()) {
            faults.push(format!("api.{name} = {path:?}: an absolute path is needed"));
        }
        let listen = self.listen.parse::<SocketAddr>();
        if listen.is_err() {
            let given = &self.listen;
            faults.push(format!(
                "api.listen = {given:?}: an address and a port such as \"127.0.0.1:7878\" is needed"
            ));
        }
        let certificate = match (self.certificate_file, self.private_key_file) {
            (Some(certificate_file), Some(private_key_file)) => {
                Some(CertificateFiles { certificate_file, private_key_file })
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                faults.push(
                    "api.certificate_file and api.private_key_file: one of them alone is of no use".into(),
                );
                None
            }
        };
        let api = ApiConfig { listen: listen.ok()?, key_file: self.key_file, certificate };
        if faults.len() == before && !api.may_listen_at(api.listen) {
            faults.push(format!("api.listen = \"{}\": {NEEDS_CERTIFICATE}", api.listen));
        }
        (faults.len() == before).then_some(api)
    }
}

/// Codes and the key would go over the network for everybody to read.
const NEEDS_CERTIFICATE: &str =
    "without certificate_file and private_key_file only a loopback address such as 127.0.0.1 is served";
