//! A password that was issued for one host of a fleet, tried at others, for another account and for another service: nowhere
//! is it let in or used up, everywhere the same is said, and the audit trail knows why.

use std::fs::OpenOptions;
use std::io::Write as _;

use system_tests::agent::{enrol, fleet_section, verifier};
use system_tests::fleet::FleetHost;
use system_tests::flows::{Outcome, answer_all, reference_in, ssh_outcome, without_reference};
use system_tests::machine::{ALICE, Account, BOB, Machine};
use system_tests::network::{add_address, remove_address};
use system_tests::persons::{AUTOMATIC, add};
use system_tests::postern;
use system_tests::site::{ADDRESS, ANY_QUESTION, HER_QUESTION, Site, ask_with_password};
use system_tests::terminal::Terminal;

/// Where the verifier is found.
const VERIFIER: &str = "10.91.0.1";

/// Two of them have the same short name.
const HOSTS: [&str; 3] = ["web1.example.org", "web1.example.net", "db1.example.org"];

/// Hosts that have joined.
struct Fleet {
    site: Site,
    hosts: Vec<FleetHost>,
    machine: Machine,
}

impl Fleet {
    fn start() -> Self {
        let machine = Machine::new();
        let site = Site::start_as(AUTOMATIC, &fleet_section(&[VERIFIER]));
        add_address(VERIFIER);
        for name in ["alice", "bob"] {
            add(name);
            // Only of an account that has a record it can be told that nothing is counted.
            postern::otp_on(name);
        }
        // sudo asks for the address of the machine that it runs on.
        let mut names = OpenOptions::new().append(true).open("/etc/hosts").expect("/etc/hosts");
        writeln!(names, "127.0.0.1 {}", HOSTS.join(" ")).expect("/etc/hosts");
        let joined = |(name, number): (&&str, u8)| {
            let mut host = FleetHost::start(number, name);
            host.agent.join(&[verifier(VERIFIER)], &enrol(name, &[]));
            host.agent.launch_ready();
            host
        };
        let hosts = HOSTS.iter().zip(1..).map(joined).collect();
        Self { site, hosts, machine }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        remove_address(VERIFIER);
    }
}

/// An ssh login at a host with an issued password.
fn log_in(host: &FleetHost, account: Account, question: &str, password: &str) -> Outcome {
    let mut terminal = host.login_up_to_password(account);
    answer_all(&mut terminal, &[(question, password)]);
    ssh_outcome(terminal)
}

/// `sudo` at a host, refused; all that was shown.
fn sudo(machine: &Machine, host: &FleetHost, password: &str) -> String {
    let mut command = machine.as_user(ALICE, "sudo");
    command.args(["id", "-un"]);
    let mut terminal = Terminal::start(host.agent.enter(&command));
    answer_all(&mut terminal, &[("password for alice: ", ALICE.password), (HER_QUESTION, password)]);
    terminal.expect("password for alice: ");
    let (ended, _) = terminal.interrupt_until_end();
    assert!(!ended.status.success(), "{}", ended.transcript);
    ended.transcript
}

/// The sentence of a refusal.
#[track_caller]
fn sentence(shown: &str) -> String {
    let (_, before) = shown.rsplit_once("Access denied.").unwrap_or_else(|| panic!("{shown}"));
    let line = before.lines().next().unwrap_or_default();
    format!("Access denied.{}", without_reference(line))
}

// covers: R7, C02
#[test]
fn a_password_for_one_host_and_account_opens_no_other_and_is_good_there_afterwards() {
    let fleet = Fleet::start();
    let [here, namesake, other] = &fleet.hosts[..] else { panic!("three hosts") };
    let mut terminal = here.login_up_to_password(ALICE);
    ask_with_password(&mut terminal, "alice");
    terminal.expect(HER_QUESTION);
    terminal.hang_up();
    let mail = fleet.site.server.expect(1, ADDRESS);
    assert!(mail.text.contains(HOSTS[0]), "{mail:?}");
    let password = mail.password().expect("a password");
    let elsewhere = |host, account| log_in(host, account, ANY_QUESTION, password).refused();
    let tries: [(&str, &str, &str, &dyn Fn() -> String); 5] = [
        ("wrong_host", HOSTS[1], "alice", &|| elsewhere(namesake, ALICE)),
        ("wrong_host", HOSTS[2], "alice", &|| elsewhere(other, ALICE)),
        ("wrong_user", HOSTS[0], "bob", &|| elsewhere(here, BOB)),
        ("wrong_service", HOSTS[0], "alice", &|| sudo(&fleet.machine, here, password)),
        ("wrong_code", HOSTS[0], "alice", &|| log_in(here, ALICE, HER_QUESTION, "00000-00000").refused()),
    ];
    for (reason, host, user, refused) in tries {
        assert_eq!(postern::unlock(user).counts_cleared, 0, "nothing is counted");
        let shown = refused();
        assert!(postern::unlock(user).counts_cleared > 0, "{reason} is a failed try");
        assert_eq!(sentence(&shown), "Access denied. Reference XXXX-XXXX.", "{reason} tells no more");
        let record = postern::explain(&reference_in(&shown));
        let (verdict, at, whom) = (record.verdict.as_deref(), record.host.as_deref(), record.user.as_deref());
        assert_eq!((record.reason.as_str(), verdict), (reason, Some("deny")), "{record:?}");
        assert_eq!((at, whom), (Some(host), Some(user)), "{record:?}");
        // Whose it is stands in the trail, also where somebody else typed it.
        assert_eq!(record.person.as_deref(), (reason != "wrong_code").then_some("alice"), "{record:?}");
    }
    log_in(here, ALICE, HER_QUESTION, password).logged_in();
    let accepted: Vec<_> =
        postern::audit().into_iter().filter(|record| record.reason == "issued_password").collect();
    assert_eq!(accepted.len(), 1, "{accepted:?}");
    assert_eq!((accepted[0].host.as_deref(), accepted[0].person.as_deref()), (Some(HOSTS[0]), Some("alice")));
    let again = log_in(here, ALICE, ANY_QUESTION, password).refused();
    assert_eq!(postern::explain(&reference_in(&again)).reason, "issued_used");
}
