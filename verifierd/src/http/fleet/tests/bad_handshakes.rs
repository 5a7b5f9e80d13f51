//! What is no handshake, or one of another time: the connection ends, and the next host is served (F05).

use std::sync::Arc;

use http_body_util::Full;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wire::fleet::REPORT_PATH;

use super::stand::Stand;

/// A ClientHello of TLS 1.3 as rustls sends it, taken from its own buffer.
fn client_hello(stand: &Stand) -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = rustls::ClientConnection::new(Arc::new(stand.tls(None)), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}

/// A ClientHello whose newest version is an older one: without the extension that tells of TLS 1.3.
fn old_hello(version: u8) -> Vec<u8> {
    let mut body = vec![3, version];
    body.extend([7; 32]);
    // No session, two suites of old, no compression.
    body.extend([0, 0, 4, 0xc0, 0x2f, 0, 0x2f, 1, 0]);
    let mut hello = vec![1, 0, 0, u8::try_from(body.len()).unwrap()];
    hello.extend(body);
    record(22, version, &hello)
}

fn record(kind: u8, version: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[kind, 3, version][..], &length, content].concat()
}

/// Sends something and waits for the end of the connection; what came before it.
async fn send(stand: &Stand, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(stand.address).await.unwrap();
    // Who does not listen may be gone before all is sent.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut came = Vec::new();
    let _ = stream.read_to_end(&mut came).await;
    came
}

/// Whether something that came is at most an alert: nothing was said that a good handshake would say.
fn is_alert_or_nothing(came: &[u8]) -> bool {
    came.is_empty() || (came[0] == 21 && came.len() == 7)
}

// covers: F05
#[tokio::test]
async fn what_is_no_handshake_ends_the_connection_and_nothing_else() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let hello = client_hello(&stand);
    let random: Vec<u8> =
        (0..4_096_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut long_session = hello.clone();
    // The session's length, behind the record's five bytes, the message's four, the version and the random bytes.
    long_session[43] = 255;
    let bad: [(&str, Vec<u8>); 12] = [
        ("nothing", vec![]),
        ("random bytes", random),
        (
            "plain HTTP/1.1",
            b"POST /v1/login/begin HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n".to_vec(),
        ),
        ("plain HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()),
        ("TLS 1.0", old_hello(1)),
        ("TLS 1.1", old_hello(2)),
        ("TLS 1.2", old_hello(3)),
        ("SSL 2", [&[0x80, 0x2e, 1, 0, 2][..], &[0; 43]].concat()),
        ("a long session", long_session),
        ("a record of 64 KiB", [&[22, 3, 1, 0xff, 0xff][..], &[1; 65_535]].concat()),
        ("an alert", record(21, 3, &[2, 0])),
        ("half a hello", hello[..hello.len() / 2].to_vec()),
    ];
    for (what, bytes) in bad {
        let came = send(&stand, &bytes).await;
        assert!(is_alert_or_nothing(&came), "{what}: {came:02x?}");
        assert_eq!(stand.agent(&web1).await.report().await.unwrap().0, StatusCode::OK, "after {what}");
    }
    assert!(stand.tally.read().without_key >= 11);
}

// covers: F05
#[tokio::test]
async fn a_hello_in_records_of_one_byte_is_a_hello_all_the_same() {
    let stand = Stand::new().await;
    let hello = client_hello(&stand);
    let pieces: Vec<u8> = hello[5..].iter().flat_map(|byte| record(22, 1, &[*byte])).collect();
    let came = send(&stand, &pieces).await;
    // An answer to it, or an end: both are right, a panic is not.
    assert!(came.first().is_none_or(|kind| matches!(kind, 21 | 22)), "{came:02x?}");
    let web1 = stand.join("web1").await;
    assert_eq!(stand.agent(&web1).await.report().await.unwrap().0, StatusCode::OK);
}

// covers: F05
#[tokio::test]
async fn every_damaged_byte_of_a_hello_leaves_the_listener_as_it_was() {
    let stand = Stand::new().await;
    let hello = client_hello(&stand);
    // Every byte of the heads, and one in seventeen of the rest, which is mostly random numbers.
    for place in (0..64).chain((64..hello.len()).step_by(17)) {
        let mut damaged = hello.clone();
        damaged[place] ^= 0xff;
        let came = send(&stand, &damaged).await;
        assert!(came.first().is_none_or(|kind| matches!(kind, 21 | 22)), "byte {place}: {came:02x?}");
    }
    let web1 = stand.join("web1").await;
    assert_eq!(stand.agent(&web1).await.report().await.unwrap().0, StatusCode::OK);
}

// covers: F05, F15
#[tokio::test]
async fn who_does_not_say_http2_in_the_handshake_gets_nothing() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let mut other = stand.tls(Some(web1.identity()));
    other.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert!(stand.connect(other, "localhost").await.is_err());
    // Without any word about it, HTTP/1.1 is what he gets his refusal in.
    let mut silent = stand.tls(Some(web1.identity()));
    silent.alpn_protocols = vec![];
    let stream = TcpStream::connect(stand.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(silent));
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream
        .write_all(b"POST /v1/host/report HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
        .await
        .unwrap();
    let mut came = Vec::new();
    let _ = stream.read_to_end(&mut came).await;
    let came = String::from_utf8_lossy(&came).into_owned();
    assert!(came.starts_with("HTTP/1.1 400 ") && came.contains("HTTP/2 only"), "{came}");
}

// covers: F05
#[tokio::test]
async fn a_session_is_never_resumed() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let config = Arc::new(stand.tls(Some(web1.identity())));
    for _ in 0..2 {
        let stream = TcpStream::connect(stand.address).await.unwrap();
        let connector = TlsConnector::from(Arc::clone(&config));
        let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let driver = tokio::spawn(async move { drop(connection.await) });
        let body = json!({"api_version": 1, "agent_version": "0", "clock": 0}).to_string();
        let request = hyper::Request::post(format!("https://localhost{REPORT_PATH}"));
        let reply = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK);
        drop(sender);
        driver.await.unwrap();
    }
}
