use arc_swap::ArcSwap;
use http_body_util::{BodyExt, Full};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use serve::{Connection, NetworkListener, Stream, connection, serve_here};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::api::{ApiKey, ApiSecrets};
use super::*;
use crate::config::{ApiConfig, CertificateFiles};
use crate::trial::Trial;

async fn answered(mut client: UnixStream) -> String {
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A connection of this account, and the task that serves it.
fn connected(uid: u32, handler: Handler) -> (UnixStream, tokio::task::JoinHandle<()>) {
    let (client, server) = UnixStream::pair().unwrap();
    let connection = Connection::new(Stream::Unix(server), Peer::Account(uid));
    let served = tokio::spawn(async move {
        let (_stop, stopping) = watch::channel(false);
        connection::converse(connection, handler, Arc::default(), stopping).await;
    });
    (client, served)
}

// covers: I05
#[tokio::test]
async fn a_connection_is_answered_for_the_uid_at_its_other_end() {
    let trial = Trial::new().await;
    for (uid, role) in [(0, "\"role\":\"super\""), (4_000_000, "\"role\":\"user\"")] {
        let handler = Handler::Admin(Arc::clone(&trial.service.administration));
        let (mut client, served) = connected(uid, handler);
        let request = "GET /v1/self HTTP/1.1\r\nhost: postern\r\nconnection: close\r\n\r\n";
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = answered(client).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(role), "{answer}");
        served.await.unwrap();
    }
}

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn login(trial: &Trial) -> Handler {
    Handler::Login(Arc::clone(&trial.service.dialogue))
}

fn api(trial: &Trial) -> Handler {
    let secrets = ApiSecrets::plain(ApiKey::parse(KEY.as_bytes()).unwrap());
    let secrets = Arc::new(ArcSwap::from_pointee(secrets));
    Handler::Api(Arc::new(Api::new(Arc::clone(&trial.service.dialogue), secrets)))
}

fn asking(trial: &Trial, user: &str, code: &str) -> String {
    let id = trial.request_id();
    format!(r#"{{"request_id":"{id}","user":"{user}","service":"vpn","rhost":"192.0.2.9","code":"{code}"}}"#)
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: postern\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

/// What is answered to requests of HTTP/1.1, of which the last one ends the connection.
async fn tell(handler: Handler, requests: &str) -> String {
    let (mut client, _served) = connected(0, handler);
    let (before, last) = requests.rsplit_once("host: postern\r\n").unwrap();
    let requests = format!("{before}host: postern\r\nconnection: close\r\n{last}");
    client.write_all(requests.as_bytes()).await.unwrap();
    answered(client).await
}

fn verdicts(answer: &str) -> Vec<&str> {
    answer.split("\"verdict\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

// covers: A05
#[tokio::test]
async fn a_code_is_accepted_once_whatever_the_listener() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let code = trial.code(&key, 0);
    let first = tell(login(&trial), &post("/v1/verify", "", &asking(&trial, "alice", &code))).await;
    assert_eq!(verdicts(&first), ["allow"], "{first}");
    let bearer = format!("authorization: Bearer {KEY}\r\n");
    let second = tell(api(&trial), &post("/v1/verify", &bearer, &asking(&trial, "alice", &code))).await;
    assert_eq!(verdicts(&second), ["deny"], "{second}");
    assert!(second.starts_with("HTTP/1.1 200") && !second.to_lowercase().contains("\ndate:"), "{second}");
}

// covers: F15
#[tokio::test]
async fn without_the_key_nothing_is_decided() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let asked = asking(&trial, "alice", &trial.code(&key, 0));
    let wrong = format!("authorization: Bearer {}\r\n", KEY.replace('f', "e"));
    let bearer = format!("authorization: Bearer {KEY}\r\n");
    let two = format!("{bearer}{wrong}");
    for headers in ["", "authorization: Bearer\r\n", &wrong, &two] {
        let answer = tell(api(&trial), &post("/v1/verify", headers, &asked)).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        assert!(answer.contains("www-authenticate: Bearer") && answer.contains("not_allowed"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    let answer = tell(api(&trial), &post("/v1/verify", &bearer, &asked)).await;
    assert_eq!(verdicts(&answer), ["allow"], "the code was not used up: {answer}");
    let answer = tell(api(&trial), &post("/v1/login/begin", &bearer, "{}")).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn each_item_of_a_batch_is_decided_by_itself() {
    let trial = Trial::new().await;
    let (alice, bob) = (trial.activate("alice").await, trial.enrol("bob").await);
    let (right, wrong) = (trial.code(&alice, 0), trial.wrong_code(&bob));
    let items = [
        asking(&trial, "alice", &right),
        asking(&trial, "bob", &wrong),
        asking(&trial, "alice", &right),
        asking(&trial, "nobody", "123456"),
    ];
    let body = format!("{{\"items\":[{}]}}", items.join(","));
    let answer = tell(login(&trial), &post("/v1/verify/batch", "", &body)).await;
    assert_eq!(verdicts(&answer), ["allow", "deny", "deny", "deny"], "{answer}");
    let again = tell(login(&trial), &post("/v1/verify/batch", "", &body)).await;
    assert_eq!(answer, again, "a batch that comes again gets the same verdicts");
}

#[tokio::test]
async fn a_batch_of_another_form_decides_nothing() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let right = asking(&trial, "alice", &trial.code(&key, 0));
    let malformed = right.replacen("\"request_id\":\"", "\"request_id\":\"x", 1);
    let many = vec![right.as_str(); 257].join(",");
    let two = format!("{right},{malformed}");
    for (items, said) in
        [("", "1 to 256 items, not 0"), (&many, "1 to 256 items, not 257"), (&two, "32 lower-case")]
    {
        let body = format!("{{\"items\":[{items}]}}");
        let answer = tell(login(&trial), &post("/v1/verify/batch", "", &body)).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(said), "{answer}");
    }
    let answer = tell(login(&trial), &post("/v1/verify", "", &right)).await;
    assert_eq!(verdicts(&answer), ["allow"], "{answer}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let asked = asking(&trial, "alice", &trial.code(&key, 0));
    let requests =
        [post("/v1/verify", "", &asked), post("/v1/nothing", "", ""), post("/v1/verify", "", &asked)];
    let answer = tell(login(&trial), &requests.concat()).await;
    assert_eq!(verdicts(&answer), ["allow", "allow"], "one request, told twice: {answer}");
    let statuses: Vec<_> = answer.split("HTTP/1.1 ").skip(1).map(|reply| &reply[..3]).collect();
    assert_eq!(statuses, ["200", "404", "200"]);
}

// covers: F11
#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let trial = Trial::new().await;
    let head = "POST /v1/verify HTTP/1.1\r\nhost: postern\r\n";
    let announced = tell(login(&trial), &format!("{head}content-length: 65537\r\n\r\n")).await;
    assert!(announced.starts_with("HTTP/1.1 413") && announced.contains("65536 bytes"), "{announced}");
    let piece = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{piece}{piece}1\r\nx\r\n0\r\n\r\n");
    let answer = tell(login(&trial), &chunked).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

/// Sends one request over HTTP/2; its status and body.
async fn tell_by_http2(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> (StatusCode, String) {
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let reply = sender.send_request(request).await.unwrap();
    let status = reply.status();
    let body = reply.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn request(authorization: Option<&str>, body: String) -> Request<Full<Bytes>> {
    let mut request = Request::post("http://postern/v1/verify");
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    request.body(Full::new(Bytes::from(body))).unwrap()
}

#[tokio::test]
async fn http2_is_spoken_where_its_preface_comes_first() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let (client, _served) = connected(0, login(&trial));
    let asked = request(None, asking(&trial, "alice", &trial.code(&key, 0)));
    let (status, body) = tell_by_http2(client, asked).await;
    assert_eq!((status, verdicts(&body)), (StatusCode::OK, vec!["allow"]), "{body}");
    let (client, _served) = connected(0, api(&trial));
    let (status, _) = tell_by_http2(client, request(None, asking(&trial, "alice", "123456"))).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

/// The API with a certificate of its own, and who trusts it.
fn encrypted(trial: &Trial, folder: &std::path::Path) -> (Handler, ClientConfig) {
    use std::os::unix::fs::PermissionsExt;
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set(folder, 0o700);
    let [key_file, certificate_file, private_key_file] =
        ["key", "cert", "private"].map(|name| folder.join(name));
    let texts = [KEY.to_owned(), made.cert.pem(), made.signing_key.serialize_pem()];
    for (path, text) in [&key_file, &certificate_file, &private_key_file].into_iter().zip(texts) {
        std::fs::write(path, text).unwrap();
        set(path, 0o600);
    }
    let certificate = Some(CertificateFiles { certificate_file, private_key_file });
    let config = ApiConfig { listen: "127.0.0.1:0".parse().unwrap(), key_file, certificate };
    let secrets = Arc::new(ArcSwap::from_pointee(ApiSecrets::load(&config).unwrap()));
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Handler::Api(Arc::new(Api::new(Arc::clone(&trial.service.dialogue), secrets))), client)
}

#[tokio::test]
async fn over_tls_both_protocols_are_spoken_and_no_session_is_resumed() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let folder = tempfile::tempdir().unwrap();
    let (handler, client) = encrypted(&trial, folder.path());
    let listener = NetworkListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (address, (stop, stopping)) = (listener.address(), watch::channel(false));
    let served = serve_here(listener, handler, stopping).unwrap();
    let bearer = format!("Bearer {KEY}");
    for (protocol, expected) in [("h2", "allow"), ("http/1.1", "deny"), ("", "deny")] {
        let mut client = client.clone();
        client.alpn_protocols =
            [protocol].iter().filter(|name| !name.is_empty()).map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full), "{protocol}");
        let asked = asking(&trial, "alice", &trial.code(&key, 0));
        let body = if protocol == "h2" {
            tell_by_http2(stream, request(Some(&bearer), asked)).await.1
        } else {
            let head = format!("authorization: {bearer}\r\nconnection: close\r\n");
            stream.write_all(post("/v1/verify", &head, &asked).as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            String::from_utf8(answer).unwrap()
        };
        assert_eq!(verdicts(&body), [expected], "{protocol}: {body}");
    }
    stop.send(true).unwrap();
    served.await.unwrap();
}
