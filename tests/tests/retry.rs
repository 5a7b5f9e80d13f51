//! A reply that gets lost between daemon and module: the module asks again, and one login is one claim.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use system_tests::flows::{activated, ssh_login};
use system_tests::machine::{ALICE, Machine};
use system_tests::postern;
use system_tests::sshd::Sshd;
use system_tests::verifier::Verifier;
use wire::login::CONTINUE_PATH;

/// Where the daemon's socket is moved to.
const BEHIND: &str = "/run/postern/behind.sock";

/// Stands between module and daemon, and loses the first reply to an answer. Returns how many answers it has
/// passed on.
fn lose_first_reply() -> Arc<AtomicUsize> {
    fs::rename(wire::LOGIN_SOCKET, BEHIND).expect("the socket can be moved");
    let listener = UnixListener::bind(wire::LOGIN_SOCKET).expect("a socket");
    fs::set_permissions(wire::LOGIN_SOCKET, fs::Permissions::from_mode(0o600)).expect("its mode");
    let answers = Arc::new(AtomicUsize::new(0));
    let passed = Arc::clone(&answers);
    // Ends with the test's process; each connection carries one request.
    thread::spawn(move || {
        for client in listener.incoming() {
            pass_on(client.expect("a connection"), &passed);
        }
    });
    answers
}

fn pass_on(mut client: UnixStream, answers: &AtomicUsize) {
    let request = read_request(&mut client);
    let mut daemon = UnixStream::connect(BEHIND).expect("the daemon");
    daemon.write_all(&request).expect("passed on");
    let mut reply = Vec::new();
    daemon.read_to_end(&mut reply).expect("a reply");
    let is_answer = request.starts_with(format!("POST {CONTINUE_PATH} ").as_bytes());
    if is_answer && answers.fetch_add(1, Ordering::SeqCst) == 0 {
        return; // the claim is made, and nobody hears of it
    }
    client.write_all(&reply).expect("passed back");
}

/// The head and as much of a body as it announces.
fn read_request(client: &mut UnixStream) -> Vec<u8> {
    let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let count = client.read(&mut chunk).expect("a request");
        request.extend_from_slice(&chunk[..count]);
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Request::new(&mut headers);
        let Ok(httparse::Status::Complete(start)) = head.parse(&request) else { continue };
        let length = head.headers.iter().find(|it| it.name.eq_ignore_ascii_case("content-length"));
        let length: usize =
            length.and_then(|it| str::from_utf8(it.value).ok()?.parse().ok()).expect("a content length");
        if request.len() >= start + length {
            return request;
        }
    }
}

// covers: P6
#[test]
fn a_login_whose_reply_got_lost_succeeds_with_one_claim() {
    let _machine = Machine::new();
    let verifier = Verifier::start();
    let _sshd = Sshd::start();
    let phone = activated(&verifier, "alice");
    let before = postern::audit().len();
    let answers = lose_first_reply();

    let code = verifier.code(&phone);
    ssh_login(ALICE, &code).logged_in();
    assert_eq!(answers.load(Ordering::SeqCst), 2, "the module asked once more");
    let records = postern::audit().split_off(before);
    let verdicts: Vec<_> =
        records.iter().map(|record| (record.reason.as_str(), record.verdict.as_deref())).collect();
    assert_eq!(verdicts, [("accepted", Some("allow"))], "one decision, and no replay");

    let shown = ssh_login(ALICE, &code).refused();
    assert!(shown.contains("already used"), "{shown}");
}
