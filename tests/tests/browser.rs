//! The pages in a real browser: what a person sees, what he does there with mouse and keyboard, and what comes of it.

use system_tests::browser::{Browser, Key};
use system_tests::machine::Machine;
use system_tests::pages::BASE;
use system_tests::persons::PASSWORD;
use system_tests::site::Site;

/// What the console says of a page that was refused on purpose.
const REFUSED_ON_PURPOSE: &str = "the server responded with a status of 4";

/// Demands that the browser asked nobody else for anything, and that no page broke its own rules.
#[track_caller]
fn expect_quiet(browser: &Browser) {
    let console: Vec<_> =
        browser.console().into_iter().filter(|said| !said.contains(REFUSED_ON_PURPOSE)).collect();
    assert!(console.is_empty(), "{console:#?}");
    let elsewhere = |address: &String| !address.starts_with(&format!("{BASE}/")) && address != "about:blank";
    let elsewhere: Vec<_> = browser.requested().into_iter().filter(elsewhere).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}

// covers: P13
#[test]
fn whoever_has_no_mouse_signs_in_with_tab_and_enter() {
    let _machine = Machine::new();
    let mut site = Site::start();
    let browser = Browser::start();
    browser.open("/");
    browser.expect_place("/sign-in");
    browser.press("carol");
    browser.press(Key::Tab);
    browser.press("a wrong password");
    browser.press(Key::Enter);
    browser.expect_text("That did not work");
    browser.press("carol");
    browser.press(Key::Tab);
    browser.press(PASSWORD);
    browser.press(Key::Tab);
    browser.press(Key::Enter);
    browser.expect_text("The digits that your app or token shows");
    browser.press(site.press("carol"));
    browser.press(Key::Enter);
    browser.expect_text("Sign out");
    browser.expect_place("/requests");
    expect_quiet(&browser);
}
