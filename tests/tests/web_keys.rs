//! Security keys on the pages, with a real browser and the authenticator that it plays (WebDriver's `webauthn` commands).

use serde_json::json;
use system_tests::api::make_certificate;
use system_tests::browser::Browser;
use system_tests::flows::associated;
use system_tests::fob::Fob;
use system_tests::machine::Machine;
use system_tests::pages::SECTION;
use system_tests::persons::{PASSWORD, add};
use system_tests::postern;
use system_tests::verifier::{Verifier, config};
use wire::admin::Person;

/// The one key of the list.
const REMOVE: &str = "form[data-key=remove] button";
/// What adds one.
const ADD: &str = "form[data-key=add]";
/// What uses one at the sign-in.
const USE: &str = "form[data-key=sign-in] button";

/// The first step, up to the page of the second.
fn give_password(browser: &Browser) {
    browser.open("/sign-in");
    browser.fill("#login", "carol");
    browser.fill("#password", PASSWORD);
    browser.click("form[action='/sign-in'] button");
    browser.expect_text("The digits that your app or token shows");
}

fn sign_out(browser: &Browser) {
    browser.click("form[action='/sign-out'] button");
    browser.expect_place("/sign-in");
}

/// Adds a key; without a code one of those that are there says that it is she.
fn add_key(browser: &Browser, name: &str, code: &str) {
    browser.open("/account/keys");
    browser.fill(&format!("{ADD} [name=name]"), name);
    browser.fill(&format!("{ADD} [name=code]"), code);
    browser.click(&format!("{ADD} button"));
}

fn keys_of_carol() -> usize {
    postern::ask::<Person>(&["person", "show", "carol"]).security_keys
}

// covers: I07, I11
#[test]
fn a_key_is_added_signs_in_adds_another_and_is_removed() {
    let _machine = Machine::without_module();
    let mut verifier = Verifier::prepare(&config(SECTION));
    make_certificate();
    verifier.initialise();
    verifier.launch();
    add("carol");
    let mut fob = Fob::with_button("8800000001");
    associated(&mut fob, "carol");
    let browser = Browser::start();
    let key = json!({
        "protocol": "ctap2", "transport": "usb", "hasResidentKey": true,
        "hasUserVerification": true, "isUserVerified": true,
    });
    let usb = browser.extension("/webauthn/authenticator", Some(key));
    give_password(&browser);
    assert!(!browser.has(USE), "she has none yet");
    browser.fill("#code", &fob.press());
    browser.click("form[action='/sign-in/code'] button");
    browser.expect_text("Access requests");
    // A wrong code adds none; a right one does.
    add_key(&browser, "blue", "000000");
    browser.expect_text("That did not work");
    add_key(&browser, "blue", &fob.press());
    browser.expect_text("Remove blue");
    assert_eq!(keys_of_carol(), 1);
    sign_out(&browser);
    give_password(&browser);
    browser.click(USE);
    browser.expect_place("/requests");
    let login =
        postern::audit().into_iter().rfind(|record| record.reason == "security_key").expect("a record");
    assert_eq!((login.person.as_deref(), login.service.as_deref()), (Some("carol"), Some("web")));
    // Another one, in the place of the first, which a browser would not ask for a second key.
    browser.extension(&format!("/webauthn/authenticator/{}", usb.as_str().expect("an id")), None);
    let inside = json!({
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": true,
        "hasUserVerification": true, "isUserVerified": true,
    });
    browser.extension("/webauthn/authenticator", Some(inside));
    add_key(&browser, "laptop", &fob.press());
    browser.expect_text("Remove laptop");
    assert_eq!(keys_of_carol(), 2);
    // The second says that it is she who removes the first.
    browser.click(REMOVE);
    let gone = system_tests::time::wait_at_most(system_tests::time::PATIENCE, || {
        (keys_of_carol() == 1).then_some(())
    });
    assert!(gone.is_some(), "{}", browser.text());
    browser.expect_text("Remove laptop");
    // An administrator removes what is left, and she needs a code again.
    let removed = postern::run(&["person", "security-keys", "remove", "carol", "--yes"]);
    assert!(removed.status.success(), "{}", postern::said(&removed));
    sign_out(&browser);
    give_password(&browser);
    assert!(!browser.has(USE));
    let faults: Vec<_> =
        browser.console().into_iter().filter(|line| !line.contains("status of 403")).collect();
    assert!(faults.is_empty(), "{faults:?}");
}
