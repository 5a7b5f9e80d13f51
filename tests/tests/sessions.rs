//! Who is in: sessions of sshd, sudo and the console as `postern session list` shows them, from their begin to their
//! end, told or not.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use system_tests::agent::{enrol, fleet_section, verifier};
use system_tests::fleet::FleetHost;
use system_tests::flows::{LOGGED_IN, QUESTION, activated, console_up_to_code};
use system_tests::machine::{ALICE, BOB, Machine, tell_of_sessions};
use system_tests::network::add_address;
use system_tests::postern;
use system_tests::sshd::{self, Sshd};
use system_tests::terminal::{END, Terminal};
use system_tests::time::wait_at_most;
use system_tests::verifier::{Verifier, config};
use wire::admin::{AuditRecord, Session, SessionList};

/// Says that it runs, and stays until its input ends.
const STAY: &str = "echo \"logged in\" as $(id -un); cat";

/// Where the one verifier is found by hosts.
const ADDRESS: &str = "10.93.0.1";

/// Longer than two reports of an agent, or two looks of the daemon, are apart.
const REPORTED: Duration = Duration::from_secs(90);

fn sessions() -> Vec<Session> {
    postern::ask::<SessionList>(&["session", "list"]).items
}

/// Waits until so many sessions are listed.
#[track_caller]
fn wait_for_sessions(count: usize) -> Vec<Session> {
    let listed = || Some(sessions()).filter(|sessions| sessions.len() == count);
    wait_at_most(REPORTED, listed).unwrap_or_else(|| panic!("not {count} sessions: {:?}", sessions()))
}

/// The newest record of a session's end.
fn newest_end() -> AuditRecord {
    postern::audit().into_iter().rfind(|record| record.event == "session_closed").expect("a session's end")
}

/// Types alice's code and waits until her command runs.
fn get_in(mut terminal: Terminal, code: &str) -> Terminal {
    terminal.expect(QUESTION);
    terminal.type_line(code);
    terminal.expect(LOGGED_IN);
    terminal
}

fn leave(mut terminal: Terminal) {
    terminal.type_bytes(&[END]);
    assert!(terminal.finish().status.success());
}

/// The process of sshd that keeps a session of this user and was there first.
fn leader_of(user: &str) -> Pid {
    let named = |entry: fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let is_leader = String::from_utf8_lossy(&line).contains(&format!("{user} [priv]"));
        is_leader.then(|| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw))?
    };
    let leader = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok).find_map(named);
    leader.expect("sshd keeps a process for the session")
}

// covers: R10
#[test]
fn a_session_is_listed_with_its_token_while_it_lasts_also_over_a_restart() {
    let _machine = Machine::new();
    tell_of_sessions("sshd");
    let mut verifier = Verifier::start();
    let _sshd = Sshd::start();
    let phone = activated(&verifier, ALICE.name);
    let terminal = sshd::login_up_to_password(ALICE, STAY);
    let terminal = get_in(terminal, &verifier.next_code(&phone));
    let listed = sessions();
    let [session] = &listed[..] else { panic!("one session: {listed:?}") };
    assert_eq!((session.user.as_str(), session.service.as_str()), (ALICE.name, "sshd"));
    assert_eq!((session.rhost.as_deref(), &session.host), (Some("127.0.0.1"), &None));
    let here = postern::ask::<SessionList>(&["session", "list", "--host", "-"]).items;
    assert_eq!(here.len(), 1, "{here:?}");
    let login = session.login.as_ref().expect("a code was given");
    assert_eq!(login.token.as_deref(), Some(postern::only_token(ALICE.name).serial.as_str()));
    assert_eq!(
        (login.reason.as_str(), postern::explain(&login.reference).reason.as_str()),
        ("accepted", "accepted")
    );
    assert!(verifier.stop().success());
    verifier.launch();
    assert_eq!(sessions(), listed);
    leave(terminal);
    wait_for_sessions(0);
    let end = newest_end();
    assert_eq!((end.reason.as_str(), end.user.as_deref()), ("closed", Some(ALICE.name)));
    let detail = end.detail.expect("how long it was");
    assert!(detail.starts_with(&format!("login {}, open for ", login.reference)), "{detail}");
}

// covers: R10
#[test]
fn a_session_by_a_key_alone_is_listed_without_a_login() {
    let _machine = Machine::new();
    tell_of_sessions("sshd");
    let _verifier = Verifier::start();
    let _sshd = Sshd::start_with(&[("AuthenticationMethods", "publickey")]);
    let mut terminal = Terminal::start(sshd::key_client(ALICE, &[STAY]));
    terminal.expect(LOGGED_IN);
    let listed = sessions();
    assert_eq!((listed.len(), &listed[0].login, listed[0].user.as_str()), (1, &None, ALICE.name));
    leave(terminal);
    wait_for_sessions(0);
}

// covers: R10
#[test]
fn sudo_and_the_console_have_sessions_of_their_own() {
    let machine = Machine::new();
    for service in ["sudo", "login"] {
        tell_of_sessions(service);
    }
    let verifier = Verifier::start();
    let phone = activated(&verifier, ALICE.name);
    let mut command = machine.as_user(ALICE, "sudo");
    command.args(["sh", "-c", STAY]);
    let mut sudo = Terminal::start(command);
    sudo.expect("password for alice: ");
    sudo.type_line(ALICE.password);
    let sudo = get_in(sudo, &verifier.next_code(&phone));
    let mut console = console_up_to_code(ALICE);
    console.expect(QUESTION);
    console.type_line(&verifier.next_code(&phone));
    console.expect("$ ");
    let listed = sessions();
    let of = |service: &str| {
        let found = listed.iter().find(|session| session.service == service);
        found.unwrap_or_else(|| panic!("no session of {service}: {listed:?}"))
    };
    assert_eq!(listed.len(), 2);
    assert_eq!((of("sudo").user.as_str(), of("sudo").ruser.as_deref()), ("root", Some(ALICE.name)));
    assert_eq!(of("login").user, ALICE.name);
    assert!(of("login").tty.as_ref().is_some_and(|tty| tty.starts_with("/dev/pts/")), "{listed:?}");
    assert!(listed.iter().all(|session| session.login.is_some()), "{listed:?}");
    let alices = postern::run_by(&machine, ALICE, &["--json", "session", "list"], "");
    let services = |list: SessionList| list.items.into_iter().map(|one| one.service).collect::<Vec<_>>();
    assert_eq!(services(postern::read(&alices)), ["login"], "her own");
    let bobs = postern::run_by(&machine, BOB, &["session", "list", "--user", ALICE.name], "");
    assert_eq!(bobs.status.code(), Some(postern::NOT_ALLOWED));
    leave(sudo);
    assert_eq!(
        services(SessionList {
            items: wait_for_sessions(1),
            api_version: 1,
            kind: String::new(),
            next: None
        }),
        ["login"]
    );
    console.type_line("exit");
    console.finish();
    wait_for_sessions(0);
}

// covers: R10
#[test]
fn a_session_whose_leader_was_killed_is_ended_as_lost() {
    let _machine = Machine::new();
    tell_of_sessions("sshd");
    let verifier = Verifier::start();
    let _sshd = Sshd::start();
    let phone = activated(&verifier, ALICE.name);
    let terminal = get_in(sshd::login_up_to_password(ALICE, STAY), &verifier.next_code(&phone));
    wait_for_sessions(1);
    kill_process(leader_of(ALICE.name), Signal::KILL).expect("kill -9");
    wait_for_sessions(0);
    assert_eq!(newest_end().reason, "lost");
    terminal.hang_up();
}

// covers: R10
#[test]
fn a_host_tells_of_its_sessions_when_a_verifier_is_back_and_ends_those_that_were_lost() {
    let machine = Machine::new();
    machine.protect("sshd", "fail=open");
    tell_of_sessions("sshd");
    let mut otp = Verifier::start_with(&config(&fleet_section(&[ADDRESS])));
    add_address(ADDRESS);
    let phone = activated(&otp, ALICE.name);
    let mut host = FleetHost::start(1, "web1");
    host.agent.join(&[verifier(ADDRESS)], &enrol("web1", &[]));
    host.agent.launch_ready();
    let log_in = |host: &FleetHost| {
        let mut terminal = Terminal::start(host.agent.enter(&sshd::client(ALICE, STAY)));
        terminal.expect("Password: ");
        terminal.type_line(ALICE.password);
        terminal
    };
    let with_code = get_in(log_in(&host), &otp.next_code(&phone));
    let listed = wait_for_sessions(1);
    assert_eq!(listed[0].host.as_deref(), Some("web1"));
    assert!(listed[0].login.is_some(), "{listed:?}");
    let at = |host: &str| postern::ask::<SessionList>(&["session", "list", "--host", host]).items;
    assert_eq!((at("web1").len(), at("-").len()), (1, 0), "this machine is another place");

    assert!(otp.stop().success());
    let mut without = log_in(&host);
    without.expect(LOGGED_IN);
    leave(with_code);
    otp.launch();
    let late = wait_at_most(REPORTED, || {
        sessions()
            .into_iter()
            .find(|session| session.login.is_none() && session.host.as_deref() == Some("web1"))
    });
    assert!(late.is_some(), "{:?}", sessions());
    wait_for_sessions(1);
    assert_eq!(newest_end().reason, "closed", "its end was told late");
    assert!(host.agent.stop().success());
    host.agent.launch_ready();
    assert_eq!(sessions().len(), 1, "it outlives the agent");

    kill_process(leader_of(ALICE.name), Signal::KILL).expect("kill -9");
    wait_for_sessions(0);
    let end = newest_end();
    assert_eq!((end.reason.as_str(), end.host.as_deref()), ("lost", Some("web1")));
    without.hang_up();
}
