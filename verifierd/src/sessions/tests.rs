//! Sessions beside logins, on a ledger in memory and a clock that stands.

use std::time::Duration;

use ledger::memory::Fate;
use ledger::{Refusal, StartState};
use wire::session::Leader;

use super::*;
use crate::hosts::HostName;
use crate::trial::{STEP, Trial};

const FIRST: &str = "00000000000000000000000000000001";
const SECOND: &str = "00000000000000000000000000000002";

/// Alice's session at sshd.
fn opening(session: &str, login: Option<&str>) -> OpenSession {
    OpenSession {
        api_version: 1,
        session: session.into(),
        user: "alice".into(),
        service: "sshd".into(),
        rhost: None,
        tty: Some("ssh".into()),
        ruser: None,
        login: login.map(Into::into),
        boot: None,
        leader: None,
        ago_seconds: 0,
    }
}

fn closing(session: &str) -> CloseSession {
    CloseSession {
        api_version: 1,
        session: session.into(),
        is_lost: false,
        ago_seconds: 0,
        is_unrecorded: false,
    }
}

fn host(byte: u8) -> HostIdentity {
    let name = HostName::new(&format!("web{byte}")).unwrap();
    HostIdentity { id: HostId::from_random([byte; 16]), name, group: None }
}

fn sessions(trial: &Trial) -> &Sessions {
    &trial.service.dialogue.sessions
}

/// The records of sessions: event, reason and detail.
fn told(trial: &Trial) -> Vec<[String; 3]> {
    let of_sessions = trial.audit().into_iter().filter(|record| record.event.starts_with("session_"));
    of_sessions.map(|record| [record.event, record.reason, record.detail.unwrap_or_default()]).collect()
}

fn line(event: &str, reason: &str, detail: &str) -> [String; 3] {
    [event, reason, detail].map(Into::into)
}

/// A trial in which alice has just logged in at sshd with her token, and the reference.
async fn logged_in() -> (Trial, String) {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let reference = trial.login("alice", "sshd", &trial.code(&key, 0)).await.reference;
    (trial, reference)
}

// covers: R10
#[tokio::test]
async fn a_session_is_listed_with_its_login_from_its_begin_to_its_end() {
    let (trial, reference) = logged_in().await;
    let since = trial.clock.now();
    sessions(&trial).open(opening(FIRST, Some(&reference)), None).await.unwrap();
    let all = sessions(&trial).all();
    let [session] = &all[..] else { panic!("one session: {all:?}") };
    assert_eq!((session.user.as_str(), session.since, sessions(&trial).count()), ("alice", since, 1));
    let token = Some(trial.token().record.serial.clone());
    let (reason, person, email) = ("accepted".into(), None, None);
    let origin = Origin { reference: reference.clone(), reason, token, person, email };
    assert_eq!(session.origin.as_ref(), Some(&origin));
    trial.advance(Duration::from_secs(3_725));
    sessions(&trial).close(&closing(FIRST), None).await.unwrap();
    assert_eq!((sessions(&trial).all(), sessions(&trial).count()), (Vec::new(), 0));
    let expected = [
        line("session_opened", "opened", &format!("login {reference}")),
        line("session_closed", "closed", &format!("login {reference}, open for 3725 s")),
    ];
    assert_eq!(told(&trial), expected);
    assert_eq!(trial.explain(&reference).event, "login", "the reference is still the login's");
}

// covers: R10
#[tokio::test]
async fn open_sessions_outlive_a_restart_and_end_after_it() {
    let (trial, reference) = logged_in().await;
    sessions(&trial).open(opening(FIRST, Some(&reference)), None).await.unwrap();
    sessions(&trial).open(opening(SECOND, None), Some(&host(1))).await.unwrap();
    sessions(&trial).close(&closing(SECOND), Some(host(1).id)).await.unwrap();
    let before = sessions(&trial).all();
    let trial = trial.restart(StartState::Clean).await;
    assert_eq!((sessions(&trial).all(), before.len()), (before, 1));
    sessions(&trial).close(&closing(FIRST), None).await.unwrap();
    let trial = trial.restart(StartState::Clean).await;
    assert_eq!(sessions(&trial).count(), 0);
}

// covers: R10
#[tokio::test]
async fn a_login_that_is_not_in_the_trail_for_this_user_here_and_now_leads_nowhere() {
    let (trial, reference) = logged_in().await;
    let of = |login: &str, change: fn(&mut OpenSession)| {
        let mut said = opening(FIRST, Some(login));
        change(&mut said);
        said
    };
    for said in [
        of("0000-0000", |_| {}),
        of("no reference\n", |_| {}),
        of(&"A".repeat(100_000), |_| {}),
        of(&reference, |said| said.user = "bob".into()),
        of(&reference, |said| said.service = "sudo".into()),
    ] {
        sessions(&trial).open(said.clone(), None).await.unwrap();
        assert_eq!(sessions(&trial).all()[0].origin, None, "{said:?}");
        sessions(&trial).lock().remove(None, SessionId::parse(FIRST).unwrap());
    }
    sessions(&trial).open(opening(FIRST, Some(&reference)), Some(&host(1))).await.unwrap();
    assert_eq!(sessions(&trial).all()[0].origin, None, "it was not at this host");
    trial.advance(Duration::from_secs(601));
    sessions(&trial).open(opening(SECOND, Some(&reference)), None).await.unwrap();
    assert!(sessions(&trial).all().iter().all(|session| session.origin.is_none()), "it is too old");
    // Told late, it began in time.
    let third = OpenSession { ago_seconds: 600, ..opening(&FIRST.replace('1', "3"), Some(&reference)) };
    sessions(&trial).open(third, None).await.unwrap();
    assert_eq!(sessions(&trial).all().iter().filter(|session| session.origin.is_some()).count(), 1);
}

// covers: R10
#[tokio::test]
async fn what_is_said_twice_is_one_session_and_one_record() {
    let (trial, reference) = logged_in().await;
    for _ in 0..2 {
        sessions(&trial).open(opening(FIRST, Some(&reference)), None).await.unwrap();
    }
    for _ in 0..2 {
        sessions(&trial).close(&closing(FIRST), None).await.unwrap();
        sessions(&trial).close(&closing(SECOND), None).await.unwrap();
    }
    // It was under way when the session ended.
    sessions(&trial).open(opening(FIRST, Some(&reference)), None).await.unwrap();
    assert_eq!((sessions(&trial).count(), told(&trial).len()), (0, 2));
}

// covers: R10
#[tokio::test]
async fn a_host_neither_ends_nor_hears_of_the_sessions_of_another() {
    let trial = Trial::new().await;
    let leader = Some(Leader { pid: 7, start: 9 });
    let said = || OpenSession { leader, ..opening(FIRST, None) };
    sessions(&trial).open(said(), Some(&host(1))).await.unwrap();
    let lost = CloseSession { is_lost: true, ..closing(FIRST) };
    for other in [None, Some(host(2).id)] {
        sessions(&trial).close(&closing(FIRST), other).await.unwrap();
        sessions(&trial).close(&lost, other).await.unwrap();
    }
    assert_eq!(sessions(&trial).count(), 1);
    assert_eq!(sessions(&trial).named(host(2).id), []);
    let named = NamedSession { session: FIRST.into(), boot: None, leader };
    assert_eq!(sessions(&trial).named(host(1).id), [named]);
    sessions(&trial).close(&lost, Some(host(1).id)).await.unwrap();
    assert_eq!(sessions(&trial).count(), 0);
    assert_eq!(told(&trial)[1], line("session_closed", "lost", "no login, open for 0 s"));
}

// covers: R10
#[tokio::test]
async fn what_the_store_does_not_take_is_neither_open_nor_over() {
    let trial = Trial::new().await;
    trial.ledger.set_fate(Fate::Refuse(Refusal::StorageFull));
    let refused = sessions(&trial).open(opening(FIRST, None), None).await;
    assert!(matches!(refused, Err(SessionError::NotStored { .. })), "{refused:?}");
    assert_eq!(sessions(&trial).count(), 0);
    trial.ledger.set_fate(Fate::Decide);
    sessions(&trial).open(opening(FIRST, None), None).await.unwrap();
    trial.ledger.set_fate(Fate::Refuse(Refusal::Busy));
    let refused = sessions(&trial).close(&closing(FIRST), None).await;
    assert!(matches!(refused, Err(SessionError::NotStored { .. })), "{refused:?}");
    assert_eq!(sessions(&trial).count(), 1);
    trial.ledger.set_fate(Fate::Decide);
    sessions(&trial).close(&closing(FIRST), None).await.unwrap();
    assert_eq!(told(&trial).len(), 2);
}

// covers: R10
#[tokio::test]
async fn sessions_whose_leader_is_gone_or_whose_host_was_revoked_are_ended() {
    let trial = Trial::new().await;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let start = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap().parse().unwrap();
    let pid = i32::try_from(std::process::id()).unwrap();
    let led = |session, start| OpenSession { leader: Some(Leader { pid, start }), ..opening(session, None) };
    for said in [led(FIRST, start), led(SECOND, start + 1)] {
        sessions(&trial).open(said.clone(), None).await.unwrap();
        // Whoever leads there is not to be found here.
        sessions(&trial).open(said, Some(&host(1))).await.unwrap();
    }
    trial.advance(STEP);
    sessions(&trial).end_those_over(&|_: &Session| false).await;
    let left = |trial: &Trial| -> Vec<_> {
        let all = sessions(trial).all();
        let mut left: Vec<_> = all.iter().map(|left| (left.place(), left.id.to_string())).collect();
        left.sort();
        left
    };
    let elsewhere = Some(host(1).id);
    assert_eq!(left(&trial), [(None, FIRST.into()), (elsewhere, FIRST.into()), (elsewhere, SECOND.into())]);
    sessions(&trial).end_those_over(&|session: &Session| session.place() == elsewhere).await;
    assert_eq!(left(&trial), [(None, FIRST.into())]);
    let ends: Vec<_> = told(&trial).into_iter().skip(4).map(|[_, reason, _]| reason).collect();
    assert_eq!(ends, ["lost", "host_revoked", "host_revoked"]);
}

// covers: R10
#[tokio::test]
async fn texts_are_cut_and_what_is_no_report_is_refused() {
    let trial = Trial::new().await;
    let long = "\u{e9}".repeat(3_000);
    let said = OpenSession {
        user: long.clone(),
        service: long.clone(),
        rhost: Some(long.clone()),
        tty: Some(String::new()),
        boot: Some("\u{1}".repeat(36)),
        ago_seconds: u64::MAX,
        ..opening(FIRST, None)
    };
    sessions(&trial).open(said, Some(&host(1))).await.unwrap();
    let session = &sessions(&trial).all()[0];
    assert_eq!([&session.user, &session.service].map(String::len), [254, 254]);
    assert_eq!((session.rhost.as_ref().map(String::len), &session.tty), (Some(254), &None));
    assert_eq!(session.boot, None, "it is none");
    assert_eq!(session.since, trial.clock.now() - 86_400, "nothing is told later than a day after");
    for said in [
        OpenSession { api_version: 2, ..opening(SECOND, None) },
        OpenSession { session: "x".into(), ..opening(SECOND, None) },
        OpenSession { user: String::new(), ..opening(SECOND, None) },
    ] {
        let refused = sessions(&trial).open(said, None).await;
        assert!(matches!(refused, Err(SessionError::Malformed(_))), "{refused:?}");
    }
    let refused = sessions(&trial).close(&closing("x"), None).await;
    assert!(matches!(refused, Err(SessionError::Malformed(_))), "{refused:?}");
}

// covers: R10, I01
#[tokio::test]
async fn no_text_of_a_host_keeps_control_characters() {
    let trial = Trial::new().await;
    let nasty = "a\n\u{1b}[A\u{9b}2J";
    let said = OpenSession {
        user: nasty.into(),
        service: nasty.into(),
        rhost: Some(nasty.into()),
        tty: Some(nasty.into()),
        ruser: Some(nasty.into()),
        ..opening(FIRST, None)
    };
    sessions(&trial).open(said, Some(&host(1))).await.unwrap();
    let session = &sessions(&trial).all()[0];
    let optional = [&session.rhost, &session.tty, &session.ruser].map(|text| text.as_deref().unwrap());
    for text in [session.user.as_str(), session.service.as_str()].into_iter().chain(optional) {
        assert_eq!(text, "a\u{fffd}\u{fffd}[A\u{fffd}2J");
    }
}

// covers: R10
#[tokio::test]
async fn whoever_reported_may_go_away_and_table_and_ledger_are_alike() {
    let trial = Trial::new().await;
    let id = SessionId::parse(FIRST).unwrap();
    sessions(&trial).open(opening(FIRST, None), None).await.unwrap();
    let (tell, pending) = Pending::channel();
    // Nobody waits for what becomes of it.
    drop(sessions(&trial).settle(pending, move |table| drop(table.remove(None, id))));
    tell.send(Outcome::NotCommitted(Refusal::Busy)).expect("it is waited for all the same");
    while sessions(&trial).count() > 0 {
        tokio::task::yield_now().await;
    }
}

// covers: R10
#[tokio::test]
async fn where_the_trail_cannot_be_read_a_session_is_listed_without_its_login() {
    let (trial, reference) = logged_in().await;
    // As where the disk fails: no look is made any more.
    sessions(&trial).looks.close();
    sessions(&trial).open(opening(FIRST, Some(&reference)), None).await.unwrap();
    let all = sessions(&trial).all();
    assert_eq!((all.len(), &all[0].origin), (1, &None));
}

// covers: R10
#[tokio::test]
async fn all_sessions_of_a_host_that_was_revoked_end_in_one_look() {
    let trial = Trial::new().await;
    for number in 0..600 {
        let said = opening(&format!("{number:032x}"), None);
        sessions(&trial).open(said, Some(&host(1))).await.unwrap();
    }
    sessions(&trial).end_those_over(&|_: &Session| true).await;
    assert_eq!((sessions(&trial).count(), told(&trial).len()), (0, 1_200));
}

// covers: R10
#[tokio::test]
async fn how_many_sessions_were_left_out_is_in_the_trail() {
    let trial = Trial::new().await;
    let said = SessionsLeftOut { api_version: 1, count: 7, user: "bob\n".into() };
    sessions(&trial).left_out(said.clone(), Some(&host(1))).await.unwrap();
    let record = trial.audit().pop().unwrap();
    let told = (record.event.as_str(), record.reason.as_str(), record.detail.as_deref());
    assert_eq!(told, ("sessions_left_out", "too_many", Some("7 sessions are not listed")));
    assert_eq!((record.user.as_deref(), record.host.as_deref()), (Some("bob\u{fffd}"), Some("web1")));
    let newer = sessions(&trial).left_out(SessionsLeftOut { api_version: 2, ..said }, None).await;
    assert!(matches!(newer, Err(SessionError::Malformed(_))), "{newer:?}");
}

// covers: R10
#[tokio::test]
async fn a_session_on_a_shared_account_has_the_person_who_was_let_in() {
    use crate::accounts::{Actor, UserName};
    use crate::people::{By, EmailAddress, NewPerson};
    use wire::admin::Role;

    let trial = Trial::with_config("version = 1\n[access]\nlogin_step = \"secondary\"\n").await;
    let new = NewPerson {
        login: UserName::new("jane").unwrap(),
        email: EmailAddress::parse("jane@example.org").unwrap(),
        name: None,
        role: Role::User,
        accounts: Some(vec![UserName::new("alice").unwrap()]),
        password: Some("correct horse battery".to_owned().into()),
    };
    let by = By { actor: Actor::administrator("root"), role: Role::Super };
    trial.service.dialogue.people.clerk().add(new, by).await.unwrap();
    trial.set_otp("alice", true).await;
    let asked = trial.ask("alice", "sshd", None).await;
    let asked = trial.go_on(&asked, "jane").await;
    let reference = trial.answer(&asked, "correct horse battery").await.reference;
    sessions(&trial).open(opening(FIRST, Some(&reference)), None).await.unwrap();
    let all = sessions(&trial).all();
    let origin = all[0].origin.as_ref().unwrap();
    assert_eq!((origin.person.as_deref(), origin.email.as_deref()), (Some("jane"), Some("jane@example.org")));
    sessions(&trial).close(&closing(FIRST), None).await.unwrap();
    let ends = trial.audit().into_iter().filter(|record| record.event.starts_with("session_"));
    assert!(ends.map(|record| record.person).eq([Some("jane".to_owned()), Some("jane".to_owned())]));
}
