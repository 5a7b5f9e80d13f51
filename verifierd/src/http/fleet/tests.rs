//! The listener as an agent meets it: real handshakes over loopback, at a clock that stands.

mod bad_certificates;
mod bad_handshakes;
mod offline;
mod sealed;
mod sessions;
mod stand;

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use rcgen::KeyPair;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use serve::{Handle, Peer};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wire::fleet::{CHECKPOINT_HEADER, JOIN_PATH, RENEW_PATH, REPORT_PATH};
use wire::login::{BEGIN_PATH, CONTINUE_PATH, Verdict};
use wire::verify::VERIFY_PATH;

use super::Visitor;
use crate::audit::checkpoint::{Checkpoint, CheckpointKey};
use crate::clock::Clock;
use crate::hosts::presence::{CONNECTIONS_PER_HOST_MAX, Seat};
use crate::hosts::{GroupName, HostName};
use crate::http::wrong_secrets::WRONG_PER_SOURCE_MAX;
use crate::trial::{Fob, Log, asked as asked_by, ended, root};
use stand::{FLEET, Member, Stand, begin_body, check_refused, join_body, message, renew_body};

// covers: F01
#[tokio::test]
async fn a_host_is_who_its_certificate_says_whatever_else_it_says() {
    let stand = Stand::new().await;
    let (web1, web2) = (stand.join("web1").await, stand.join("web2").await);
    let fob = Fob::hotp("FT1");
    stand.trial.add(&fob, Some("alice")).await;
    stand.trial.set_otp("alice", true).await;
    let mut agent = stand.connect(stand.tls(Some(web1.identity())), "otp1.example.org").await.unwrap();
    let others =
        [("x-host", web2.id.as_str()), ("x-forwarded-for", "127.0.0.1"), ("authorization", "Bearer 0")];
    let (status, told) = agent.post_with(BEGIN_PATH, &begin_body("alice"), &others).await.unwrap();
    assert_eq!((status, &told["host"]), (StatusCode::OK, &json!(web1.id)));
    let verify = json!({"request_id": "00000000000000000000000000000002", "user": "alice", "service": "sshd",
        "code": fob.wrong_code()});
    let (status, told) = agent.post_with(VERIFY_PATH, &verify, &others).await.unwrap();
    assert_eq!((status, &told["host"], &told["verdict"]), (StatusCode::OK, &json!(web1.id), &json!("deny")));
    let login = stand.trial.audit().into_iter().rev().find(|record| record.event == "login").unwrap();
    assert_eq!(login.host.as_deref(), Some("web1"));
    // A body that names a host is no request at all.
    for (path, body) in [(BEGIN_PATH, begin_body("alice")), (VERIFY_PATH, verify)] {
        let mut named = body;
        named["host"] = json!(web2.id);
        assert_eq!(agent.post(path, &named).await.unwrap().0, StatusCode::BAD_REQUEST, "{path}");
    }
}

// covers: F01, F13
#[tokio::test]
async fn a_dialogue_goes_on_at_its_own_host_and_nowhere_else() {
    let stand = Stand::new().await;
    let (web1, web2) = (stand.join("web1").await, stand.join("web2").await);
    let key = stand.trial.activate("alice").await;
    let (mut first, mut second) = (stand.agent(&web1).await, stand.agent(&web2).await);
    let (_, asked) = first.post(BEGIN_PATH, &begin_body("alice")).await.unwrap();
    let state = asked_by(serde_json::from_value(asked).unwrap()).state;
    let body = |number: u8| {
        json!({"api_version": 1, "request_id": format!("{number:032x}"), "state": state,
            "answers": [stand.trial.code(&key, 0)]})
    };
    let (status, told) = second.post(CONTINUE_PATH, &body(2)).await.unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST, "{told}");
    let (status, told) = first.post(CONTINUE_PATH, &body(3)).await.unwrap();
    assert_eq!((status, &told["host"]), (StatusCode::OK, &json!(web1.id)));
    assert_eq!(ended(serde_json::from_value(told).unwrap()).verdict, Verdict::Allow);
}

// covers: F15, D08
#[tokio::test]
async fn without_a_certificate_a_host_can_only_join() {
    let stand = Stand::new().await;
    let renew = renew_body(&KeyPair::generate().unwrap());
    for (path, body) in [(BEGIN_PATH, begin_body("alice")), (RENEW_PATH, renew), ("/v1/users", json!({}))] {
        let mut stranger = stand.stranger().await;
        check_refused(stranger.post(path, &body).await, "a host's certificate is needed");
        stranger.end().await;
    }
    assert_eq!(stand.tally.read().without_key, 3);
    let member = stand.join("web1").await;
    let mut agent = stand.agent(&member).await;
    let again = join_body(&stand.enrol("web2").await, &KeyPair::generate().unwrap());
    check_refused(agent.post(JOIN_PATH, &again).await, "has joined already");
    assert!(stand.trial.audit().iter().all(|record| record.event != "login"));
}

// covers: I13
#[tokio::test]
async fn a_join_secret_is_used_up_by_the_first_of_two_at_a_barrier() {
    let stand = Stand::new().await;
    let secret = stand.enrol("web1").await;
    let (mut one, mut other) = (stand.stranger().await, stand.stranger().await);
    let keys = [(); 2].map(|()| KeyPair::generate().unwrap());
    let bodies = [join_body(&secret, &keys[0]), join_body(&secret, &keys[1])];
    let (one, other) = tokio::join!(one.post(JOIN_PATH, &bodies[0]), other.post(JOIN_PATH, &bodies[1]));
    let mut statuses = [one.unwrap().0, other.unwrap().0];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::FORBIDDEN]);
    let events: Vec<String> = stand.trial.audit().into_iter().map(|record| record.event).collect();
    let count = |event: &str| events.iter().filter(|known| *known == event).count();
    assert_eq!((count("host_joined"), count("host_join_refused")), (1, 1));
}

// covers: I13, E24
#[tokio::test]
async fn wrong_joins_are_recorded_without_their_secrets_and_bar_their_source() {
    let stand = Stand::new().await;
    let (right, key) = (stand.enrol("web1").await, KeyPair::generate().unwrap());
    let wrong = "5ec4e7".repeat(6)[..32].to_owned();
    for round in 0..WRONG_PER_SOURCE_MAX {
        let body = match round % 3 {
            0 => join_body(&wrong, &key),
            1 => join_body("5ec4e7-not-a-secret", &key),
            _ => json!({"api_version": 1, "secret": wrong, "signing_request": "AAAA", "agent_version": "0"}),
        };
        let mut stranger = stand.stranger().await;
        let (status, told) = stranger.post(JOIN_PATH, &body).await.unwrap();
        let expected = if round % 3 == 2 { StatusCode::BAD_REQUEST } else { StatusCode::FORBIDDEN };
        assert_eq!(status, expected, "{told}");
        assert!(!message(&told).contains("5ec4e7"));
        stranger.end().await;
    }
    let (status, told) = stand.stranger().await.post(JOIN_PATH, &join_body(&right, &key)).await.unwrap();
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(message(&told).contains("too many wrong joins"), "{told}");
    let refused: Vec<_> =
        stand.trial.audit().into_iter().filter(|record| record.event == "host_join_refused").collect();
    assert_eq!(refused.len(), WRONG_PER_SOURCE_MAX as usize);
    assert!(refused.iter().all(|record| record.rhost.as_deref() == Some("127.0.0.1")));
    let trail = format!("{:?}", stand.trial.audit());
    assert!(!trail.contains("5ec4e7") && !trail.contains(&right));
    stand.trial.advance(Duration::from_secs(15 * 60 - 1));
    stand.trial.clock.set_wall(crate::trial::NOON);
    assert_eq!(
        stand.stranger().await.post(JOIN_PATH, &join_body(&right, &key)).await.unwrap().0,
        StatusCode::TOO_MANY_REQUESTS
    );
}

// covers: E24
#[tokio::test]
async fn no_line_of_the_log_holds_a_join_secret_or_a_private_key() {
    let log = Log::listen();
    let stand = Stand::new().await;
    let (right, wrong, key) = (stand.enrol("web1").await, "5ec4e7".repeat(6), KeyPair::generate().unwrap());
    for secret in [&wrong[..32], &right] {
        drop(stand.stranger().await.post(JOIN_PATH, &join_body(secret, &key)).await.unwrap());
    }
    let web2 = stand.join("web2").await;
    let next = stand.agent(&web2).await.renew().await;
    assert_eq!(stand.agent(&next).await.report().await.unwrap().0, StatusCode::OK);
    stand.registrar().revoke(HostName::new("web2").unwrap(), root()).await.unwrap();
    check_refused(stand.agent(&next).await.report().await, "was revoked");
    let log = log.end();
    for event in
        ["host_joined", "host_join_refused", "host_key_changed", "host_revoked", "a host was refused"]
    {
        assert!(log.contains(event), "{event} is not in the log");
    }
    assert!(!log.contains("5ec4e7") && !log.contains(&right));
    // As texts show bytes: hexadecimal, base 64, a list of numbers.
    let private = key.serialize_der();
    let tail = &private[private.len() - 24..];
    let shapes = [
        data_encoding::HEXLOWER.encode(tail),
        data_encoding::BASE64.encode(tail),
        format!("{tail:?}").trim_matches(['[', ']']).to_owned(),
    ];
    assert!(shapes.iter().all(|shape| !log.contains(shape.as_str())));
}

// covers: F03
#[tokio::test]
async fn a_renewal_is_for_the_host_that_asks_and_its_first_use_ends_the_former() {
    let stand = Stand::new().await;
    let (web1, web2) = (stand.join("web1").await, stand.join("web2").await);
    let mut agent = stand.agent(&web1).await;
    let theirs = agent.post(RENEW_PATH, &renew_body(&web2.key)).await.unwrap();
    assert_eq!((theirs.0, &theirs.1["error"]["code"]), (StatusCode::CONFLICT, &json!("conflict")));
    let next = agent.renew().await;
    assert_eq!(next.id, web1.id);
    assert_eq!(agent.report().await.unwrap().0, StatusCode::OK);
    let mut newer = stand.agent(&next).await;
    // Connecting alone changes nothing.
    assert_eq!(agent.report().await.unwrap().0, StatusCode::OK);
    assert_eq!(newer.report().await.unwrap().0, StatusCode::OK);
    agent.end().await;
    check_refused(stand.agent(&web1).await.report().await, "not the host's present certificate");
}

// covers: F03
#[tokio::test]
async fn an_expired_certificate_renews_nothing() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let mut open = stand.agent(&web1).await;
    assert_eq!(open.report().await.unwrap().0, StatusCode::OK);
    stand.trial.clock.set_wall(crate::trial::NOON + 7 * 86_400 + 1);
    let renew = renew_body(&KeyPair::generate().unwrap());
    check_refused(open.post(RENEW_PATH, &renew).await, "has ended");
    let late = stand.connect(stand.tls(Some(web1.identity())), "localhost").await;
    match late {
        Ok(mut agent) => drop(agent.post(RENEW_PATH, &renew).await.unwrap_err()),
        Err(refused) => assert!(!refused.is_empty()),
    }
    assert!(stand.trial.audit().iter().all(|record| record.event != "host_certified"));
}

// covers: F04, D08
#[tokio::test]
async fn a_revoked_host_is_refused_on_its_open_connection_which_ends() {
    let stand = Stand::new().await;
    let (web1, web2) = (stand.join("web1").await, stand.join("web2").await);
    let (mut idle, mut other) = (stand.agent(&web1).await, stand.agent(&web2).await);
    for agent in [&mut idle, &mut other] {
        assert_eq!(agent.report().await.unwrap().0, StatusCode::OK);
    }
    stand.registrar().revoke(HostName::new("web1").unwrap(), root()).await.unwrap();
    // Nobody asks anything on it.
    idle.end().await;
    for (path, body) in
        [(BEGIN_PATH, begin_body("alice")), (RENEW_PATH, renew_body(&KeyPair::generate().unwrap()))]
    {
        let mut late = stand.agent(&web1).await;
        check_refused(late.post(path, &body).await, "this host was revoked");
        late.end().await;
    }
    assert_eq!(other.report().await.unwrap().0, StatusCode::OK);
}

// covers: D08
#[tokio::test]
async fn a_verifier_with_an_older_store_says_that_it_does_not_know_the_host() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let key = KeyPair::generate().unwrap();
    let unknown = crate::hosts::HostId::from_random([9; 16]);
    let now = stand.trial.clock.now();
    let issued = stand.registrar().authority().unwrap().certify_host(unknown, &key, now).unwrap();
    let stranger = Member { chain: vec![issued.certificate], key, ..web1 };
    let mut agent = stand.agent(&stranger).await;
    check_refused(agent.post(BEGIN_PATH, &begin_body("alice")).await, "does not know the host");
    agent.end().await;
}

#[tokio::test]
async fn a_report_tells_the_host_its_name_and_the_administrator_how_it_is() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let mut agent = stand.agent(&web1).await;
    let (registrar, name) = (stand.registrar(), |text: &str| HostName::new(text).unwrap());
    registrar.set_group(name("web1"), Some(GroupName::new("web").unwrap()), root()).await.unwrap();
    registrar.rename(name("web1"), name("web9"), root()).await.unwrap();
    let now = stand.trial.clock.now();
    let (status, told) = agent.report().await.unwrap();
    let expected = json!({
        "api_version": 1, "host": web1.id, "name": "web9", "group": "web", "clock": now, "recording": "off"
    });
    assert_eq!((status, told), (StatusCode::OK, expected));
    let host = registrar.hosts().find_by_name(&name("web9")).unwrap();
    let said = host.presence.said().unwrap();
    assert_eq!((said.agent_version.as_str(), said.clock_ahead), ("0.5.0", 7 - i64::try_from(now).unwrap()));
    assert_eq!((host.presence.seen(), host.presence.connections()), (Some(now), 1));
    for version in ["a b", "\u{1b}[2J", &"9".repeat(65)] {
        let body = json!({"api_version": 1, "agent_version": version, "clock": 0});
        assert_eq!(agent.post(REPORT_PATH, &body).await.unwrap().0, StatusCode::BAD_REQUEST, "{version:?}");
    }
    let newer = json!({"api_version": 2, "agent_version": "9", "clock": 0});
    let (status, told) = agent.post(REPORT_PATH, &newer).await.unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(message(&told).contains("bring both to the same release"), "{told}");
    assert_eq!(web1.name, "web1");
}

// covers: F06
#[tokio::test]
async fn a_fifth_connection_of_a_host_ends_the_first() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let mut agents = Vec::new();
    for _ in 0..CONNECTIONS_PER_HOST_MAX {
        let mut agent = stand.agent(&web1).await;
        assert_eq!(agent.report().await.unwrap().0, StatusCode::OK);
        agents.push(agent);
    }
    let mut fifth = stand.agent(&web1).await;
    assert_eq!(fifth.report().await.unwrap().0, StatusCode::OK);
    agents.remove(0).end().await;
    for agent in &mut agents {
        assert_eq!(agent.report().await.unwrap().0, StatusCode::OK);
    }
}

// covers: F06, F03
#[tokio::test]
async fn a_former_certificate_takes_no_connection_from_the_present_one() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let next = stand.agent(&web1).await.renew().await;
    let fleet = stand.trial.service.fleet.clone().unwrap();
    let meet =
        |member: &Member| fleet.welcome(Peer::Source(stand.address.ip()), Some(&member.chain)).unwrap();
    let present = meet(&next);
    assert_eq!(stand.agent(&next).await.report().await.unwrap().0, StatusCode::OK);
    let former: Vec<_> = (0..=CONNECTIONS_PER_HOST_MAX).map(|_| meet(&web1)).collect();
    let has_seat = |visitor: &Arc<Visitor>| {
        let seat = visitor.host.as_ref().and_then(|shown| shown.seat.as_ref());
        seat.is_some_and(Seat::is_held)
    };
    assert!(has_seat(&present) && !former.iter().any(has_seat));
    check_refused(stand.agent(&web1).await.report().await, "not the host's present certificate");
}

// covers: F15
#[tokio::test]
async fn the_listeners_certificate_is_renewed_at_half_of_its_life_and_follows_its_names() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let fleet = stand.trial.service.fleet.clone().unwrap();
    let shown = async |name: &'static str| {
        let stream = TcpStream::connect(stand.address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(stand.tls(Some(web1.identity()))));
        let stream = connector.connect(ServerName::try_from(name).unwrap(), stream).await.ok()?;
        let chain = stream.get_ref().1.peer_certificates()?.to_vec();
        assert_eq!((chain.len(), &chain[1]), (2, &stand.authority()));
        Some(chain[0].clone())
    };
    let names = |names: &[&'static str]| -> Vec<ServerName<'static>> {
        names.iter().map(|name| ServerName::try_from(*name).unwrap()).collect()
    };
    let first = shown("localhost").await.unwrap();
    let two = names(&["localhost", "otp1.example.org"]);
    fleet.look_after(&two);
    assert_eq!(shown("localhost").await.unwrap(), first);
    stand.trial.advance(Duration::from_secs(15 * 86_400 - 1));
    fleet.look_after(&two);
    assert_eq!(shown("localhost").await.unwrap(), first);
    stand.trial.advance(Duration::from_secs(1));
    fleet.look_after(&two);
    let second = shown("localhost").await.unwrap();
    assert_ne!(second, first);
    // A clock that is set back: what was made in the future is of no use now.
    stand.trial.clock.set_wall(crate::trial::NOON);
    assert_eq!(shown("localhost").await, None);
    fleet.look_after(&two);
    let third = shown("localhost").await.unwrap();
    assert_ne!(third, second);
    assert_eq!(shown("otp2.example.org").await, None);
    fleet.look_after(&names(&["otp2.example.org"]));
    assert!(shown("otp2.example.org").await.is_some());
    assert_eq!(shown("otp1.example.org").await, None);
}

// covers: T4, D10
#[tokio::test]
async fn a_host_sees_the_secret_of_nobody_who_enrols_unless_policy_lets_it() {
    let shown = |told: &serde_json::Value| told["show"].to_string().contains("otpauth");
    let closed = Stand::new().await;
    let open = Stand::with_config(&format!("{FLEET}\n[group.web.enrolment]\nat_hosts = true")).await;
    for (stand, is_open) in [(&closed, false), (&open, true)] {
        let member = stand.join("web1").await;
        let group = GroupName::new("web").unwrap();
        stand.registrar().set_group(HostName::new("web1").unwrap(), Some(group), root()).await.unwrap();
        stand.trial.enrol("alice").await;
        let mut agent = stand.agent(&member).await;
        for _ in 0..3 {
            let (_, told) = agent.post(BEGIN_PATH, &begin_body("alice")).await.unwrap();
            assert_eq!(shown(&told), is_open, "{told}");
        }
        let records = stand.trial.audit();
        let noted: Vec<_> = records.iter().filter(|record| record.event == "enrolment_shown").collect();
        let at_web1 = noted.iter().filter(|record| record.host.as_deref() == Some("web1")).count();
        assert_eq!(at_web1, usize::from(is_open), "once a minute, and only where it was");
        let here = stand.trial.begin("alice", "sshd", None).await;
        assert!(here.show.concat().contains("otpauth"), "at the verifier's own machine");
    }
    // Nor is anybody enrolled there who was not known.
    let stand = Stand::with_config(&format!("on_unenrolled = \"enroll\"\n{FLEET}")).await;
    let mut agent = stand.agent(&stand.join("web1").await).await;
    let (_, told) = agent.post(BEGIN_PATH, &begin_body("root")).await.unwrap();
    assert!(!shown(&told), "{told}");
    assert!(stand.trial.service.dialogue.accounts.users().is_empty());
}

// covers: G07, G08
#[tokio::test]
async fn what_a_host_has_seen_counts_also_where_the_store_does_not_know_its_certificate() {
    let stand = Stand::new().await;
    let (member, other) = (stand.join("web1").await, stand.join("web2").await);
    stand.registrar().revoke(HostName::new("web1").unwrap(), root()).await.unwrap();
    assert_eq!(stand.agent(&other).await.report().await.unwrap().1["standing_still"], Value::Null);
    let master = crate::keys::MasterKey::parse(stand.trial.key_text.as_bytes()).unwrap();
    let seen = Checkpoint { epoch: 0, sequence: 1_000_000, head: [7; 32], at: 1 };
    let text = CheckpointKey::new(&master).sign(&seen);
    let mut agent = stand.agent(&member).await;
    let refused = agent.post_with(BEGIN_PATH, &begin_body("alice"), &[(CHECKPOINT_HEADER, &text)]).await;
    check_refused(refused, "revoked");
    assert!(
        stand
            .trial
            .service
            .dialogue
            .witness
            .loss()
            .unwrap()
            .told()
            .contains("host web1 has seen record 1000000")
    );
    let (status, told) = stand.agent(&other).await.report().await.unwrap();
    let why = told["standing_still"].as_str().unwrap_or_default();
    assert!(status == StatusCode::OK && why.starts_with("its store is an older copy"), "{told}");
}

// covers: B08
#[tokio::test]
async fn a_host_that_asks_too_much_waits_and_another_does_not() {
    let stand = Stand::new().await;
    let (web1, web2) = (stand.join("web1").await, stand.join("web2").await);
    let host = stand.registrar().hosts().find_by_name(&HostName::new("web1").unwrap()).unwrap();
    assert!((0..10_000).any(|_| !host.presence.may_ask(stand.trial.clock.elapsed(), 1)));
    let (mut first, mut second) = (stand.agent(&web1).await, stand.agent(&web2).await);
    let (status, told) = first.post(BEGIN_PATH, &begin_body("alice")).await.unwrap();
    assert_eq!(
        (status, message(&told)),
        (StatusCode::SERVICE_UNAVAILABLE, "this host asks too much: it has to wait")
    );
    let report = json!({"api_version": 1, "agent_version": "1", "clock": 1});
    assert_eq!(first.post(REPORT_PATH, &report).await.unwrap().0, StatusCode::OK, "it is still heard");
    assert_eq!(second.post(BEGIN_PATH, &begin_body("alice")).await.unwrap().0, StatusCode::OK);
}
