//! Hosts of a fleet: logins by ssh on each of them, a verifier's address that goes silent in the middle of one, and a
//! host that is revoked while it is connected.

use serde_json::Value;
use system_tests::agent::{enrol, fleet_section, verifier};
use system_tests::authenticator::Authenticator;
use system_tests::fleet::FleetHost;
use system_tests::flows::{activated, ssh_outcome};
use system_tests::machine::{ALICE, BOB, Machine};
use system_tests::network::{add_address, remove_address};
use system_tests::postern;
use system_tests::verifier::{Verifier, config};

/// Where the one verifier is found.
const FIRST: &str = "10.91.0.1";
/// The same by another way.
const SECOND: &str = "10.92.0.1";

/// A verifier at two addresses, and hosts that have joined.
struct Fleet {
    hosts: Vec<FleetHost>,
    phone: Authenticator,
    verifier: Verifier,
    _machine: Machine,
}

impl Fleet {
    fn start(names: &[&str]) -> Self {
        let machine = Machine::new();
        let verifier = Verifier::start_with(&config(&fleet_section(&[FIRST, SECOND])));
        for address in [FIRST, SECOND] {
            add_address(address);
        }
        let phone = activated(&verifier, ALICE.name);
        let hosts = names.iter().zip(1..).map(|(name, number)| joined(number, name)).collect();
        Self { hosts, phone, verifier, _machine: machine }
    }

    /// A login of alice's at a host, with a fresh code.
    #[track_caller]
    fn log_in(&self, host: &FleetHost) -> String {
        host.login(ALICE, &self.verifier.next_code(&self.phone)).logged_in()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // The next test of this sandbox has the same addresses; one may be gone already.
        for address in [FIRST, SECOND] {
            let _ = std::process::Command::new("ip")
                .args(["address", "del", &format!("{address}/32"), "dev", "lo"])
                .output();
        }
    }
}

fn joined(number: u8, name: &str) -> FleetHost {
    let mut host = FleetHost::start(number, name);
    host.agent.join(&[verifier(FIRST), verifier(SECOND)], &enrol(name, &[]));
    host.agent.launch_ready();
    host
}

/// The host of the newest accepted login.
fn newest_accept() -> Option<String> {
    let accepted = |record: &wire::admin::AuditRecord| record.reason == "accepted";
    postern::audit().into_iter().rfind(accepted).expect("an accepted login").host
}

fn connected(status: &Value) -> [bool; 2] {
    [0, 1].map(|number| status["verifiers"][number]["connected"] == true)
}

// covers: E22, F12
#[test]
fn three_hosts_go_on_while_a_verifier_goes_silent_in_the_middle_of_a_login() {
    let fleet = Fleet::start(&["web1", "web2", "db1"]);
    for (host, name) in fleet.hosts.iter().zip(["web1", "web2", "db1"]) {
        fleet.log_in(host);
        assert_eq!(newest_accept().as_deref(), Some(name));
        assert_eq!(host.agent.status().as_ref().map(connected), Some([true, false]), "one connection");
    }
    // What was asked by one way is answered by the other.
    let web1 = &fleet.hosts[0];
    let mut terminal = web1.login_up_to_code(ALICE);
    remove_address(FIRST);
    terminal.type_line(&fleet.verifier.next_code(&fleet.phone));
    ssh_outcome(terminal).logged_in();
    assert_eq!(newest_accept().as_deref(), Some("web1"));
    for host in &fleet.hosts {
        fleet.log_in(host);
    }
    let accepts = postern::audit().iter().filter(|record| record.verdict.as_deref() == Some("allow")).count();
    // Three before, one in the middle, three after; and the one that activated alice's phone.
    assert_eq!(accepts, 8, "each login was one claim");
}

// covers: E22
#[test]
fn without_a_network_a_login_ends_with_a_refusal_and_with_it_the_next_one_succeeds() {
    let mut fleet = Fleet::start(&["web1"]);
    let code = fleet.verifier.next_code(&fleet.phone);
    let mut terminal = fleet.hosts[0].login_up_to_code(ALICE);
    fleet.hosts[0].agent.place().set_link(false);
    terminal.type_line(&code);
    ssh_outcome(terminal).refused();
    // A user who needs no code is not let in either: nobody could say so.
    fleet.hosts[0].expect_refusal_without_question(BOB);
    fleet.hosts[0].agent.place().set_link(true);
    fleet.hosts[0].agent.wait_until_ready();
    fleet.log_in(&fleet.hosts[0]);
}

// covers: F12
#[test]
fn a_revoked_host_is_refused_on_its_open_connection_and_the_others_are_not() {
    let fleet = Fleet::start(&["web1", "web2"]);
    let [web1, web2] = &fleet.hosts[..] else { panic!("two hosts") };
    fleet.log_in(web1);
    let mut terminal = web1.login_up_to_code(ALICE);
    assert_eq!(web1.agent.status().as_ref().map(connected), Some([true, false]));
    postern::done(&["host", "revoke", "web1", "--yes"]);
    let code = fleet.verifier.next_code(&fleet.phone);
    terminal.type_line(&code);
    ssh_outcome(terminal).refused();
    web1.expect_refusal_without_question(ALICE);
    let log = web1.agent.log();
    assert!(log.contains("a verifier refused a request"), "{log}");
    // The code was not looked at: it is good elsewhere.
    web2.login(ALICE, &code).logged_in();
    assert_eq!(newest_accept().as_deref(), Some("web2"));
}
