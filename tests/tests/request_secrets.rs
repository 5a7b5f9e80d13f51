//! Where an issued password is to be found, and a person's own, and the number that an approver is told: in the mail and at
//! the prompt, and in nothing that is kept, logged or shown to others.

use system_tests::flows::{LOGGED_IN, SAY_WHO, answer_all, ssh_outcome};
use system_tests::machine::{ALICE, BOB, Machine};
use system_tests::persons::{AUTOMATIC, PASSWORD, add};
use system_tests::site::{
    ADDRESS, ADDRESS_QUESTION, ANY_QUESTION, HER_QUESTION, Site, ask_with_password, link, number_in,
};
use system_tests::smtp::Mail;
use system_tests::terminal::Terminal;
use system_tests::traces::{files, holds};
use system_tests::verifier::{STATE, log_text};
use system_tests::{postern, sshd, witness};

/// Types a mailed password, and is in.
#[track_caller]
fn log_in(mut terminal: Terminal, mail: &Mail) -> String {
    let password = mail.password().unwrap_or_else(|| panic!("no password in {mail:?}"));
    terminal.type_line(password);
    let shown = ssh_outcome(terminal).logged_in();
    assert!(shown.contains(LOGGED_IN) && !shown.contains(password), "{shown}");
    password.to_owned()
}

/// One login with a password that nobody approves, one with one that carol approves on her page; both passwords and the
/// number that she typed.
fn both_ways(site: &mut Site) -> ([String; 2], String) {
    let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
    ask_with_password(&mut terminal, "alice");
    terminal.expect(HER_QUESTION);
    let hers = log_in(terminal, &site.server.expect(1, ADDRESS));

    let mut terminal = sshd::login_up_to_password(BOB, SAY_WHO);
    answer_all(&mut terminal, &[(ANY_QUESTION, "emergency"), (ADDRESS_QUESTION, "bob@example.org")]);
    answer_all(&mut terminal, &[("Reason: ", "the disk is full")]);
    let number = number_in(&terminal.expect("One-time password for bob@example.org: "));
    let path = link(&site.server.expect(1, "carol@example.org"), "/requests/");
    let carol = site.visitor("carol");
    let page = carol.get(&path);
    let fields = [("form", page.form_word().expect("a form")), ("number", &*number)];
    let approved = carol.post(&format!("{path}/approve"), &fields);
    assert!(approved.status == 200 && approved.body.contains("approved by carol"), "{approved:?}");
    let his = log_in(terminal, &site.server.expect(1, "bob@example.org"));
    assert!(!approved.body.contains(&his), "whoever approves does not see it");
    ([hers, his], number)
}

// covers: C13
#[test]
fn passwords_and_numbers_are_in_no_log_file_argument_or_environment_and_in_no_approvers_mail() {
    let machine = Machine::new();
    let mut site = Site::start_as(&format!("{AUTOMATIC}approvers = [\"carol\"]\n"), "");
    ["alice", "bob"].iter().for_each(|name| add(name));
    site.add("carol");
    let ((passwords, number), seen) = witness::watch(|| both_ways(&mut site));

    let mut places = files(STATE);
    places.extend(files("/etc/postern"));
    assert!(places.values().any(|bytes| holds(bytes, "bob@example.org")), "the store was not read");
    let trail = format!("{:?}", postern::audit());
    assert!(trail.contains("the disk is full"));
    let to_carol = site.server.mails().into_iter().filter(|mail| mail.recipients == ["carol@example.org"]);
    let to_carol: Vec<_> = to_carol.collect();
    let texts = [
        ("the daemon's log", log_text()),
        ("the system's log", machine.logged().join("\n")),
        ("sshd's log", sshd::log_text()),
        ("the audit trail", trail),
        ("what `postern request list` shows", postern::done(&["--json", "request", "list"])),
        ("arguments and environments", seen.into_iter().collect()),
        ("mails to carol", format!("{to_carol:?}")),
    ];
    places.extend(texts.map(|(place, text)| (place.to_owned(), text.into_bytes())));
    for (place, bytes) in &places {
        for password in &passwords {
            for text in [password, &password.replace('-', "")] {
                assert!(!holds(bytes, text), "an issued password is in {place}");
            }
        }
        assert!(!holds(bytes, PASSWORD), "the password of a person is in {place}");
        // The store has it, by which the daemon knows it again.
        if place.starts_with(STATE) {
            continue;
        }
        for text in [format!("number={number}"), format!("number {number}"), format!("number\":{number}")] {
            assert!(!holds(bytes, &text), "the number of a request is in {place}");
        }
    }
    // What an approver is mailed has no word of two digits at all.
    let [mail] = &to_carol[..] else { panic!("{to_carol:?}") };
    let words = mail.text.split(|letter: char| letter.is_whitespace() || letter == '.');
    let is_number = |word: &str| word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_digit());
    let found: Vec<_> = words.filter(|word| is_number(word)).collect();
    assert!(found.is_empty(), "{found:?} in {mail:?}");
}
