//! Offline passwords at a host that is cut off: real sshd, a network that loses what is sent to the verifier.

use system_tests::agent::fleet_section;
use system_tests::cut_off::{ADDRESS, CutOffHost, QUESTION, issue, issue_as, used};
use system_tests::flows::{LOGGED_IN, associated, ssh_outcome};
use system_tests::fob::Fob;
use system_tests::machine::{ALICE, BOB, Machine};
use system_tests::network::{add_address, remove_address};
use system_tests::postern;
use system_tests::smtp::{Mail, Mood, Shows, SmtpServer, expect_failures};
use system_tests::time::wait_for;
use system_tests::verifier::{Verifier, config, log_text};
use wire::admin::{MadeOfflinePassword, MailProgress, OfflinePassword, OfflineState};

/// Whom passwords are mailed to.
const OPERATOR: &str = "operator@example.org";

// covers: N1, N7, N12, N15, D08, D09
#[test]
fn a_host_that_is_cut_off_lets_in_by_an_offline_password_once_and_tells_of_it_when_it_is_back() {
    let _machine = Machine::new();
    let section = format!("[offline]\ncontact = \"Call 4711\"\n{}", fleet_section(&[ADDRESS]));
    let verifier_daemon = Verifier::start_with(&config(&section));
    let mut fob = Fob::with_button("7900000001");
    associated(&mut fob, "alice");
    let mut web1 = CutOffHost::start(1, "web1", &verifier_daemon.clock, None);
    let made = issue("web1", &["--user", "alice", "--service", "sshd", "--for", "1h"]);
    assert_eq!((&made.made.host[..], made.made.state), ("web1", OfflineState::Open));
    // Online it is no one-time password.
    assert!(web1.host.login(ALICE, &fob.press()).logged_in().contains(LOGGED_IN));
    web1.host.login(ALICE, &made.password).refused();

    // The agent notices by itself.
    remove_address(ADDRESS);
    web1.host.agent.wait_until("cut off", |status| status["ready"] == false);
    let mut terminal = web1.host.login_up_to_password(ALICE);
    let shown = terminal.expect(QUESTION);
    assert!(shown.contains("No verifier can be reached") && shown.contains("This host is "), "{shown}");
    assert!(shown.contains("Call 4711"), "{shown}");
    terminal.type_line(&fob.press());
    ssh_outcome(terminal).refused();
    for (account, typed) in [(BOB, &made.password[..]), (ALICE, "0A1BZ-9XK00-00000")] {
        web1.give(account, typed).refused();
    }
    web1.give(ALICE, &made.password.to_lowercase().replace('-', " ")).logged_in();
    // Within its time she is asked nothing more, also after the service was killed.
    web1.kill_service();
    web1.host.expect_refusal_without_question(ALICE);
    web1.launch_service();
    web1.expect_grant(ALICE);
    let log = web1.host.agent.log();
    assert!(log.contains("let in by an offline password of before"), "{log}");
    // When it is over the same password opens nothing.
    verifier_daemon.clock.advance(3_601);
    web1.give(ALICE, &made.password).refused();

    // And that it is back.
    add_address(ADDRESS);
    web1.host.agent.wait_until_ready();
    let used = used(&made.made.id).used.expect("a use");
    assert_eq!((&used.user[..], &used.service[..]), ("alice", "sshd"));
    assert!(web1.host.login(ALICE, &fob.press()).logged_in().contains(LOGGED_IN));
    let log = format!("{}{}", web1.host.agent.log(), log_text());
    let typed = made.password.replace('-', "");
    assert!(!log.contains(&made.password) && !log.contains(&typed), "no log has it");
}

/// The password in a mail, the same in both of its parts.
fn mailed(mail: &Mail) -> String {
    let is_one = |word: &&str| word.len() == 17 && word.matches('-').count() == 2;
    let password = mail.text.split_whitespace().find(is_one).unwrap_or_else(|| panic!("none in {mail:?}"));
    assert!(mail.html.contains(password) && !mail.header("Subject").contains(password), "{mail:?}");
    password.to_owned()
}

// covers: N14, C13, C14
#[test]
fn a_password_that_is_mailed_is_told_nowhere_else_and_is_sent_while_it_opens_something() {
    let _machine = Machine::new();
    let mut server = SmtpServer::new();
    let settings = format!("{}{}", fleet_section(&[ADDRESS]), server.section());
    let mut verifier = Verifier::prepare(&config(&settings)).with_stepped_waits();
    server.write_files();
    verifier.initialise();
    verifier.launch();
    server.start(Shows::Right);
    let mut web1 = CutOffHost::start(1, "web1", &verifier.clock, Some("Europe/Helsinki"));
    let make = |why: &str| {
        let order =
            ["--user", "alice", "--service", "sshd", "--for", "15m", "--mail", OPERATOR, "--why", why];
        issue_as::<MadeOfflinePassword>("web1", &order)
    };
    let first = make("the line is cut");
    assert!(first.password.is_none(), "{:?}", first.made);
    let mail = server.expect(1, OPERATOR);
    let password = mailed(&mail);
    let zones = [&first.made.until.host[..], &first.made.until.server];
    for part in ["web1", "alice", "sshd", "15 minutes", "the line is cut"].into_iter().chain(zones) {
        assert!(mail.text.contains(part) && mail.html.contains(part), "{part}: {mail:?}");
    }
    let state = |id: &str| {
        let shown: OfflinePassword = postern::ask(&["offline", "show", id]);
        shown.mail.map(|mail| (mail.to, mail.state))
    };
    let expect_state = |made: &MadeOfflinePassword, wanted: MailProgress| {
        wait_for("the mail to stand so", || {
            (state(&made.made.id) == Some((OPERATOR.into(), Some(wanted)))).then_some(())
        });
    };
    expect_state(&first, MailProgress::Sent);
    // Revoked while its mail waits: it is not sent any more.
    server.set(Mood::Later);
    let second = make("revoked soon");
    expect_failures(1);
    postern::ask::<OfflinePassword>(&["offline", "revoke", &second.made.id]);
    // What waits is sent by the next daemon too, which has never seen the password.
    let third = make("the verifier dies");
    expect_failures(2);
    expect_state(&third, MailProgress::Waiting);
    server.set(Mood::Accept);
    verifier.kill();
    verifier.launch();
    let last = mailed(&server.expect(2, OPERATOR));
    expect_state(&second, MailProgress::Failed);
    expect_state(&third, MailProgress::Sent);
    assert_eq!(server.mails().len(), 2);
    assert_ne!(last, password);
    web1.cut();
    web1.give(ALICE, &last).logged_in();
    web1.reconnect();
    used(&third.made.id);
    let kept = format!("{}{:?}", log_text(), postern::audit());
    assert!(kept.contains(&format!("mailed to {OPERATOR}")), "{kept}");
    for password in [password, last] {
        assert!(!kept.contains(&password) && !kept.contains(&password.replace('-', "")), "{kept}");
    }
    let order = ["offline", "issue", "--host", "web1", "--all-services", "--for", "1h", "--mail", "nobody"];
    let said = postern::said(&postern::run(&order));
    assert!(said.contains("\"nobody\" is not an e-mail address"), "{said}");
}
