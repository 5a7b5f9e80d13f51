//! Passwords that are mailed on request with nobody's approval: to the address that a directory has, a real `slapd`, or to
//! that of our own records, whatever was typed.

use system_tests::flows::{
    LOGGED_IN, Outcome, SAY_WHO, answer_all, ssh_dialogue, ssh_outcome, without_reference,
};
use system_tests::machine::{ALICE, Account, BOB, Machine};
use system_tests::persons::{AUTOMATIC, PASSWORD, add};
use system_tests::site::{
    ADDRESS, ADDRESS_QUESTION, ANY_QUESTION, HER_QUESTION, LOGIN_QUESTION, PASSWORD_QUESTION, Site,
    ask_with_password,
};
use system_tests::slapd::{Shows, Slapd, person};
use system_tests::terminal::Terminal;
use system_tests::{postern, sshd};

/// Everybody of the directory is mailed a password for the login.
const DIRECTORY: &str = "[access]\nlogin_step = \"request\"\nrequest_mode = \"directory\"\n";

/// Asks whoever is the one person of an account.
const CONFIRM_QUESTION: &str = "Send a one-time password to your address on record? [y/n]: ";
/// Asks for his password, once he has said yes.
const RECORD_QUESTION: &str = "One-time password for your address on record: ";

/// An ssh login that asks for an issued password.
fn login(account: Account) -> Terminal {
    sshd::login_up_to_password(account, SAY_WHO)
}

/// Types a password at the prompt that waits, where it opens, and at another, where it does not any more.
#[track_caller]
fn expect_opens_once(mut terminal: Terminal, account: Account, password: &str) {
    terminal.type_line(password);
    let shown = ssh_outcome(terminal).logged_in();
    assert!(shown.contains(&format!("{LOGGED_IN}{}", account.name)), "{shown}");
    let refused = ssh_dialogue(account, &[("One-time password", password)]).reference();
    assert_eq!(postern::explain(&refused).reason, "issued_used");
}

// covers: E5, R3, R8, C11
#[test]
fn somebody_of_the_directory_is_mailed_at_his_address_there_and_at_none_that_was_typed() {
    const THERE: &str = "alice.liddell@example.org";
    let _machine = Machine::new();
    let mut slapd = Slapd::new(&person("alice", "").replace(ADDRESS, THERE));
    slapd.start(Shows::Right);
    let site = Site::start_with_directory(DIRECTORY, &slapd);
    let mut terminal = login(ALICE);
    // He is asked for a yes. What is none, an address for one, sends nothing.
    answer_all(&mut terminal, &[(ANY_QUESTION, "request"), (CONFIRM_QUESTION, "mallory@example.org")]);
    answer_all(&mut terminal, &[(ANY_QUESTION, "request"), (CONFIRM_QUESTION, "y")]);
    let shown = terminal.expect(RECORD_QUESTION);
    assert!(shown.contains("Sent.") && !shown.contains("liddell"), "{shown}");
    let mail = site.server.expect(1, THERE);
    expect_opens_once(terminal, ALICE, mail.password().expect("a password"));
    let login = postern::audit().into_iter().find(|record| record.reason == "issued_password").unwrap();
    assert_eq!(login.person.as_deref(), Some("alice"));
    assert_eq!(site.server.mails().len(), 1, "one mail, to the one address");
}

// covers: E5, R5, R6, C11
#[test]
fn of_several_persons_of_the_directory_the_one_whose_address_was_typed_is_mailed_at_the_one_on_record() {
    let _machine = Machine::new();
    let people = [person("carol", "description: bob\n"), person("dave", "description: bob\n")].concat();
    let mut slapd = Slapd::new(&people);
    slapd.start(Shows::Right);
    let site = Site::start_with_directory(DIRECTORY, &slapd);
    let ask = |address: &str| {
        let mut terminal = login(BOB);
        terminal.expect("One-time password");
        answer_all(&mut terminal, &[(": ", "request"), (ADDRESS_QUESTION, address)]);
        let shown = terminal.expect(&format!("One-time password for {address}: "));
        assert!(shown.contains("Sent."), "{shown}");
        terminal
    };
    // Nobody has this one; what is said is the same.
    ask("mallory@example.org").hang_up();
    // A directory does not tell capitals from others. The mail goes to what stands in it.
    let terminal = ask("CAROL@Example.ORG");
    let mail = site.server.expect(1, "carol@example.org");
    expect_opens_once(terminal, BOB, mail.password().expect("a password"));
    let login = postern::audit().into_iter().find(|record| record.reason == "issued_password").unwrap();
    assert_eq!((login.user.as_deref(), login.person.as_deref()), (Some("bob"), Some("carol")));
    assert_eq!(site.server.mails().len(), 1, "one mail, to the one address");
}

// covers: E6, R1, R3, R5, R6, R8
#[test]
fn a_person_of_our_own_records_is_mailed_one_for_login_name_and_password_and_for_nothing_less() {
    let _machine = Machine::new();
    let site = Site::start_as(AUTOMATIC, "");
    ["alice", "bob"].iter().for_each(|name| add(name));
    let asked_as = |name: &str, password: &str| -> Outcome {
        let answers = [(ANY_QUESTION, "request"), (LOGIN_QUESTION, name), (PASSWORD_QUESTION, password)];
        ssh_dialogue(ALICE, &answers)
    };
    // A wrong password, a name that nobody has, and one who may not use the account: the same to whoever reads it.
    let tries = [("alice", "a wrong password"), ("nobody", PASSWORD), ("bob", PASSWORD)];
    let said = tries.map(|(name, password)| {
        let shown = asked_as(name, password).refused();
        let end = shown.split("Access denied.").nth(1).unwrap_or_else(|| panic!("{shown}"));
        without_reference(end)
    });
    assert!(said.iter().all(|text| *text == said[0]), "{said:?}");
    let reasons: Vec<_> = postern::audit().into_iter().map(|record| record.reason).collect();
    assert_eq!(reasons.iter().filter(|reason| *reason == "secondary_refused").count(), 3, "{reasons:?}");
    let mut terminal = login(ALICE);
    ask_with_password(&mut terminal, "alice");
    terminal.expect(HER_QUESTION);
    // The connection is lost, and the person comes back: her address is there.
    terminal.hang_up();
    let mail = site.server.expect(1, ADDRESS);
    let mut terminal = login(ALICE);
    terminal.expect(HER_QUESTION);
    expect_opens_once(terminal, ALICE, mail.password().expect("a password"));
    assert_eq!(site.server.mails().len(), 1, "for the right password alone");
    assert!(
        !postern::audit().iter().any(|record| record.event == "access_issued" && record.person.is_none())
    );
}
