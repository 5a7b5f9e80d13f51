//! Offline passwords at a host that is cut off: real sshd, a network that loses what is sent to the verifier.

use system_tests::agent::{enrol, fleet_section, verifier};
use system_tests::fleet::FleetHost;
use system_tests::flows::{LOGGED_IN, Outcome, associated, ssh_outcome};
use system_tests::fob::Fob;
use system_tests::machine::{ALICE, Account, BOB, Machine};
use system_tests::network::{add_address, remove_address};
use system_tests::postern;
use system_tests::time::wait_for;
use system_tests::verifier::{Verifier, config};
use wire::admin::{MadeOfflinePassword, OfflinePassword, OfflineState};

/// The verifier's address, which comes and goes.
const ADDRESS: &str = "10.94.0.1";

const QUESTION: &str = "Offline password: ";

/// Makes a password for an hour of alice's logins, once the host has said that it has its key.
fn issue() -> MadeOfflinePassword {
    let order = ["offline", "issue", "--host", "web1", "--user", "alice", "--service", "sshd", "--for", "1h"];
    wait_for("the host to have its key", || {
        let output = postern::run(&[&order[..], &["--json"]].concat());
        output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("a password"))
    })
}

/// Types it at the prompt of a host that is cut off.
#[track_caller]
fn give(host: &FleetHost, account: Account, typed: &str) -> String {
    let mut terminal = host.login_up_to_password(account);
    let shown = terminal.expect(QUESTION);
    assert!(shown.contains("No verifier can be reached") && shown.contains("This host is "), "{shown}");
    assert!(shown.contains("Call 4711"), "{shown}");
    terminal.type_line(typed);
    ssh_outcome(terminal).refused()
}

// covers: N1, N3, N5, N7, N12, N14, N15, D01, D02, D06, D08, D09
#[test]
fn a_host_that_is_cut_off_lets_in_by_an_offline_password_once_and_tells_of_it_when_it_is_back() {
    let _machine = Machine::new();
    add_address(ADDRESS);
    let section = format!("[offline]\ncontact = \"Call 4711\"\n{}", fleet_section(&[ADDRESS]));
    let verifier_daemon = Verifier::start_with(&config(&section));
    let mut fob = Fob::with_button("7900000001");
    associated(&mut fob, "alice");
    let mut host = FleetHost::start(1, "web1");
    host.agent.set_environment(verifier_daemon.clock.environment(false));
    host.agent.join(&[verifier(ADDRESS)], &enrol("web1", &[]));
    let service = host.agent.launch_offline();
    host.agent.launch_ready();
    let made = issue();
    assert_eq!((&made.made.host[..], made.made.state), ("web1", OfflineState::Open));
    // Online it is no one-time password.
    assert!(host.login(ALICE, &fob.press()).logged_in().contains(LOGGED_IN));
    host.login(ALICE, &made.password).refused();

    remove_address(ADDRESS);
    host.agent.wait_until("cut off", |status| status["ready"] == false);
    for (account, typed) in
        [(ALICE, fob.press()), (BOB, made.password.clone()), (ALICE, "0A1BZ-9XK00-00000".into())]
    {
        give(&host, account, &typed);
    }
    let mut terminal = host.login_up_to_password(ALICE);
    terminal.expect(QUESTION);
    terminal.type_line(&made.password.to_lowercase().replace('-', " "));
    ssh_outcome(terminal).logged_in();
    // Within its time she is asked nothing more, also after the service was killed.
    drop(service);
    host.expect_refusal_without_question(ALICE);
    let service = host.agent.launch_offline();
    let granted = wait_for("the service to answer", || match ssh_outcome(host.login_up_to_password(ALICE)) {
        Outcome::LoggedIn(shown) => Some(shown),
        Outcome::Refused(_) => None,
    });
    assert!(!granted.contains(QUESTION), "{granted}");
    assert!(host.agent.log().contains("let in by an offline password of before"), "{}", host.agent.log());
    // When it is over the same password opens nothing.
    verifier_daemon.clock.advance(3_601);
    give(&host, ALICE, &made.password);

    add_address(ADDRESS);
    host.agent.wait_until_ready();
    let id = made.made.id.clone();
    let used = wait_for("the use to be told", || {
        let shown: OfflinePassword = postern::ask(&["offline", "show", &id]);
        shown.used.filter(|_| shown.state == OfflineState::Used)
    });
    assert_eq!((&used.user[..], &used.service[..]), ("alice", "sshd"));
    assert!(host.login(ALICE, &fob.press()).logged_in().contains(LOGGED_IN));
    let log = format!("{}{}", host.agent.log(), system_tests::verifier::log_text());
    let typed = made.password.replace('-', "");
    assert!(!log.contains(&made.password) && !log.contains(&typed), "no log has it");
    drop(service);
}
