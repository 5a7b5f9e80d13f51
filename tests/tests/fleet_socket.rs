//! The agent's login socket under callers that go away, and in front of a verifier that says nothing.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};
use system_tests::agent::{Agent, enrol, fleet_section, verifier};
use system_tests::flows::associated;
use system_tests::fob::Fob;
use system_tests::login_socket::{exchange, random_id};
use system_tests::machine::Machine;
use system_tests::postern;
use system_tests::rounds;
use system_tests::time::wait_for;
use system_tests::verifier::{Verifier, config};
use wire::login::BEGIN_PATH;
use wire::verify::VERIFY_PATH;

/// Where the verifier is.
const VERIFIER: &str = "127.0.0.1";

/// An agent beside its verifier, and a user with a token.
struct Rig {
    agent: Agent,
    fob: Fob,
    verifier: Verifier,
    _machine: Machine,
}

impl Rig {
    fn start() -> Self {
        let machine = Machine::new();
        let daemon = Verifier::start_with(&config(&fleet_section(&[VERIFIER])));
        machine.add_bare_users("user", 1);
        let mut agent = Agent::beside("web1");
        agent.join(&[verifier(VERIFIER)], &enrol("web1", &[]));
        agent.launch_ready();
        let mut fob = Fob::with_button("4300000001");
        associated(&mut fob, "user0");
        Self { agent, fob, verifier: daemon, _machine: machine }
    }

    /// How many descriptors the agent has open.
    fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.agent.id().as_raw_nonzero());
        fs::read_dir(folder).expect("its descriptors").count()
    }

    /// Sends a request and goes away without an answer.
    fn drop_after(&self, path: &str, body: &Value) {
        let mut stream = UnixStream::connect(self.agent.socket()).expect("the agent");
        let body = body.to_string();
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).expect("a request");
    }
}

fn code_of(code: &str) -> Value {
    json!({"request_id": random_id().expect("an id"), "user": "user0", "service": "vpn",
           "rhost": "192.0.2.1", "code": code})
}

fn begin() -> Value {
    json!({"api_version": 1, "request_id": random_id().expect("an id"), "user": "user0", "service": "sshd"})
}

// covers: E14
#[test]
fn callers_that_go_away_leave_nothing_behind_and_a_code_that_was_sent_is_used_or_not() {
    let mut rig = Rig::start();
    let before = rig.descriptors();
    let tries = rounds("POSTERN_DROPS", 200);
    for _ in 0..tries {
        let asked = exchange(rig.agent.socket(), BEGIN_PATH, begin().to_string().as_bytes());
        assert!(asked.is_ok(), "the prompt is reached");
        rig.drop_after(BEGIN_PATH, &begin());
        drop(UnixStream::connect(rig.agent.socket()).expect("the agent"));
    }
    let mut sent = 0;
    for _ in 0..5 {
        let code = rig.fob.press();
        rig.drop_after(VERIFY_PATH, &code_of(&code));
        sent += 1;
        // Whether it was used, the next one tells: nobody waits for a verdict, and none is made twice.
        let next = rig.fob.press();
        let verdict = exchange(rig.agent.socket(), VERIFY_PATH, code_of(&next).to_string().as_bytes());
        assert!(String::from_utf8_lossy(&verdict.expect("a verdict")).contains("\"allow\""));
    }
    wait_for("connections to end", || (rig.descriptors() <= before).then_some(()));
    let accepted = postern::audit().iter().filter(|record| record.service.as_deref() == Some("vpn")).count();
    assert!((sent..=2 * sent).contains(&accepted), "{accepted} decisions about {} codes", 2 * sent);
}

/// What a reply says, without what is different in every login.
fn shape(agent: &Agent, path: &str, body: &Value) -> Value {
    let answer = exchange(agent.socket(), path, body.to_string().as_bytes()).expect("a reply");
    let mut reply: Value = serde_json::from_slice(&answer).expect("JSON");
    for field in ["request_id", "user"] {
        assert_eq!(reply[field].take(), body[field]);
    }
    for changing in ["/next/ask/state", "/next/done/reference", "/show/0", "/reference", "/message"] {
        if let Some(value) = reply.pointer_mut(changing) {
            *value = json!(value.as_str().map(|text| text.split("Reference ").next().map(str::len)));
        }
    }
    reply
}

// covers: E07
#[test]
fn every_account_is_asked_and_refused_alike_through_an_agent() {
    let machine = Machine::new();
    let text = "version = 1\nkey_file = \"/etc/postern/master.key\"\n";
    let _verifier = Verifier::start_with(&format!("{text}{}", fleet_section(&[VERIFIER])));
    machine.add_bare_users("user", 3);
    let mut agent = Agent::beside("web1");
    agent.join(&[verifier(VERIFIER)], &enrol("web1", &[]));
    agent.launch_ready();
    associated(&mut Fob::with_button("4300000002"), "user0");
    // With a token, without one, not of this machine, and no name of an account: all as long, because a state holds
    // the name.
    let [first, others @ ..] = ["user0", "user2", "ghost", "a b c"].map(|user| {
        let id = || random_id().expect("an id");
        let begin = json!({"api_version": 1, "request_id": id(), "user": user, "service": "sshd"});
        let code = json!({"request_id": id(), "user": user, "service": "sshd", "code": "000000"});
        (shape(&agent, BEGIN_PATH, &begin), shape(&agent, VERIFY_PATH, &code))
    });
    assert_eq!(first.0["next"]["ask"]["questions"][0]["text"], "One-time password: ");
    assert_eq!(first.1["verdict"], "deny");
    for other in others {
        assert_eq!(other, first);
    }
}

// covers: F04
#[test]
fn a_host_that_was_revoked_is_told_why_and_stays_refused_while_it_does_not_ask() {
    let mut rig = Rig::start();
    postern::done(&["host", "revoke", "web1", "--yes"]);
    // After the first refusals the verifier is left alone. That is no silence: `fail=open` would let in then.
    for number in 0..20 {
        let told = exchange(rig.agent.socket(), BEGIN_PATH, begin().to_string().as_bytes());
        let told = told.expect_err("the host is of the fleet no more").to_string();
        assert!(told.contains("status Some(403)"), "login {number}: {told}");
    }
    rig.agent.wait_until("refused", |status| {
        let problem = status["verifiers"][0]["problem"].as_str().unwrap_or_default();
        status["ready"] == false
            && problem
                .ends_with("one of its fleet: this host was revoked, for ever: enrol it under another name")
    });
}

// covers: E22, D08
#[test]
fn a_verifier_that_hangs_costs_every_login_its_deadline_and_no_more() {
    let mut rig = Rig::start();
    rig.verifier.signal(Signal::STOP);
    let socket = rig.agent.socket().to_owned();
    let refused = thread::scope(|scope| {
        let asking: Vec<_> = (0..150)
            .map(|_| scope.spawn(|| exchange(&socket, BEGIN_PATH, begin().to_string().as_bytes())))
            .collect();
        asking.into_iter().map(|asked| asked.join().expect("a login")).collect::<Vec<_>>()
    });
    for answer in refused {
        let error = answer.expect_err("nobody can decide").to_string();
        assert!(error.contains("status Some(503)") && error.contains("try again later"), "{error}");
    }
    rig.verifier.signal(Signal::CONT);
    let body = code_of(&rig.fob.press()).to_string();
    let verdict = wait_for("the verifier to answer again", || {
        exchange(rig.agent.socket(), VERIFY_PATH, body.as_bytes()).ok()
    });
    assert!(String::from_utf8_lossy(&verdict).contains("\"allow\""));
}
