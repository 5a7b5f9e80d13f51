//! The time of a request and of its password, on a clock that the test moves: neither is of use after it, a mail that comes
//! late prolongs nothing, and `resend` sends the same password with the same end.

use system_tests::flows::{SAY_WHO, answer_all, ssh_dialogue, ssh_outcome};
use system_tests::login_socket::{Login, verdict};
use system_tests::machine::{ALICE, BOB, Machine};
use system_tests::persons::{AUTOMATIC, add, approved_by, ask_automatically};
use system_tests::postern;
use system_tests::site::{
    ADDRESS, ANY_QUESTION, HER_QUESTION, LOGIN_QUESTION, PASSWORD_QUESTION, Site, link,
};
use system_tests::smtp::{Mail, Mood, expect_failures};
use system_tests::sshd;
use system_tests::terminal::Terminal;
use system_tests::time::wait_for;
use wire::admin::{AccessRequest, AuditRecord, RequestList, RequestState};
use wire::login::Verdict;

const MINUTE: i64 = 60;

/// How long a password is usable where nobody says otherwise, in minutes.
const USABLE: i64 = 30;

/// Waits for a record of the audit trail.
fn recorded(event: &str) -> AuditRecord {
    wait_for(event, || postern::audit().into_iter().find(|record| record.event == event))
}

/// The one request that is known.
#[track_caller]
fn only_request() -> AccessRequest {
    let mut all = postern::ask::<RequestList>(&["request", "list"]).items;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// The password of a mail.
#[track_caller]
fn password(mail: &Mail) -> String {
    mail.password().unwrap_or_else(|| panic!("no password in {mail:?}")).to_owned()
}

// covers: E4, R6
#[test]
fn a_request_that_nobody_decides_in_its_time_is_over_and_who_asked_is_told() {
    let _machine = Machine::new();
    let access = format!("{}request_ttl = \"5m\"\n", approved_by(&["carol"]));
    let mut site = Site::start_as(&access, "");
    add("alice");
    site.add("carol");
    let number = site.ask("request", &[]);
    let path = link(&site.server.expect(1, "carol@example.org"), "/requests/");
    let carol = site.visitor("carol");
    site.verifier.clock.advance(4 * MINUTE);
    assert_eq!(only_request().state, RequestState::Pending);
    sshd::login_up_to_password(ALICE, SAY_WHO).expect(HER_QUESTION);
    let page = carol.get(&path);
    site.verifier.clock.advance(MINUTE);
    let form = page.form_word().expect("a form, a moment ago");
    let late = carol.post(&format!("{path}/approve"), &[("form", form), ("number", &number)]);
    assert_eq!(late.status, 409, "{late:?}");
    let record = recorded("access_expired");
    assert_eq!((record.reason.as_str(), record.person.as_deref()), ("not_decided", Some("alice")));
    let told = site.server.expect(1, ADDRESS);
    assert!(told.header("Subject").ends_with("was not decided"), "{told:?}");
    assert!(told.password().is_none() && told.text.contains("Nobody decided"), "{told:?}");
    assert_eq!(only_request().state, RequestState::Expired);
    // The next prompt knows of none, and she can ask again at once.
    site.ask("request", &[]);
    site.server.expect(2, "carol@example.org");
}

// covers: R8, C01
#[test]
fn a_password_is_usable_from_its_issue_on_though_its_mail_comes_late_and_is_refused_when_it_is_typed_later() {
    let _machine = Machine::new();
    let site = Site::start_as(AUTOMATIC, "");
    ["alice", "bob"].iter().for_each(|name| add(name));
    site.server.set(Mood::Later);
    for name in ["alice", "bob"] {
        ask_automatically(name);
    }
    expect_failures(2);
    // The mail server is of no use for most of the half hour.
    site.server.set(Mood::Accept);
    site.verifier.clock.advance(25 * MINUTE);
    let [hers, his] = [ADDRESS, "bob@example.org"].map(|to| password(&site.server.expect(1, to)));
    site.verifier.clock.advance(3 * MINUTE);
    let mut terminal = sshd::login_up_to_password(BOB, SAY_WHO);
    terminal.expect("One-time password for bob@example.org: ");
    ssh_dialogue(ALICE, &[(HER_QUESTION, &hers)]).logged_in();
    // He stands at the prompt when its time is over.
    site.verifier.clock.advance(2 * MINUTE);
    terminal.type_line(&his);
    let refused = ssh_outcome(terminal);
    let reference = refused.reference();
    assert_eq!(postern::explain(&reference).reason, "issued_expired");
    let record = recorded("access_expired");
    assert_eq!((record.reason.as_str(), record.person.as_deref()), ("not_used", Some("bob")));
    let refused = ssh_dialogue(BOB, &[(ANY_QUESTION, &his)]);
    assert!(refused.refused().contains("has expired"));
}

/// Types a word where an issued password is asked for; what is said to it.
fn say(terminal: &mut Terminal, word: &str) -> String {
    terminal.type_line(word);
    terminal.expect(HER_QUESTION)
}

// covers: R9, C16
#[test]
fn resend_mails_the_same_password_with_the_same_end_and_a_new_one_comes_after_an_hour() {
    let _machine = Machine::new();
    let site = Site::start_as(AUTOMATIC, "");
    add("alice");
    ask_automatically("alice");
    let first = site.server.expect(1, ADDRESS);
    let issued = only_request();
    let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
    terminal.expect(HER_QUESTION);
    let said = say(&mut terminal, "resend");
    assert!(said.contains("It was sent a moment ago. Try again from"), "{said}");
    site.verifier.clock.advance(2 * MINUTE);
    let said = say(&mut terminal, "resend");
    assert!(said.contains("Sent again."), "{said}");
    let again = site.server.expect(2, ADDRESS);
    assert_eq!((password(&again), only_request().until), (password(&first), issued.until));
    assert_ne!(again.header("Message-ID"), first.header("Message-ID"));
    // A new one comes an hour after this one, and no sooner: the answer says when.
    let said = request_again(&mut terminal);
    let at = an_hour_after(&issued.issued.expect("the time of its issue"));
    assert!(said.contains("A new one-time password can be requested from") && said.contains(&at), "{said}");
    terminal.type_line(&password(&first));
    ssh_outcome(terminal).logged_in();
    let used = ssh_dialogue(ALICE, &[(ANY_QUESTION, &password(&again))]).reference();
    assert_eq!(postern::explain(&used).reason, "issued_used");
    let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
    answer_all(&mut terminal, &[(ANY_QUESTION, "resend")]);
    terminal.expect("There is no one-time password to send again");
    terminal.expect(ANY_QUESTION);
    terminal.hang_up();
    assert_eq!(site.server.mails().len(), 2);
    site.verifier.clock.advance(2 * USABLE * MINUTE);
    ask_automatically("alice");
    assert_ne!(password(&site.server.expect(3, ADDRESS)), password(&first));
}

/// Asks for another password while one lives, at the prompt that has its address; what is said to it.
fn request_again(terminal: &mut Terminal) -> String {
    terminal.type_line("request");
    let password = system_tests::persons::PASSWORD;
    answer_all(terminal, &[(LOGIN_QUESTION, "alice"), (PASSWORD_QUESTION, password)]);
    terminal.expect(HER_QUESTION)
}

/// `T14:05:09Z` and an hour, as prompts say it: ` 15:05 UTC`.
fn an_hour_after(time: &str) -> String {
    let (_, time) = time.split_once('T').expect("RFC 3339");
    let hour: u32 = time[..2].parse().expect("an hour");
    format!(" {:02}{} UTC", (hour + 1) % 24, &time[2..5])
}

// covers: C16
#[test]
fn resend_forgets_no_wrong_try() {
    let _machine = Machine::new();
    let site = Site::start_as(AUTOMATIC, "");
    add("alice");
    ask_automatically("alice");
    let mailed = password(&site.server.expect(1, ADDRESS));
    let guess = || assert_eq!(Login::by_ssh("alice").verdict("00000-00000"), Verdict::Deny);
    (0..3).for_each(|_| guess());
    site.verifier.clock.advance(2 * MINUTE);
    let said = Login::by_ssh("alice").begin().expect("an answer").follow("resend");
    assert!(said.reply.show.join("\n").contains("Sent again."), "{said:?}");
    assert_eq!(password(&site.server.expect(2, ADDRESS)), mailed);
    // The fifth is the last.
    (0..2).for_each(|_| guess());
    site.verifier.clock.advance(2 * MINUTE);
    let reply = Login::by_ssh("alice").attempt(&mailed).expect("an answer");
    assert_eq!(verdict(&reply), Verdict::Deny);
    assert_eq!(postern::explain(&system_tests::login_socket::reference(&reply)).reason, "issued_void");
}
