//! A verifier that says what a test wants, over real TLS on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::chance::SystemChance;
use crate::identity::tests::Authority;
use crate::tls;

/// What a fake verifier does with a request.
pub enum Act {
    /// Answers.
    Answer(u16, Value),
    /// Never answers.
    Hang,
}

/// A verifier that says what a test wants.
pub struct Fake {
    /// Where it listens.
    pub address: SocketAddr,
    /// Connections that it accepted.
    pub connections: Arc<AtomicUsize>,
    /// Requests that it read.
    pub requests: Arc<AtomicUsize>,
}

/// Decides about a request.
pub type Decide = dyn Fn(&str, &Value) -> Act + Send + Sync;

impl Fake {
    /// A good one of this authority.
    pub async fn start(
        authority: &Authority,
        decide: impl Fn(&str, &Value) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(authority, authority.verifier(|_| ()), decide).await
    }

    /// One that shows these certificates.
    ///
    /// * `authority`: signs the hosts that it accepts.
    pub async fn start_with(
        authority: &Authority,
        (chain, key): (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
        decide: impl Fn(&str, &Value) -> Act + Send + Sync + 'static,
    ) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.certificate()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let hosts = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(hosts)
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, requests) = (fake.connections.clone(), fake.requests.clone());
        let decide: Arc<Decide> = Arc::new(decide);
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, decide, requests) = (acceptor.clone(), decide.clone(), requests.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| {
                        requests.fetch_add(1, Ordering::SeqCst);
                        answer(decide.clone(), request)
                    });
                    let served = http2::Builder::new(TokioExecutor::new());
                    let _ = served.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        fake
    }

    /// As an agent names it.
    pub fn verifier(&self) -> VerifierAddress {
        format!("https://localhost:{}", self.address.port()).parse().unwrap()
    }
}

async fn answer(
    decide: Arc<Decide>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    match decide(&path, &serde_json::from_slice(&body).unwrap()) {
        Act::Answer(status, value) => {
            let body = Full::new(Bytes::from(value.to_string()));
            Ok(Response::builder().status(status).body(body).unwrap())
        }
        Act::Hang => std::future::pending().await,
    }
}

/// The verifiers of a host that this authority signed.
pub fn verifiers(authority: &Authority, addresses: Vec<VerifierAddress>) -> Verifiers {
    Verifiers::new(addresses, tls::for_host(&authority.host()).unwrap(), Arc::new(SystemChance))
}

/// The same, who leave whoever has failed alone for a minute.
pub fn resting_verifiers(authority: &Authority, addresses: Vec<VerifierAddress>) -> Verifiers {
    Verifiers::new(addresses, tls::for_host(&authority.host()).unwrap(), Arc::new(AMinute))
}

#[derive(Debug)]
struct AMinute;

impl crate::chance::Chance for AMinute {
    fn bits(&self) -> u64 {
        u64::MAX
    }

    fn up_to(&self, _: Duration) -> Duration {
        Duration::from_secs(60)
    }
}

fn body() -> Bytes {
    Bytes::from_static(b"{}")
}

fn within(time: Duration) -> Instant {
    Instant::now() + time
}

/// Long enough for anything on loopback, whatever else the machine does.
const AMPLE: Duration = Duration::from_secs(30);

/// What a verifier that hangs may cost.
const BRIEF: Duration = Duration::from_millis(400);

#[tokio::test]
async fn one_connection_carries_all_requests() {
    let authority = Authority::generate();
    let fake = Fake::start(&authority, |path, _| Act::Answer(200, json!({"at": path}))).await;
    let verifiers = verifiers(&authority, vec![fake.verifier()]);
    for _ in 0..5 {
        let answer = verifiers.ask("/v1/x", &body(), within(AMPLE)).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"{\"at\":\"/v1/x\"}"[..]));
    }
    let (first, second) = (body(), body());
    let asked =
        (verifiers.ask("/v1/x", &first, within(AMPLE)), verifiers.ask("/v1/y", &second, within(AMPLE)));
    let (one, two) = tokio::join!(asked.0, asked.1);
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(fake.connections.load(Ordering::SeqCst), 1);
    assert_eq!(fake.requests.load(Ordering::SeqCst), 7);
}

#[tokio::test]
async fn a_verifier_that_does_not_answer_is_followed_by_the_next() {
    let authority = Authority::generate();
    let good = Fake::start(&authority, |_, _| Act::Answer(200, json!("good"))).await;
    let busy = Fake::start(&authority, |_, _| Act::Answer(503, json!("busy"))).await;
    let hung = Fake::start(&authority, |_, _| Act::Hang).await;
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gone: VerifierAddress = format!("https://localhost:{}", gone.port()).parse().unwrap();
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let deaf: VerifierAddress =
        format!("https://localhost:{}", deaf.local_addr().unwrap().port()).parse().unwrap();
    for (first, time) in
        [(busy.verifier(), AMPLE), (gone, AMPLE), (hung.verifier(), 5 * BRIEF), (deaf, 5 * BRIEF)]
    {
        let verifiers = verifiers(&authority, vec![first, good.verifier()]);
        let answer = verifiers.ask("/v1/x", &body(), within(time)).await.unwrap();
        assert_eq!(&answer.body[..], b"\"good\"");
        let stands = verifiers.stands();
        assert!(stands[0].problem.is_some() && stands[1].problem.is_none(), "{stands:?}");
        // While the first rests, the next request goes to the second at once.
        if stands[0].rests_for > Duration::ZERO {
            assert!(verifiers.ask("/v1/x", &body(), within(AMPLE)).await.is_ok());
        }
    }
}

// covers: E22
#[tokio::test]
async fn where_nobody_answers_a_request_ends_at_its_deadline() {
    let authority = Authority::generate();
    let hung = Fake::start(&authority, |_, _| Act::Hang).await;
    let busy = Fake::start(&authority, |_, _| Act::Answer(503, json!({}))).await;
    let verifiers = verifiers(&authority, vec![hung.verifier(), busy.verifier()]);
    // One of them is there, and says so.
    assert_eq!(verifiers.ask("/v1/x", &body(), within(BRIEF)).await.unwrap_err(), Unanswered::Busy);
    assert!(hung.requests.load(Ordering::SeqCst) + busy.requests.load(Ordering::SeqCst) >= 1);
}

#[tokio::test]
async fn many_requests_that_fail_with_one_connection_are_one_failure() {
    let authority = Authority::generate();
    let hung = Fake::start(&authority, |_, _| Act::Hang).await;
    let verifiers = Arc::new(verifiers(&authority, vec![hung.verifier()]));
    let until = within(5 * BRIEF);
    let ask = |_| {
        let verifiers = Arc::clone(&verifiers);
        tokio::spawn(async move { verifiers.ask_one(0, "/v1/x", &body(), until).await })
    };
    let asked: Vec<_> = (0..20).map(ask).collect();
    for asked in asked {
        assert!(matches!(asked.await.unwrap(), Err(Fault::TimedOut | Fault::Broken { .. })));
    }
    assert_eq!(hung.connections.load(Ordering::SeqCst), 1);
    assert_eq!(verifiers.places[0].lock().backoff.failures(), 1);
}

// covers: H12
#[tokio::test]
async fn one_request_that_takes_too_long_rests_no_verifier_that_answers_others() {
    let authority = Authority::generate();
    let fake = Fake::start(&authority, |path, _| match path {
        "/v1/slow" => Act::Hang,
        _ => Act::Answer(200, json!({})),
    })
    .await;
    let verifiers = resting_verifiers(&authority, vec![fake.verifier()]);
    let slow = body();
    let asked = async || verifiers.ask_one(0, "/v1/slow", &slow, within(BRIEF)).await;
    let rests = || verifiers.stands()[0].rests_for > Duration::ZERO;
    for _ in 0..3 {
        // Another one is answered while it waits.
        let quick = body();
        let (late, answered) = tokio::join!(asked(), verifiers.ask_one(0, "/v1/x", &quick, within(AMPLE)));
        assert!(matches!(late, Err(Fault::TimedOut)) && answered.is_ok());
        assert!(!rests());
    }
    // Alone it may be one that waits for something of its own; a second one says that nobody is answered.
    assert!(matches!(asked().await, Err(Fault::TimedOut)));
    assert!(!rests() && verifiers.stands()[0].problem.is_some());
    assert!(matches!(asked().await, Err(Fault::TimedOut)));
    assert!(rests());
    assert_eq!(fake.connections.load(Ordering::SeqCst), 1);
}

/// Asks a verifier that shows these certificates, as a host and as one that joins, and says why it was not answered.
async fn refused(ours: &Authority, shown: (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)) -> String {
    let fake = Fake::start_with(ours, shown, |_, _| Act::Answer(200, json!({}))).await;
    let verifiers = verifiers(ours, vec![fake.verifier()]);
    let fault = verifiers.ask_one(0, "/v1/x", &body(), within(AMPLE)).await.unwrap_err();
    let pinned = tls::for_join(crate::identity::fingerprint(&ours.certificate())).unwrap();
    let joining = connection::open(&fake.verifier(), pinned, within(AMPLE)).await;
    assert!(matches!(joining, Err(Fault::Tls { .. })), "a host that joins is as careful");
    assert_eq!(fake.requests.load(Ordering::SeqCst), 0, "nothing was told");
    chain(&fault)
}

// covers: F15, D08
#[tokio::test]
async fn whoever_is_no_verifier_of_the_fleet_is_told_nothing_and_the_cause_is_named() {
    let (ours, theirs) = (Authority::generate(), Authority::generate());
    let named = |name: &str| {
        let names = vec![rcgen::SanType::DnsName(name.try_into().unwrap())];
        ours.verifier(|params| params.subject_alt_names = names)
    };
    let cases = [
        // Of the same name as ours.
        (theirs.verifier(|_| ()), "BadSignature"),
        (named("otp1.example.org"), "not valid for name"),
        (ours.verifier(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1)), "expired"),
        (ours.verifier(|params| params.not_before = rcgen::date_time_ymd(2100, 1, 1)), "not valid yet"),
        (
            ours.verifier(|params| {
                params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
            }),
            "certificate",
        ),
    ];
    for (shown, expected) in cases {
        let cause = refused(&ours, shown).await;
        assert!(cause.contains("the TLS handshake failed") && cause.contains(expected), "{cause}");
    }
}

// covers: F15
#[tokio::test]
async fn a_host_joins_only_under_the_name_it_asked_for() {
    let authority = Authority::generate();
    let fake = Fake::start(&authority, |_, _| Act::Answer(200, json!({}))).await;
    let pinned = tls::for_join(crate::identity::fingerprint(&authority.certificate())).unwrap();
    assert!(connection::open(&fake.verifier(), pinned.clone(), within(AMPLE)).await.is_ok());
    let by_address = format!("https://{}", fake.address).parse().unwrap();
    let refused = connection::open(&by_address, pinned, within(AMPLE)).await;
    assert!(matches!(refused, Err(Fault::Tls { .. })), "its certificate does not say so");
}

// covers: F15, D08
#[tokio::test]
async fn a_verifier_without_tls_is_told_nothing() {
    let authority = Authority::generate();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let plain = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut said = vec![0; 4_096];
        let count = stream.read(&mut said).await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
        said.truncate(count);
        said
    });
    let verifier = format!("https://localhost:{}", address.port()).parse().unwrap();
    let verifiers = verifiers(&authority, vec![verifier]);
    let body = Bytes::from_static(b"the secret");
    let fault = verifiers.ask_one(0, "/v1/x", &body, within(AMPLE)).await.unwrap_err();
    assert!(matches!(fault, Fault::Tls { .. }), "{fault:?}");
    let said = plain.await.unwrap();
    assert!(!said.windows(10).any(|window| window == b"the secret"));
}

// covers: H12
#[tokio::test]
async fn a_host_that_is_refused_is_answered_and_rests() {
    let authority = Authority::generate();
    let fake = Fake::start(&authority, |_, _| {
        Act::Answer(403, json!({"error": {"code": "not_allowed", "message": "revoked"}}))
    })
    .await;
    let verifiers = verifiers(&authority, vec![fake.verifier()]);
    let mut rests = 0;
    for _ in 0..6 {
        let answer = verifiers.ask_one(0, "/v1/x", &body(), within(AMPLE)).await.unwrap();
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        rests += u32::from(verifiers.stands()[0].rests_for > Duration::ZERO);
    }
    assert!(rests > 0);
    assert_eq!(verifiers.places[0].lock().backoff.failures(), 6);
}
