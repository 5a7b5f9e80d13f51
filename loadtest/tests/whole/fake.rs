//! A verifier of some hundred lines, to be asked in every way there is, with one fault at a time.
//!
//! Logins and administration are on one Unix socket, as they never are in earnest.

mod verifier;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use otp_core::SharedSecret;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

pub use verifier::Fault;
use verifier::Verifier;

/// The key that callers over TCP show.
pub const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A running verifier; its sockets and whatever a test writes are in `folder`.
pub struct Fake {
    pub folder: TempDir,
    /// HTTP/1.1 over TCP.
    pub tcp: SocketAddr,
    /// HTTP/2 over TLS; its authority is in `{}/ca.pem`.
    pub tls: SocketAddr,
}

/// Who speaks what where.
struct Listeners {
    unix: std::os::unix::net::UnixListener,
    unix_http2: std::os::unix::net::UnixListener,
    tcp: std::net::TcpListener,
    tls: std::net::TcpListener,
    tls_config: Arc<ServerConfig>,
}

impl Fake {
    /// Listens at `{}/socket`, and with HTTP/2 at `{}/socket2`; a file `{}/secrets` holds its users `user0` and so
    /// on, who have tokens that follow the time.
    pub fn start(users: u32, fault: Fault) -> Self {
        Self::start_with(users, 0, fault)
    }

    /// The same, with more users `press0` and so on whose tokens count presses.
    pub fn start_with(users: u32, pressing: u32, fault: Fault) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut verifier = Verifier::new(fault);
        let mut file = String::new();
        let names = (0..users).map(|number| (format!("user{number}"), false));
        for (user, counts) in names.chain((0..pressing).map(|number| (format!("press{number}"), true))) {
            let secret = secret_of(&user);
            let counter = if counts { " 5" } else { "" };
            file += &format!("{user} {}{counter}\n", secret.to_base32().as_str());
            verifier.add(user, secret, counts.then_some(5));
        }
        std::fs::write(folder.path().join("secrets"), file).expect("a file");
        std::fs::write(folder.path().join("key"), KEY).expect("a file");
        let listeners = Listeners::open(folder.path());
        let address = |listener: &std::net::TcpListener| listener.local_addr().expect("an address");
        let (tcp, tls) = (address(&listeners.tcp), address(&listeners.tls));
        // The thread ends with the process.
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(serve(listeners, Arc::new(verifier)))
        });
        Self { folder, tcp, tls }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Listeners {
    fn open(folder: &Path) -> Self {
        let unix = |name| {
            let socket = std::os::unix::net::UnixListener::bind(folder.join(name)).expect("a socket");
            socket.set_nonblocking(true).expect("a mode");
            socket
        };
        let tcp = || {
            let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
            socket.set_nonblocking(true).expect("a mode");
            socket
        };
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        std::fs::write(folder.join("ca.pem"), made.cert.pem()).expect("a file");
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls_config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a certificate with its key");
        tls_config.alpn_protocols = vec![b"h2".to_vec()];
        Self {
            unix: unix("socket"),
            unix_http2: unix("socket2"),
            tcp: tcp(),
            tls: tcp(),
            tls_config: Arc::new(tls_config),
        }
    }
}

async fn serve(listeners: Listeners, verifier: Arc<Verifier>) {
    let Listeners { unix, unix_http2, tcp, tls, tls_config } = listeners;
    let unix = UnixListener::from_std(unix).expect("a socket");
    let unix_http2 = UnixListener::from_std(unix_http2).expect("a socket");
    let tcp = TcpListener::from_std(tcp).expect("a socket");
    let tls = TcpListener::from_std(tls).expect("a socket");
    let acceptor = TlsAcceptor::from(tls_config);
    loop {
        let verifier = Arc::clone(&verifier);
        tokio::select! {
            Ok((stream, _)) = unix.accept() => { tokio::spawn(speak_http1(stream, verifier, false)); }
            Ok((stream, _)) = unix_http2.accept() => { tokio::spawn(speak_http2(stream, verifier, false)); }
            Ok((stream, _)) = tcp.accept() => { tokio::spawn(speak_http1(stream, verifier, true)); }
            Ok((stream, _)) = tls.accept() => {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    speak_http2(stream, verifier, true).await;
                });
            }
        }
    }
}

/// An error ends the connection without a reply.
async fn speak_http1(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    verifier: Arc<Verifier>,
    with_key: bool,
) {
    let service = service_fn(move |request| Arc::clone(&verifier).answer(request, with_key));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn speak_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    verifier: Arc<Verifier>,
    with_key: bool,
) {
    let service = service_fn(move |request| Arc::clone(&verifier).answer(request, with_key));
    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// The secret of a user; his name is all that it hides.
pub fn secret_of(user: &str) -> SharedSecret {
    SharedSecret::from_bytes(format!("{user:=>20}").as_bytes()).expect("20 bytes")
}
