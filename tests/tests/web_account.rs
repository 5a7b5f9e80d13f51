//! One's own account in a real browser: an app off the screen, another password, a session that is somebody else's.

use std::collections::BTreeSet;

use system_tests::api::make_certificate;
use system_tests::authenticator::Authenticator;
use system_tests::browser::Browser;
use system_tests::flows::{LOGGED_IN, QUESTION, SAY_WHO, associated, ssh_login};
use system_tests::fob::Fob;
use system_tests::login_socket::Login;
use system_tests::machine::{ALICE, Machine, tell_of_sessions};
use system_tests::page_checks::faults_in_every_look;
use system_tests::pages::SECTION;
use system_tests::persons::{PASSWORD, add};
use system_tests::postern;
use system_tests::sshd::{self, Sshd};
use system_tests::verifier::{Verifier, config};
use wire::admin::TokenState;
use wire::login::Verdict;

const NEXT: &str = "another battery, a better one";

/// Demands that whoever looks at the page can read and use it.
#[track_caller]
fn expect_readable(browser: &Browser) {
    let faults = faults_in_every_look(browser);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What runs, and alice's token.
struct Stand {
    verifier: Verifier,
    fob: Fob,
    _sshd: Sshd,
}

/// Pages and sshd, and alice, who is a person and has a token.
fn start() -> Stand {
    let mut verifier = Verifier::prepare(&config(SECTION));
    make_certificate();
    verifier.initialise();
    verifier.launch();
    add("alice");
    let mut fob = Fob::with_button("8700000001");
    associated(&mut fob, "alice");
    Stand { verifier, fob, _sshd: Sshd::start() }
}

/// Signs alice in on the page for it that is open.
fn sign_in(browser: &Browser, password: &str, code: &str) {
    browser.fill("#login", "alice");
    browser.fill("#password", password);
    browser.click("main form button");
    browser.fill("#code", code);
    browser.click("main form button");
    browser.expect_text("Sign out");
}

// covers: P13, I09, I11, A12, A13
#[test]
fn an_app_is_scanned_off_the_page_and_its_codes_open_ssh_once() {
    let _machine = Machine::new();
    let Stand { verifier, mut fob, _sshd } = start();
    let browser = Browser::start();
    browser.open("/account");
    sign_in(&browser, PASSWORD, &fob.press());
    browser.expect_place("/account");
    browser.click("a[href='/account/app']");
    browser.expect_text("Its secret key is shown once");
    expect_readable(&browser);
    let begin = |code: &str| {
        browser.fill("input.code", code);
        browser.click("main form button");
    };
    begin("000000");
    browser.expect_text("That did not work");
    begin(&fob.press());
    browser.expect_text("Scan this with the app");
    expect_readable(&browser);
    let scanned = browser.scan().expect("a code that a telephone reads");
    let link: String = browser.script("return document.querySelector('a[href^=otpauth]').href", &[]);
    assert_eq!(scanned, link);
    let phone = Authenticator::scan(&scanned);
    let typed: String = browser.script("return document.querySelector('.secret').textContent", &[]);
    assert_eq!(typed.trim().replace(' ', ""), phone.secret());
    let tokens = || postern::user("alice").tokens;
    assert_eq!(tokens().len(), 1, "nothing is kept yet");
    verifier.leave_end_of_step();
    browser.fill("#code", &verifier.wrong_code(&phone));
    browser.click("main form button");
    browser.expect_text("That is no code of the new app");
    assert!(!browser.has("svg") && !browser.text().contains(&typed), "it is shown once");
    expect_readable(&browser);
    let first = verifier.code(&phone);
    browser.fill("input.code", &first);
    browser.click("main form button");
    browser.expect_text("The app is added");
    expect_readable(&browser);
    let states: Vec<_> = tokens().iter().map(|token| (token.is_app, token.state)).collect();
    assert_eq!(states, [(false, TokenState::Associated), (true, TokenState::Associated)]);
    // What proved the app opens nothing any more; its next code does, once; and so does the token that she had.
    assert_eq!(Login::by_ssh("alice").verdict(&first), Verdict::Deny);
    let next = verifier.next_code(&phone);
    assert!(ssh_login(ALICE, &next).logged_in().contains(LOGGED_IN));
    assert_eq!(Login::by_ssh("alice").verdict(&next), Verdict::Deny);
    assert_eq!(Login::by_ssh("alice").verdict(&fob.press()), Verdict::Allow);
    let told: BTreeSet<String> = postern::audit().into_iter().map(|record| record.event).collect();
    assert!(told.contains("enrolment_shown") && told.contains("token_associated"), "{told:?}");
}

// covers: P13, I07
#[test]
fn a_password_is_changed_by_whoever_knows_it_and_his_other_browsers_are_signed_out() {
    let _machine = Machine::new();
    let Stand { verifier: _verifier, mut fob, _sshd } = start();
    let (browser, other) = (Browser::start(), Browser::start());
    for browser in [&browser, &other] {
        browser.open("/account/password");
        sign_in(browser, PASSWORD, &fob.press());
        browser.expect_place("/account/password");
    }
    expect_readable(&browser);
    let change = |present: &str| {
        for (name, typed) in [("present", present), ("password", NEXT), ("again", NEXT)] {
            browser.fill(&format!("main [name={name}]"), typed);
        }
        browser.click("main form button");
    };
    change("not her password");
    browser.expect_text("That did not work");
    change(PASSWORD);
    browser.expect_text("Your password is changed");
    other.open("/account");
    other.expect_text("Sign in");
    sign_in(&other, NEXT, &fob.press());
}

// covers: P13, R10
#[test]
fn a_session_that_is_not_ones_own_is_told_and_goes_on_record() {
    let _machine = Machine::new();
    tell_of_sessions("sshd");
    let Stand { verifier: _verifier, mut fob, _sshd } = start();
    let mut terminal = sshd::login_up_to_password(ALICE, &format!("{SAY_WHO}; cat"));
    terminal.expect(QUESTION);
    terminal.type_line(&fob.press());
    terminal.expect(LOGGED_IN);
    let browser = Browser::start();
    browser.open("/sessions");
    sign_in(&browser, PASSWORD, &fob.press());
    browser.expect_text("127.0.0.1");
    expect_readable(&browser);
    browser.click("main td a[href$='/not-me']");
    browser.expect_text("whoever is told of events here is told");
    expect_readable(&browser);
    let reported = || postern::audit().into_iter().find(|record| record.event == "session_reported");
    assert!(reported().is_none(), "a page changes nothing");
    browser.click("main form button");
    browser.expect_text("It is on record. Reference ");
    expect_readable(&browser);
    let record = reported().expect("a record");
    assert!(browser.text().contains(&record.reference));
    assert_eq!((record.user.as_deref(), record.token.as_deref()), (Some("alice"), Some("8700000001")));
    assert_eq!(record.actor.as_deref(), Some("person alice (user)"));
}
