//! An answer that is cut off at any byte on its way to the agent: the agent asks again, and one code is one claim.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::thread;

use system_tests::agent::{Agent, PORT, enrol, fleet_section};
use system_tests::flows::associated;
use system_tests::fob::Fob;
use system_tests::login_socket::{exchange, random_id};
use system_tests::machine::Machine;
use system_tests::postern;
use system_tests::relay::Relay;
use system_tests::verifier::{Verifier, config};
use wire::login::Verdict;
use wire::verify::{VERIFY_PATH, Verified, Verify};

/// How many agents share the offsets: a cut costs a pause and a handshake, during which the machine has nothing to do.
const LANES: usize = 6;

/// No answer to one code has so many bytes, TLS and HTTP/2 around it included; whatever is cut there is another thing.
const ANSWER_BYTES_MAX: usize = 4_096;

/// One agent behind a network that is cut, and a user with a token.
struct Lane {
    agent: Agent,
    relay: Relay,
    fob: Fob,
    user: String,
}

impl Lane {
    /// Cuts at every offset from `first` on in steps of [`LANES`] until a whole answer is shorter. The references of
    /// the verdicts.
    fn cut_everywhere(mut self, first: usize) -> Vec<String> {
        let mut references = Vec::new();
        for offset in (first..ANSWER_BYTES_MAX).step_by(LANES) {
            self.agent.wait_until_connected();
            self.relay.cut_after(offset);
            references.push(self.verify());
            if self.relay.spare() {
                break;
            }
        }
        assert_eq!(self.relay.cuts(), references.len() - 1, "each but the last answer was cut once");
        references
    }

    /// Asks about the next code, which is right.
    fn verify(&mut self) -> String {
        let code = self.fob.press();
        let asked = Verify {
            request_id: Cow::Owned(random_id().expect("an id")),
            user: Cow::Borrowed(&self.user),
            service: Cow::Borrowed("vpn"),
            rhost: Some(Cow::Borrowed("192.0.2.1")),
            code: Cow::Borrowed(&code),
        };
        let body = serde_json::to_vec(&asked).expect("JSON");
        let answer = exchange(self.agent.socket(), VERIFY_PATH, &body);
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}\n{}", self.user, self.agent.log()));
        let verified: Verified<'_> = serde_json::from_slice(&answer).expect("a verdict");
        assert_eq!(verified.verdict, Verdict::Allow, "{}: {verified:?}", self.user);
        verified.reference
    }
}

// covers: F12, P6
#[test]
fn an_answer_cut_at_any_byte_is_asked_for_again_and_one_code_is_one_claim() {
    let machine = Machine::new();
    let _verifier = Verifier::start_with(&config(&fleet_section(&["127.0.0.1"])));
    let first = Agent::beside("host");
    first.join(&[system_tests::agent::verifier("127.0.0.1")], &enrol("host", &[]));
    let users = machine.add_bare_users("user", LANES);
    let lanes: Vec<Lane> =
        users.iter().enumerate().map(|(number, user)| lane(&first, number, user)).collect();
    let told: Vec<Vec<String>> = thread::scope(|scope| {
        let cutting = lanes.into_iter().enumerate();
        let cutting: Vec<_> =
            cutting.map(|(number, lane)| scope.spawn(move || lane.cut_everywhere(number))).collect();
        cutting.into_iter().map(|lane| lane.join().expect("a lane")).collect()
    });

    let trail = postern::audit();
    for (user, told) in users.iter().zip(told) {
        let decided = trail
            .iter()
            .filter(|record| record.user.as_ref() == Some(user) && record.service.as_deref() == Some("vpn"));
        let decided: Vec<_> = decided.collect();
        let accepted: Vec<String> = decided.iter().map(|record| record.reference.clone()).collect();
        assert!(decided.iter().all(|record| record.reason == "accepted"), "{decided:?}");
        assert_eq!(accepted, told, "each code was one claim, and its first verdict was told");
        assert_eq!(accepted.iter().collect::<BTreeSet<_>>().len(), accepted.len());
        // An answer has some hundred bytes, or this was no test.
        assert!(told.len() > 30, "only {} cuts", told.len());
    }
}

fn lane(first: &Agent, number: usize, user: &str) -> Lane {
    let mut fob = Fob::with_button(&format!("77{number:08}"));
    associated(&mut fob, user);
    let relay = Relay::start(PORT);
    let mut agent = first.twin(&format!("lane{number}"));
    agent.configure(&[format!("https://127.0.0.1:{}", relay.port)], "timeout = \"15s\"\n");
    agent.launch_ready();
    Lane { agent, relay, fob, user: user.to_owned() }
}
