//! Where a verifier answers, and how it is spoken to: Unix socket, TCP or TLS, HTTP/1.1 or HTTP/2.
//!
//! Opens nothing itself; [`crate::connection`] does.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use hyper::{Method, Request};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::connection::Prepared;

/// Hexadecimal digits of the key that `verifierd` asks of callers over TCP.
const KEY_DIGITS: usize = 64;

/// Which version of HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Protocol {
    /// One request at a time on a connection.
    #[serde(rename = "HTTP/1.1")]
    Http1,
    /// Many at once; without TLS by prior knowledge (h2c).
    #[serde(rename = "HTTP/2")]
    Http2,
}

impl Protocol {
    /// As it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// What carries it.
#[derive(Clone)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// TCP, to `host:port`.
    Tcp(String),
    /// TLS 1.3 over TCP.
    Tls {
        /// `host:port`.
        authority: String,
        /// What the certificate must name.
        name: ServerName<'static>,
        /// Whom we believe.
        config: Arc<ClientConfig>,
    },
}

/// A verifier to ask.
pub struct Target {
    /// What carries the requests.
    pub address: Address,
    /// What they are written in.
    pub protocol: Protocol,
    key: Option<Zeroizing<String>>,
}

/// How to reach a verifier, as typed.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// `unix:/path`, `http://host:port` or `https://host:port`.
    pub to: &'a str,
    /// What is spoken.
    pub protocol: Protocol,
    /// PEM file with the authorities that may have signed the certificate.
    pub ca: Option<&'a Path>,
    /// File with the key that callers over TCP show.
    pub key_file: Option<&'a Path>,
}

impl Target {
    /// A Unix socket with HTTP/1.1, as the PAM module speaks it.
    pub fn unix(socket: &Path) -> Arc<Self> {
        let address = Address::Unix(socket.to_owned());
        Arc::new(Self { address, protocol: Protocol::Http1, key: None })
    }

    /// The verifier at the end of a route.
    ///
    /// # Errors
    /// When the address has another form, a file cannot be read, or TLS is asked for without authorities.
    pub fn parse(route: Route<'_>) -> Result<Arc<Self>> {
        let Route { to, protocol, ca, key_file } = route;
        let address = if let Some(path) = to.strip_prefix("unix:") {
            Address::Unix(path.into())
        } else if let Some(authority) = to.strip_prefix("http://") {
            Address::Tcp(authority_of(authority)?)
        } else if let Some(authority) = to.strip_prefix("https://") {
            let ca = ca.context("an https:// address needs --ca FILE")?;
            tls(authority_of(authority)?, protocol, ca)?
        } else {
            bail!("{to:?} is no address: unix:/PATH, http://HOST:PORT or https://HOST:PORT is");
        };
        let key = key_file.map(read_key).transpose()?;
        Ok(Arc::new(Self { address, protocol, key }))
    }

    /// A request with a JSON body.
    ///
    /// # Errors
    /// When `path` is no path.
    pub fn prepare(&self, method: Method, path: &str, body: &impl Serialize) -> Result<Prepared> {
        let body = serde_json::to_vec(body).context("cannot encode the request")?;
        let (scheme, authority) = match &self.address {
            Address::Unix(_) => ("http", "localhost"),
            Address::Tcp(authority) => ("http", authority.as_str()),
            Address::Tls { authority, .. } => ("https", authority.as_str()),
        };
        // HTTP/2 makes its own header of the address; HTTP/1.1 wants the path alone and says the host beside it.
        let mut request = match self.protocol {
            Protocol::Http1 => Request::builder().uri(path).header("host", authority),
            Protocol::Http2 => Request::builder().uri(format!("{scheme}://{authority}{path}")),
        };
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {}", key.as_str()));
        }
        request
            .method(method)
            .header("content-type", "application/json")
            .body(body.into())
            .context("cannot build the request")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Unix(path) => write!(f, "{}", path.display()),
            Address::Tcp(authority) => write!(f, "http://{authority}"),
            Address::Tls { authority, .. } => write!(f, "https://{authority}"),
        }
    }
}

/// Tells where, never the key.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self}, {:?})", self.protocol)
    }
}

fn authority_of(text: &str) -> Result<String> {
    let authority = text.trim_end_matches('/');
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    ensure!(has_port, "{text:?} has no port: HOST:PORT is right");
    Ok(authority.to_owned())
}

fn tls(authority: String, protocol: Protocol, ca: &Path) -> Result<Address> {
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(ca).with_context(|| format!("cannot read {}", ca.display()))?;
    for certificate in certificates {
        let certificate = certificate.with_context(|| format!("{} is no PEM file", ca.display()))?;
        roots.add(certificate).with_context(|| format!("{} holds no authority", ca.display()))?;
    }
    ensure!(!roots.is_empty(), "{} holds no certificate", ca.display());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .context("TLS 1.3 is not to be had")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![match protocol {
        Protocol::Http1 => b"http/1.1".to_vec(),
        Protocol::Http2 => b"h2".to_vec(),
    }];
    let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).with_context(|| format!("{authority:?} names no host"))?;
    Ok(Address::Tls { authority, name, config: Arc::new(config) })
}

fn read_key(path: &Path) -> Result<Zeroizing<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = Zeroizing::new(text);
    let key = text.trim();
    let is_key = key.len() == KEY_DIGITS && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(is_key, "{} holds no key: {KEY_DIGITS} hexadecimal digits are one", path.display());
    Ok(Zeroizing::new(key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(to: &str, expected: Result<&str, &str>) {
        let route = Route { to, protocol: Protocol::Http1, ca: None, key_file: None };
        match (Target::parse(route), expected) {
            (Ok(target), Ok(shown)) => assert_eq!(target.to_string(), shown),
            (Err(error), Err(part)) => assert!(format!("{error:#}").contains(part), "{error:#}"),
            (parsed, expected) => panic!("{to}: {parsed:?}, not {expected:?}"),
        }
    }

    #[test]
    fn an_address_names_what_carries_it() {
        check("unix:/run/x.sock", Ok("/run/x.sock"));
        check("http://127.0.0.1:7878", Ok("http://127.0.0.1:7878"));
        check("http://[::1]:7878/", Ok("http://[::1]:7878"));
        check("http://localhost", Err("has no port"));
        check("https://localhost:1", Err("needs --ca FILE"));
        check("/run/x.sock", Err("is no address"));
    }

    #[test]
    fn a_key_goes_with_every_request_and_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let key = "ab".repeat(32);
        std::fs::write(&file, format!("{key}\n")).unwrap();
        let route = |file| Route {
            to: "http://127.0.0.1:1",
            protocol: Protocol::Http2,
            ca: None,
            key_file: Some(file),
        };
        let target = Target::parse(route(file.as_path())).unwrap();
        let request = target.prepare(Method::POST, "/v1/verify", &1).unwrap();
        assert_eq!(request.headers()["authorization"], format!("Bearer {key}"));
        assert_eq!(request.uri(), "http://127.0.0.1:1/v1/verify");
        assert!(!format!("{target:?}").contains(&key));
        std::fs::write(&file, "short").unwrap();
        assert!(Target::parse(route(file.as_path())).is_err());
    }
}
