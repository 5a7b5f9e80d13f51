//! A directory whose answers are no LDAP: the question is an error, and the daemon goes on. In a process of its own,
//! because the daemon's panic hook is a process's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ledger::memory::MemoryLedger;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use verifierd::clock::ManualClock;
use verifierd::config::{DirectoryAttributes, DirectoryConfig};
use verifierd::keys::MasterKey;
use verifierd::notify::Notifier;
use verifierd::people::directory::THREAD_NAME;
use verifierd::people::{Directory, People, PeopleError, Roster, Tools};

/// What it answers to the first question, a search that is message 1.
const ANSWERS: [&[u8]; 7] = [
    // A message without anything, and one with its id alone.
    b"\x30\x00",
    b"\x30\x03\x02\x01\x01",
    // An id that is a text.
    b"\x30\x0c\x04\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04\x00",
    // The end of a search without a result code, and with one that is a sequence.
    b"\x30\x05\x02\x01\x01\x65\x00",
    b"\x30\x09\x02\x01\x01\x65\x04\x30\x02\x0a\x00",
    // Controls that are none.
    b"\x30\x10\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04\x00\xa0\x02\x30\x00",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
];

/// How many sequences lie within each other in one more answer: the library's decoder, which calls itself for each, would
/// need the stacks of many threads. That ends a process, and no hook sees it.
const LEVELS: usize = 50_000;

/// All answers, one for each question.
fn answers() -> Vec<Vec<u8>> {
    let level = |inside: usize| {
        let length = u32::try_from(6 * inside).expect("some 300 KiB").to_be_bytes();
        [&[0x30, 0x84][..], &length].concat()
    };
    let nested = (0..LEVELS).rev().flat_map(level).collect();
    ANSWERS.iter().map(|answer| answer.to_vec()).chain([nested]).collect()
}

/// A server with a certificate of its own, which answers each connection with the next of [`answers`].
async fn answer_in_turn(listener: TcpListener, certified: CertifiedKey<rcgen::KeyPair>) {
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    for answer in answers() {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut asked = [0; 4_096];
        assert!(stream.read(&mut asked).await.unwrap() > 0);
        // Whoever asked hangs up, some before they have read all of it.
        let _ = stream.write_all(&answer).await;
        // Whoever asked hangs up, or waits no longer.
        let _ = stream.read(&mut asked).await;
    }
}

// covers: E5
#[tokio::test]
async fn an_answer_that_is_no_ldap_ends_the_question_and_not_the_daemon() {
    // What the daemon's hook reports with; instead of an abort where it is not to be one.
    let panics = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&panics);
    std::panic::set_hook(Box::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    }));
    serve::process::abort_on_panic_but_in(Some(THREAD_NAME));
    let certified = generate_simple_self_signed(["localhost".into()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trust_file = folder.path().join("authority.pem");
    std::fs::write(&trust_file, certified.cert.pem()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = DirectoryConfig {
        url: format!("ldaps://localhost:{}", listener.local_addr().unwrap().port()),
        login: None,
        trust_file: Some(trust_file),
        base: "dc=example".into(),
        filter: "(objectClass=person)".into(),
        attributes: DirectoryAttributes::default(),
        roles: Default::default(),
    };
    let (master, clock) = (MasterKey::generate().unwrap(), Arc::new(ManualClock::at(1_800_000_000)));
    let tools = Tools {
        roster: Arc::new(Roster::default()),
        keys: Arc::default(),
        ledger: Arc::new(MemoryLedger::new()),
        clock: clock.clone(),
        notifier: Arc::new(Notifier::new(None)),
        directory: Some(Directory::open(&config, &master, clock).unwrap()),
    };
    let people = People::new(tools, &master);
    let server = tokio::spawn(answer_in_turn(listener, certified));
    for answer in answers() {
        let asked = people.by_login("carol").await;
        assert!(
            matches!(asked, Err(PeopleError::Unavailable(_))),
            "{:x?} is no answer: {asked:?}",
            &answer[..answer.len().min(16)]
        );
    }
    assert!(panics.load(Ordering::SeqCst) > 0, "the library panics, or this test says nothing");
    server.await.unwrap();
}
