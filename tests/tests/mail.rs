//! Mails, handed in at a real mail server in every mood, by a real daemon for real requests.

use system_tests::login_socket::{Login, verdict};
use system_tests::machine::Machine;
use system_tests::persons::{AUTOMATIC, add, approved_by, ask_automatically, ask_for_approval};
use system_tests::postern;
use system_tests::smtp::{Mail, Mood, Shows, SmtpServer, expect_failures, failures};
use system_tests::traces::{files, holds};
use system_tests::verifier::{STATE, Verifier, config, log_text};
use wire::login::Verdict;

const ALICE: &str = "alice@example.org";

/// A daemon with persons and a mail server. Nobody listens at the server's port yet.
fn prepare(access: &str, persons: &[&str]) -> (SmtpServer, Verifier) {
    let server = SmtpServer::new();
    let mut verifier =
        Verifier::prepare(&config(&format!("{access}{}", server.section()))).with_stepped_waits();
    server.write_files();
    verifier.initialise();
    verifier.launch();
    persons.iter().for_each(|name| add(name));
    (server, verifier)
}

/// Logs in with the password of a mail.
#[track_caller]
fn expect_opens(mail: &Mail) {
    let password = mail.password().unwrap_or_else(|| panic!("no password in {mail:?}"));
    assert_eq!(Login::by_ssh("alice").verdict(password), Verdict::Allow);
    assert_ne!(Login::by_ssh("alice").verdict(password), Verdict::Allow, "twice");
}

// covers: C09, C11, C13, E6
#[test]
fn the_password_comes_by_one_mail_to_one_person_and_opens_once() {
    let _machine = Machine::without_module();
    let (mut server, _verifier) = prepare(AUTOMATIC, &["alice"]);
    server.start(Shows::Right);
    ask_automatically("alice");
    let mail = server.expect(1, ALICE);
    assert_eq!(
        (mail.sender.as_str(), &mail.recipients[..]),
        ("postern@example.org", &[ALICE.to_owned()][..])
    );
    assert_eq!((mail.encrypted, mail.user.as_deref()), (true, Some("postern")));
    assert_eq!((mail.header("From"), mail.header("To")), ("Postern <postern@example.org>", ALICE));
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(mail.header("Message-ID").ends_with("@example.org>"), "{mail:?}");
    assert!(mail.header("Subject").contains("one-time password for alice"), "{mail:?}");
    assert!(mail.longest_line <= 998, "RFC 5322, section 2.1.1");
    for part in ["sshd", "192.0.2.1", "alice"] {
        assert!(mail.text.contains(part) && mail.html.contains(part), "{part}: {mail:?}");
    }
    let password = mail.password().expect("a password").to_owned();
    assert!(mail.html.contains(&password));
    expect_opens(&mail);
    assert_eq!(server.mails().len(), 1);
    assert!(!log_text().contains(&password), "the password is in the log");
    let trail = format!("{:?}", postern::audit());
    assert!(trail.contains("access_issued") && !trail.contains(&password), "{trail}");
}

// covers: C14
#[test]
fn a_mail_of_which_the_server_says_nothing_comes_again_under_the_same_name() {
    let _machine = Machine::without_module();
    let (mut server, verifier) = prepare(AUTOMATIC, &["alice"]);
    server.start(Shows::Right);
    server.set(Mood::Lose);
    ask_automatically("alice");
    let first = server.expect(1, ALICE);
    expect_failures(1);
    server.set(Mood::Tarpit);
    verifier.clock.advance(60);
    server.expect(2, ALICE);
    // The server is given up, and asked again later.
    verifier.clock.advance(60);
    expect_failures(2);
    server.set(Mood::Accept);
    verifier.clock.advance(120);
    let last = server.expect(3, ALICE);
    assert_eq!(first.header("Message-ID"), last.header("Message-ID"));
    assert_eq!(first.password(), last.password(), "another password");
    expect_opens(&last);
}

// covers: C14
#[test]
fn a_server_that_refuses_is_asked_again_and_one_that_will_never_take_it_is_not() {
    let _machine = Machine::without_module();
    let (mut server, verifier) = prepare(AUTOMATIC, &["alice", "bob"]);
    server.start(Shows::Right);
    server.set(Mood::Later);
    ask_automatically("alice");
    server.expect_refused(1);
    expect_failures(1);
    verifier.clock.advance(60);
    server.expect_refused(2);
    expect_failures(2);
    server.set(Mood::Accept);
    verifier.clock.advance(120);
    expect_opens(&server.expect(1, ALICE));
    server.set(Mood::Never);
    ask_automatically("bob");
    server.expect_refused(3);
    expect_failures(3);
    let told = system_tests::time::wait_for("the failure in the audit trail", || {
        postern::audit().into_iter().find(|record| record.event == "mail_failed")
    });
    let detail = told.detail.unwrap_or_default();
    assert!(detail.contains("bob@example.org") && detail.contains("550"), "{detail}");
    server.set(Mood::Accept);
    verifier.clock.advance(600);
    assert_eq!((server.refused().len(), server.mails().len()), (3, 1), "it was tried again");
}

// covers: C13, C14
#[test]
fn a_server_that_quotes_what_it_refuses_puts_no_password_on_record() {
    let _machine = Machine::without_module();
    let (mut server, verifier) = prepare(AUTOMATIC, &["alice", "bob"]);
    server.start(Shows::Right);
    server.set(Mood::Quote);
    ask_automatically("alice");
    server.expect_refused(1);
    expect_failures(1);
    // What it says of this one cannot be read: the mail is tried again.
    server.set(Mood::Babble);
    ask_automatically("bob");
    server.expect_refused(2);
    expect_failures(2);
    server.set(Mood::Accept);
    verifier.clock.advance(60);
    let hers =
        server.mails().into_iter().find(|mail| mail.recipients == [ALICE]).expect("one that was refused");
    let his = server.expect(2, "bob@example.org");
    let trail = system_tests::time::wait_for("the failure in the audit trail", || {
        let trail = postern::audit();
        trail.iter().any(|record| record.event == "mail_failed").then_some(trail)
    });
    let failed: Vec<_> = trail.iter().filter(|record| record.event == "mail_failed").collect();
    let [failed] = &failed[..] else { panic!("{failed:?}") };
    let detail = failed.detail.as_deref().unwrap_or_default();
    assert!(detail.starts_with("request ") && detail.contains("to alice@example.org: "), "{detail}");
    assert!(detail.ends_with("the mail server refused: 554 5.7.1"), "{detail}");
    assert_eq!(failed.user.as_deref(), Some("alice"));
    verifier.expect_log("what the mail server answers is not SMTP");
    let mut places = files(STATE);
    let texts = [
        ("the log", log_text()),
        ("the trail", format!("{trail:?}")),
        ("what `postern request list` shows", postern::done(&["--json", "request", "list"])),
    ];
    places.extend(texts.map(|(place, text)| (place.to_owned(), text.into_bytes())));
    assert!(places.values().any(|bytes| holds(bytes, "5.7.1")), "the store was not read");
    for mail in [&hers, &his] {
        let password = mail.password().expect("a password");
        assert!(
            server.refused().iter().any(|refused| refused.answer.contains(password)),
            "it was not quoted"
        );
        for (place, bytes) in &places {
            for text in [password, &password.replace('-', "")] {
                assert!(!holds(bytes, text), "an issued password is in {place}");
            }
        }
    }
    // Hers is still good: that is why it must stand nowhere.
    expect_opens(&hers);
}

// covers: C14
#[test]
fn nothing_is_handed_to_a_server_that_cannot_show_who_it_is() {
    let _machine = Machine::without_module();
    let (mut server, verifier) = prepare(AUTOMATIC, &["alice"]);
    server.start(Shows::WrongName);
    ask_automatically("alice");
    verifier.expect_log("not valid for name");
    // The next try is due half a minute later, on a clock that is moved here.
    server.start(Shows::Untrusted);
    verifier.clock.advance(40);
    verifier.expect_log("UnknownIssuer");
    server.start(Shows::Nothing);
    verifier.clock.advance(80);
    verifier.expect_log("does not offer what is needed");
    assert!(server.mails().is_empty());
    server.start(Shows::Right);
    verifier.clock.advance(150);
    expect_opens(&server.expect(1, ALICE));
    assert_eq!(failures(), 3);
}

// covers: C14
#[test]
fn a_server_that_says_nothing_holds_up_nobody_and_the_next_daemon_sends_what_waits() {
    let _machine = Machine::without_module();
    let (mut server, mut verifier) = prepare(AUTOMATIC, &["alice", "bob"]);
    server.start(Shows::Right);
    server.set(Mood::Mute);
    ask_automatically("alice");
    server.expect_refused(1);
    // While it is waited for, others ask and are answered, and the daemon ends in order.
    ask_automatically("bob");
    assert!(verifier.stop().success());
    assert!(server.mails().is_empty());
    server.set(Mood::Accept);
    verifier.launch();
    expect_opens(&server.expect(1, ALICE));
    server.expect(1, "bob@example.org");
}

// covers: C12
#[test]
fn an_approver_gets_so_many_mails_in_an_hour_and_one_that_tells_of_more() {
    const HOUR_MAX: usize = 20;
    let _machine = Machine::without_module();
    let names: Vec<_> = (0..HOUR_MAX + 4).map(|number| format!("user{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut server, mut verifier) = prepare(&approved_by(&["carol"]), &[&names[..], &["carol"]].concat());
    server.start(Shows::Right);
    for name in &names {
        ask_for_approval(name);
    }
    let last = server.expect(HOUR_MAX + 1, "carol@example.org");
    assert!(last.header("Subject").contains("holds back"), "{last:?}");
    assert!(last.text.contains(&HOUR_MAX.to_string()), "{last:?}");
    assert!(verifier.stop().success());
    let mails = server.mails();
    assert_eq!(mails.len(), HOUR_MAX + 1);
    assert!(mails.iter().all(|mail| mail.recipients == ["carol@example.org"] && mail.password().is_none()));
    let mut ids: Vec<_> = mails.iter().map(|mail| mail.header("Message-ID")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), HOUR_MAX + 1);
}

// covers: C11, R5
#[test]
fn nobody_is_mailed_at_an_address_that_is_not_on_record() {
    let _machine = Machine::without_module();
    let (mut server, _verifier) = prepare(&approved_by(&["carol"]), &["alice", "carol"]);
    server.start(Shows::Right);
    let ask = |address: &str| {
        Login::by_ssh("alice")
            .begin()
            .expect("an answer")
            .follow("request")
            .answer(address)
            .expect("an answer")
    };
    for strange in ["mallory@example.org", "a+lice@example.org", "carol@example.org"] {
        let reply = format!("{:?}", ask(strange));
        assert!(reply.contains("Sent.") || reply.contains("Another request"), "{reply}");
    }
    for wrong in [
        "m\u{131}ke@example.org",
        "alice@example.org.",
        "alice@example.org\r\nBcc: x@y.org",
        "-oQ@example.org",
    ] {
        let reply = format!("{:?}", ask(wrong));
        assert!(!reply.contains("Sent."), "{wrong}: {reply}");
    }
    // The one that is a person's is the only one that anybody hears of.
    let verdict = verdict(&Login::by_ssh("alice").attempt("00000-00000").expect("an answer"));
    assert_ne!(verdict, Verdict::Allow);
    let mails = server.mails();
    assert!(mails.is_empty(), "{mails:?}");
}
