//! Requests at sudo, at the console, after a key, and at an ssh login that waits until sshd ends it.

use std::fs;

use system_tests::flows::{LOGGED_IN, SAY_WHO, answer_all, console_up_to_code, ssh_outcome, sudo_up_to_code};
use system_tests::machine::{ALICE, ANN, BOB, Machine};
use system_tests::persons::{AUTOMATIC, add, approved_by};
use system_tests::postern;
use system_tests::site::{
    ADDRESS, ADDRESS_QUESTION, ANY_QUESTION, HER_QUESTION, Site, ask_with_password, number_in,
};
use system_tests::sshd;
use system_tests::terminal::Terminal;
use system_tests::time::wait_for;
use wire::admin::{RequestList, RequestState};

/// After this time a person is given a new password, in seconds.
const ANOTHER_AFTER: i64 = 3_600;

/// Types the password of a mail.
#[track_caller]
fn type_mailed(site: &Site, terminal: &mut Terminal, count: usize, to: &str) {
    let mail = site.server.expect(count, to);
    terminal.type_line(mail.password().unwrap_or_else(|| panic!("no password in {mail:?}")));
}

// covers: R1
#[test]
fn a_password_is_asked_for_and_typed_at_sudo_at_the_console_and_after_a_key() {
    let machine = Machine::new();
    let mut site = Site::start_as(AUTOMATIC, "");
    ["alice", "bob"].iter().for_each(|name| add(name));
    let mut terminal = sudo_up_to_code(&machine, ALICE);
    ask_with_password(&mut terminal, "alice");
    terminal.expect(HER_QUESTION);
    type_mailed(&site, &mut terminal, 1, ADDRESS);
    terminal.expect("root\r\n");
    assert!(terminal.finish().status.success());

    let mut terminal = console_up_to_code(BOB);
    ask_with_password(&mut terminal, "bob");
    terminal.expect("One-time password for bob@example.org: ");
    type_mailed(&site, &mut terminal, 1, "bob@example.org");
    terminal.expect("$ ");
    terminal.type_line(&format!("{SAY_WHO}; exit"));
    terminal.expect(&format!("{LOGGED_IN}bob"));
    terminal.finish();

    site.verifier.clock.advance(ANOTHER_AFTER);
    machine.protect_without_password("sshd");
    site.change_sshd(&[("AuthenticationMethods", "publickey,keyboard-interactive:pam")]);
    let mut terminal = Terminal::start(sshd::key_client(ALICE, &[SAY_WHO]));
    ask_with_password(&mut terminal, "alice");
    terminal.expect(HER_QUESTION);
    type_mailed(&site, &mut terminal, 2, ADDRESS);
    ssh_outcome(terminal).logged_in();

    let accepted = postern::audit().into_iter().filter(|record| record.reason == "issued_password");
    let services: Vec<_> = accepted.filter_map(|record| record.service).collect();
    assert_eq!(services, ["sudo", "login", "sshd"]);
}

/// Whether sshd has a process for a login of alice's. When it ends one it logs that on some systems only.
fn is_served() -> bool {
    let named = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
    let mut lines = fs::read_dir("/proc").expect("/proc").flatten().map(named);
    lines.any(|line| line.starts_with("sshd: alice") || line.starts_with("sshd-session: alice"))
}

// covers: R11, R6, E3
#[test]
fn a_request_outlives_the_login_that_sshd_ends_and_its_password_opens_the_next_one() {
    let machine = Machine::new();
    machine.add_staff();
    let mut site = Site::start_as(&approved_by(&["ann"]), "");
    ["alice", "ann"].iter().for_each(|name| add(name));
    // Long enough for a request on a machine that is busy.
    site.change_sshd(&[("LoginGraceTime", "12")]);
    let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
    answer_all(&mut terminal, &[(ANY_QUESTION, "request"), (ADDRESS_QUESTION, ADDRESS)]);
    let number = number_in(&terminal.expect(HER_QUESTION));
    // She waits for the mail, and sshd does not; her client sees that when she types something.
    assert!(is_served(), "by a process of her own");
    wait_for("sshd to end the login", || (!is_served()).then_some(()));
    terminal.type_line("");
    let ended = terminal.finish();
    assert!(!ended.status.success() && !ended.transcript.contains(LOGGED_IN), "{}", ended.transcript);
    let requests = postern::ask::<RequestList>(&["request", "list"]).items;
    let [request] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(request.state, RequestState::Pending);
    let words = ["request", "approve", &request.id, "--number", &number];
    let approved = postern::run_by(&machine, ANN, &words, "");
    assert!(approved.status.success(), "{}", postern::said(&approved));
    site.change_sshd(&[]);
    let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
    terminal.expect(HER_QUESTION);
    type_mailed(&site, &mut terminal, 1, ADDRESS);
    ssh_outcome(terminal).logged_in();
}
