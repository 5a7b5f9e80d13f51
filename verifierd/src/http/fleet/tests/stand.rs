//! A service whose fleet is served over loopback, hosts that have joined it, and their agents' connections.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::response::Parts;
use data_encoding::{BASE32_NOPAD, BASE64, HEXLOWER};
use http_body_util::{BodyExt, Full};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use serve::{NetworkListener, serve_here};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use wire::fleet::{JOIN_PATH, RENEW_PATH, REPORT_PATH};

use super::super::tls::WallTime;
use crate::clock::Clock;
use crate::hosts::HostName;
use crate::hosts::registrar::Registrar;
use crate::trial::{Trial, root};

pub(super) const FLEET: &str =
    "version = 1\n[fleet]\nlisten = \"127.0.0.1:7443\"\nnames = [\"localhost\", \"otp1.example.org\"]";

/// A service whose fleet is served.
pub(super) struct Stand {
    pub(super) trial: Trial,
    pub(super) address: SocketAddr,
    pub(super) tally: Arc<serve::Tally>,
    /// Ends it when it is dropped.
    _stop: watch::Sender<bool>,
}

/// A host that has joined.
pub(super) struct Member {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: KeyPair,
}

/// A connection of an agent's.
pub(super) struct Agent {
    pub(super) sender: SendRequest<Full<Bytes>>,
    pub(super) driver: JoinHandle<()>,
}

impl Stand {
    pub(super) async fn new() -> Self {
        Self::with_config(FLEET).await
    }

    pub(super) async fn with_config(config: &str) -> Self {
        let trial = Trial::with_config(config).await;
        let listener = NetworkListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address();
        let listener = serve::AnyListener::from(listener);
        let tally = Arc::clone(listener.tally());
        let (stop, stopping) = watch::channel(false);
        serve_here(listener, trial.service.fleet.clone().unwrap(), stopping).unwrap();
        Self { trial, address, tally, _stop: stop }
    }

    pub(super) fn registrar(&self) -> &Arc<Registrar> {
        &self.trial.service.administration.registrar
    }

    pub(super) fn authority(&self) -> CertificateDer<'static> {
        self.registrar().authority().unwrap().certificate().clone()
    }

    /// What an agent trusts and shows.
    pub(super) fn tls(
        &self,
        identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clock: Arc<dyn Clock> = self.trial.clock.clone();
        let config = ClientConfig::builder_with_details(provider, Arc::new(WallTime(clock)))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }

    pub(super) async fn connect(&self, config: ClientConfig, name: &str) -> Result<Agent, String> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| error.to_string())?;
        // How it ends, the requests tell.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Agent { sender, driver })
    }

    pub(super) async fn stranger(&self) -> Agent {
        self.connect(self.tls(None), "localhost").await.unwrap()
    }

    pub(super) async fn agent(&self, member: &Member) -> Agent {
        self.connect(self.tls(Some(member.identity())), "localhost").await.unwrap()
    }

    pub(super) async fn enrol(&self, name: &str) -> String {
        let name = HostName::new(name).unwrap();
        let enrolled = self.registrar().enrol(name, None, false, root()).await.unwrap();
        let text = enrolled.secret.text(&[0; 32]);
        let bytes = BASE32_NOPAD.decode(text.replace('-', "").as_bytes()).unwrap();
        HEXLOWER.encode(&bytes[..16])
    }

    pub(super) async fn join(&self, name: &str) -> Member {
        let (secret, key) = (self.enrol(name).await, KeyPair::generate().unwrap());
        let (status, joined) =
            self.stranger().await.post(JOIN_PATH, &join_body(&secret, &key)).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{joined}");
        assert_eq!(joined["name"], json!(name));
        Member::from(&joined, key)
    }
}

impl Member {
    pub(super) fn from(told: &Value, key: KeyPair) -> Self {
        let text = told["certificate"]["chain"].as_str().unwrap();
        let chain = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().unwrap();
        let text = |field: &str| told[field].as_str().unwrap_or_default().to_owned();
        Self { id: text("host"), name: text("name"), chain, key }
    }

    pub(super) fn identity(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain.clone(), private(&self.key))
    }
}

impl Agent {
    pub(super) async fn post(&mut self, path: &str, body: &Value) -> Result<(StatusCode, Value), String> {
        self.post_with(path, body, &[]).await
    }

    pub(super) async fn post_with(
        &mut self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Result<(StatusCode, Value), String> {
        let (head, body) = self.exchange(path, body, headers).await?;
        Ok((head.status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// The same as it came.
    pub(super) async fn exchange(
        &mut self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Result<(Parts, Vec<u8>), String> {
        let mut request = hyper::Request::post(format!("https://localhost{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
        let reply = self.sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = reply.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok((head, body.to_vec()))
    }

    /// Renews with a new key.
    pub(super) async fn renew(&mut self) -> Member {
        let key = KeyPair::generate().unwrap();
        let (status, told) = self.post(RENEW_PATH, &renew_body(&key)).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{told}");
        Member::from(&told, key)
    }

    /// What a report is answered with.
    pub(super) async fn report(&mut self) -> Result<(StatusCode, Value), String> {
        let body = json!({"api_version": 1, "agent_version": "0.5.0", "clock": 7});
        self.post(REPORT_PATH, &body).await
    }

    /// Waits until the verifier has ended the connection.
    pub(super) async fn end(self) {
        self.driver.await.unwrap();
    }
}

pub(super) fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

pub(super) fn request_of(key: &KeyPair) -> String {
    BASE64.encode(CertificateParams::default().serialize_request(key).unwrap().der())
}

pub(super) fn join_body(secret: &str, key: &KeyPair) -> Value {
    json!({"api_version": 1, "secret": secret, "signing_request": request_of(key), "agent_version": "0.5.0"})
}

pub(super) fn renew_body(key: &KeyPair) -> Value {
    json!({"api_version": 1, "signing_request": request_of(key)})
}

pub(super) fn begin_body(user: &str) -> Value {
    json!({"api_version": 1, "request_id": "00000000000000000000000000000001", "user": user, "service": "sshd",
        "rhost": "192.0.2.1"})
}

pub(super) fn message(told: &Value) -> &str {
    told["error"]["message"].as_str().unwrap_or_default()
}

pub(super) fn check_refused(told: Result<(StatusCode, Value), String>, expected: &str) {
    let (status, told) = told.unwrap();
    assert_eq!((status, &told["error"]["code"]), (StatusCode::FORBIDDEN, &json!("not_allowed")));
    assert!(message(&told).contains(expected), "{:?} does not say {expected:?}", message(&told));
}
