//! What the module says of sessions, and that nothing depends on it.

use pam_harness::application::{Outcome, Phases, Transaction};
use pam_harness::code::SUCCESS;
use pam_harness::site::Site;
use pam_harness::stub::{Request, Stub, done, ok, reply, response, usual_answer};
use serde_json::{Value, json};
use wire::login::BEGIN_PATH;
use wire::session::{CLOSE_PATH, OPEN_PATH, OpenSession};

/// A site whose service asks for a code and tells of sessions.
///
/// * `arguments`: of the session line.
fn site(arguments: &str) -> Site {
    let site = Site::empty();
    let (auth, session) = (site.module_line(""), site.module_line(arguments));
    let auth = format!("auth [success=ok ignore=ignore default=die] {auth}\nauth required pam_permit.so\n");
    let session = format!("account required pam_permit.so\nsession required {session}\n");
    site.write_service(&(auth + &session));
    site
}

/// A login with its session, in front of a verifier that hears of it.
fn login(site: &Site, transaction: &Transaction<'_>, verdict: Value) -> (Outcome, Vec<Request>) {
    let stub = Stub::answering(&site.socket(), move |request| match request.path.as_str() {
        OPEN_PATH | CLOSE_PATH => ok(&request.body),
        BEGIN_PATH if verdict != Value::Null => ok(&reply(request, &[], verdict.clone())),
        _ => usual_answer(request),
    });
    let outcome = transaction.typing(site.folder(), b"123456");
    let told = stub.requests().into_iter().filter(|request| request.path.starts_with("/v1/session/"));
    (outcome, told.collect())
}

fn session() -> Transaction<'static> {
    Transaction { phases: Phases::Session, ..Transaction::default() }
}

fn opened(request: &Request) -> OpenSession {
    serde_json::from_value(request.body.clone()).expect("it has the form of a report")
}

// covers: R10
#[test]
fn a_session_is_told_at_its_begin_and_its_end_with_the_login_that_led_to_it() {
    let site = site("");
    let environment = vec!["SSH_CONNECTION=192.0.2.1 5000 192.0.2.2 22"];
    let (outcome, told) = login(&site, &Transaction { environment, ..session() }, Value::Null);
    assert_eq!((outcome.code, outcome.log.len(), outcome.seen.len()), (SUCCESS, 1, 1), "{outcome:?}");
    let paths: Vec<_> = told.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, [OPEN_PATH, CLOSE_PATH]);
    let said = opened(&told[0]);
    assert_eq!((said.user.as_str(), said.service.as_str()), ("alice", "postern"));
    assert_eq!((said.rhost.as_deref(), said.login.as_deref()), (Some("192.0.2.1"), Some("ABCD-EFGH")));
    let leader = said.leader.expect("the process that waits for its end");
    assert_eq!(u32::try_from(leader.pid), Ok(std::process::id()));
    assert_eq!(said.boot.map(|boot| boot.len()), Some(36));
    let is_name = said.session.len() == 32 && said.session.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_name, "{}", said.session);
    assert_eq!(told[1].body["session"], json!(said.session));
    let (_, again) = login(&site, &session(), Value::Null);
    assert_ne!(opened(&again[0]).session, said.session);
}

// covers: R10
#[test]
fn a_session_without_a_login_says_so_and_nothing_of_an_earlier_one_is_left() {
    let site = site("");
    let alone = Transaction { phases: Phases::SessionAlone, ..Transaction::default() };
    let (outcome, told) = login(&site, &alone, Value::Null);
    assert_eq!((outcome.code, opened(&told[0]).login), (SUCCESS, None));
    for (reference, kept) in [("7QK2-9ZB4", Some("7QK2-9ZB4")), ("a b", None), ("", None), ("A=1", None)] {
        let verdict = json!({"done": {"verdict": "not_required", "reference": reference}});
        let earlier = Transaction { environment: vec!["POSTERN_LOGIN=0000-0000"], ..session() };
        let (outcome, told) = login(&site, &earlier, verdict);
        assert_eq!((outcome.code, opened(&told[0]).login.as_deref()), (SUCCESS, kept), "{reference:?}");
    }
}

// covers: R10
#[test]
fn nothing_that_a_verifier_does_or_does_not_refuses_a_session() {
    let site = site("");
    let answers: [(&str, Option<Vec<u8>>); 6] = [
        ("connection-closed", Some(Vec::new())),
        ("protocol-error", Some(b"SSH-2.0-x\r\n".to_vec())),
        ("verifier-unavailable", Some(response("503 Service Unavailable", "{}"))),
        ("request-rejected", Some(response("409 Conflict", "{}"))),
        ("request-rejected", Some(response("999 Odd", "{}"))),
        ("timed-out", None),
    ];
    for (reason, answer) in answers {
        let _stub = Stub::start(&site.socket(), move |request, mut stream| {
            let is_session = request.path.starts_with("/v1/session/");
            let bytes = if is_session { answer.clone() } else { Some(usual_answer(request)) };
            match bytes {
                None => Some(stream),
                Some(bytes) => {
                    // The module may have left.
                    let _sent = std::io::Write::write_all(&mut stream, &bytes);
                    None
                }
            }
        });
        let outcome = session().typing(site.folder(), b"123456");
        assert_eq!((outcome.code, outcome.seen.len()), (SUCCESS, 1), "{outcome:?}");
        for (event, line) in ["session-not-opened", "session-not-closed"].iter().zip(&outcome.log[1..]) {
            let expected =
                format!("pam_postern(postern:session): {event} user=alice rhost=- reason={reason}");
            assert!(line.starts_with(&expected), "{line:?} does not begin with {expected:?}");
        }
        assert_eq!(outcome.log.len(), 3);
    }
    let alone = Transaction { phases: Phases::SessionAlone, ..Transaction::default() };
    let outcome = alone.typing(site.folder(), b"");
    assert_eq!((outcome.code, outcome.log.len()), (SUCCESS, 2), "nobody listens: {outcome:?}");
}

// covers: R10
#[test]
fn a_line_that_is_wrong_tells_nothing_and_refuses_nothing() {
    let site = site("sokcet=/run/x");
    let (outcome, told) = login(&site, &session(), done("allow"));
    assert_eq!((outcome.code, told.len()), (SUCCESS, 0), "{outcome:?}");
    assert!(outcome.log.last().is_some_and(|line| line.contains("session-not-told")), "{:?}", outcome.log);
}

// covers: R10
#[test]
fn a_stack_that_names_the_module_twice_opens_one_session() {
    let site = site("");
    let line = site.module_line("");
    let permit = "auth required pam_permit.so\naccount required pam_permit.so\n";
    site.write_service(&format!("{permit}session required {line}\nsession required {line}\n"));
    let alone = Transaction { phases: Phases::SessionAlone, ..Transaction::default() };
    let (outcome, told) = login(&site, &alone, Value::Null);
    assert_eq!(outcome.code, SUCCESS);
    let names: Vec<_> = told.iter().map(|request| &request.body["session"]).collect();
    assert!(names.len() == 3 && names.iter().all(|name| *name == names[0]), "{told:?}");
}
