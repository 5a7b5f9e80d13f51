//! The pages in a real browser: what a person sees, what he does there with mouse and keyboard, and what comes of it.

use std::collections::BTreeSet;

use serde_json::json;
use system_tests::browser::{Browser, Key};
use system_tests::flows::{LOGGED_IN, ssh_dialogue};
use system_tests::machine::{ALICE, Machine};
use system_tests::page_checks::faults_in_every_look;
use system_tests::pages::BASE;
use system_tests::persons::PASSWORD;
use system_tests::postern;
use system_tests::site::{ADDRESS, ANY_QUESTION, HER_QUESTION, Site, link};
use system_tests::smtp::Mail;
use system_tests::time::wait_for;

/// What the console says of a page that was refused on purpose.
const REFUSED_ON_PURPOSE: &str = "the server responded with a status of 4";

/// Demands that the browser asked nobody else for anything, and that no page broke its own rules.
#[track_caller]
fn expect_quiet(browser: &Browser) {
    let console: Vec<_> =
        browser.console().into_iter().filter(|said| !said.contains(REFUSED_ON_PURPOSE)).collect();
    assert!(console.is_empty(), "{console:#?}");
    let requested = browser.requested();
    assert!(!requested.is_empty(), "it has asked for nothing");
    let elsewhere: Vec<_> =
        requested.iter().filter(|address| !address.starts_with(&format!("{BASE}/"))).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}

/// Demands that whoever looks at the page can read and use it.
#[track_caller]
fn expect_readable(browser: &Browser) {
    let faults = faults_in_every_look(browser);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Presses Tab until the focus is there.
#[track_caller]
fn tab_to(browser: &Browser, selector: &str) {
    const TABS_MAX: usize = 40;
    let is_there =
        || browser.script::<bool>("return document.activeElement.matches(arguments[0])", &[json!(selector)]);
    for _ in 0..TABS_MAX {
        if is_there() {
            return;
        }
        browser.press(Key::Tab);
    }
    panic!("no {TABS_MAX} tabs lead to {selector} at {}:\n{}", browser.place(), browser.text());
}

// covers: P13
#[test]
fn whoever_has_no_mouse_signs_in_and_approves_with_tab_and_enter() {
    let _machine = Machine::new();
    let mut site = Site::start();
    let number = site.ask("request", &[]);
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
    tab_to(&browser, "main a[href^='/requests/']");
    browser.press(Key::Enter);
    browser.expect_text("The two-digit number");
    tab_to(&browser, "#number");
    browser.press(number);
    browser.press(Key::Enter);
    browser.expect_text("approved by carol");
    assert!(site.server.expect(1, ADDRESS).password().is_some());
    expect_quiet(&browser);
}

// covers: R2, R5, R7, E3, P13
#[test]
fn a_request_is_approved_in_a_browser_and_its_mailed_password_opens_once() {
    let _machine = Machine::new();
    let mut site = Site::start();
    let number = site.ask("request", &[]);
    let mail = site.server.expect(1, "carol@example.org");
    let path = link(&mail, "/requests/");
    let browser = Browser::start();
    browser.open(&path);
    browser.expect_place(&format!("/sign-in?to={}", path.replace('/', "%2F")));
    expect_readable(&browser);
    site.sign_in_here(&browser, "carol");
    browser.expect_place(&path);
    browser.expect_text(ADDRESS);
    expect_readable(&browser);
    let wrong = if number == "10" { "11" } else { "10" };
    browser.fill("#number", wrong);
    browser.click("form[action$='/approve'] button");
    browser.expect_place(&format!("{path}/approve"));
    assert!(browser.has("[role=alert]"), "{}", browser.text());
    expect_readable(&browser);
    browser.fill("#number", &number);
    browser.click("form[action$='/approve'] button");
    browser.expect_text("approved by carol");
    expect_readable(&browser);
    let mailed = site.server.expect(1, ADDRESS);
    let password = mailed.password().expect("a password");
    assert!(!browser.text().contains(password), "whoever approves does not see it");
    let outcome = ssh_dialogue(ALICE, &[(HER_QUESTION, password)]);
    assert!(outcome.logged_in().contains(LOGGED_IN));
    let refused = ssh_dialogue(ALICE, &[(ANY_QUESTION, password)]).reference();
    assert_eq!(postern::explain(&refused).reason, "issued_used");
    assert!(browser.has("nav a[href='/requests'][aria-current=true]"), "a page that the list leads to");
    browser.click("main a[href='/requests']");
    browser.expect_text("Access requests");
    assert!(browser.has("nav a[href='/requests'][aria-current=page]"));
    assert!(!browser.has("nav a[href='/account'][aria-current]"));
    expect_readable(&browser);
    expect_quiet(&browser);
}

// covers: E3, R4
#[test]
fn an_emergency_is_approved_in_a_browser_and_its_mailed_password_opens() {
    let _machine = Machine::new();
    let mut site = Site::start();
    let number = site.ask("emergency", &[("Reason: ", "the site is down")]);
    let mail = site.server.expect(1, "carol@example.org");
    assert!(mail.header("Subject").starts_with("EMERGENCY"), "{mail:?}");
    let browser = Browser::start();
    site.sign_in(&browser, "carol");
    browser.open(&link(&mail, "/requests/"));
    browser.expect_text("the site is down");
    browser.fill("#number", &number);
    browser.click("form[action$='/approve'] button");
    browser.expect_text("approved by carol");
    let mailed = site.server.expect(1, ADDRESS);
    let outcome = ssh_dialogue(ALICE, &[(HER_QUESTION, mailed.password().expect("a password"))]);
    assert!(outcome.logged_in().contains(LOGGED_IN));
    expect_quiet(&browser);
}

/// What somebody types who wants the approver's browser to do something.
const REASON: &str =
    "<img src=x onerror=\"document.title='owned'\"> </dd><a href=//evil.example>Approve</a> \u{202e}lluf";

// covers: C10, I08, E3, R4
#[test]
fn the_reason_of_an_emergency_is_text_in_the_approvers_browser_and_he_denies() {
    let _machine = Machine::new();
    let mut site = Site::start();
    site.ask("emergency", &[("Reason: ", REASON)]);
    let mail = site.server.expect(1, "carol@example.org");
    assert!(mail.header("Subject").starts_with("EMERGENCY"), "{mail:?}");
    let path = link(&mail, "/requests/");
    let browser = Browser::start();
    site.sign_in(&browser, "carol");
    browser.expect_text("Emergency");
    browser.open(&path);
    browser.expect_text(REASON.split('\u{202e}').next().expect("a text"));
    assert!(browser.text().contains("\\u{202e}lluf"), "{}", browser.text());
    assert!(!browser.has("main img") && !browser.has("a[href*='evil']"), "{}", browser.text());
    let title: String = browser.script("return document.title", &[]);
    assert_ne!(title, "owned");
    expect_readable(&browser);
    // The mail too, in a program that shows pages and has no rules for them.
    browser.open("about:blank");
    browser.script::<Option<bool>>("document.write(arguments[0])", &[json!(mail.html)]);
    assert!(browser.text().contains("onerror") && !browser.has("img"), "{}", mail.html);
    assert!(!browser.has("a[href*='evil']"), "{}", mail.html);
    browser.open(&path);
    browser.click("form[action$='/deny'] button");
    browser.expect_text("denied by carol");
    let told = site.server.expect(1, ADDRESS);
    assert!(told.header("Subject").contains("denied") && told.password().is_none(), "{told:?}");
    expect_quiet(&browser);
}

// covers: E3
#[test]
fn the_list_of_requests_renews_itself_and_stays_the_same_page() {
    let _machine = Machine::new();
    let mut site = Site::start();
    let browser = Browser::start();
    site.sign_in(&browser, "carol");
    browser.expect_text("Nobody asks for anything");
    expect_readable(&browser);
    browser.script::<Option<bool>>("window.stayed = true", &[]);
    site.ask("emergency", &[("Reason: ", "the disk is full")]);
    browser.expect_text(ADDRESS);
    assert!(browser.script::<bool>("return window.stayed === true", &[]), "the page was loaded again");
    expect_readable(&browser);
    postern::done(&["request", "cancel", &only_request()]);
    browser.expect_text("cancelled");
    assert!(browser.script::<bool>("return window.stayed === true", &[]), "the page was loaded again");
    expect_quiet(&browser);
}

/// Opens whatever an address leads to, runs its scripts, and sends each of its forms with what a program makes up.
fn scan(address: &str) {
    let browser = Browser::start();
    browser.open(address);
    let forms: usize = browser.script("return document.forms.length", &[]);
    for form in 0..forms {
        browser.open(address);
        browser.script::<Option<bool>>(FILL_AND_SEND, &[json!(form)]);
        wait_for("the form's answer", || {
            let script = "return window.sent !== true && document.readyState === 'complete'";
            browser.try_script::<bool>(script, &[]).ok()?.then_some(())
        });
    }
    assert!(browser.script::<bool>("return !document.body.innerText.includes('Sign out')", &[]));
    expect_quiet(&browser);
}

/// `window` is another one as soon as the answer is there.
const FILL_AND_SEND: &str = "
    const form = document.forms[arguments[0]];
    for (const field of form.elements) {
        if (field.type === 'hidden') continue;
        if (field.matches('input, textarea')) field.value = field.maxLength === 2 ? '42' : 'test@example.org';
    }
    window.sent = true;
    form.submit();
    return null;";

/// Every address in a mail, in any of its forms.
fn addresses(mail: &Mail) -> BTreeSet<String> {
    let words = mail.text.split_whitespace().chain(mail.html.split(['\"', '<', '>', '\'']));
    words.filter(|word| word.starts_with("http")).map(str::to_owned).collect()
}

// covers: C03
#[test]
fn a_mail_scanner_that_runs_pages_and_sends_their_forms_changes_nothing() {
    let _machine = Machine::new();
    let mut site = Site::start();
    let number = site.ask("request", &[]);
    let to_carol = site.server.expect(1, "carol@example.org");
    let asked = (postern::done(&["request", "list", "--json"]), events());
    let found = addresses(&to_carol);
    assert!(!found.is_empty(), "{to_carol:?}");
    found.iter().for_each(|address| scan(address));
    assert_eq!((postern::done(&["request", "list", "--json"]), events()), asked);
    let browser = Browser::start();
    site.sign_in(&browser, "carol");
    browser.open(&link(&to_carol, "/requests/"));
    browser.fill("#number", &number);
    browser.click("form[action$='/approve'] button");
    browser.expect_text("approved by carol");
    let to_alice = site.server.expect(1, ADDRESS);
    let found = addresses(&to_alice);
    assert!(found.iter().any(|address| address.contains("/not-me/")), "{to_alice:?}");
    found.iter().for_each(|address| scan(address));
    let outcome = ssh_dialogue(ALICE, &[(HER_QUESTION, to_alice.password().expect("a password"))]);
    assert!(outcome.logged_in().contains(LOGGED_IN), "the password is still good");
}

/// What the trail tells of requests.
fn events() -> Vec<String> {
    let events = postern::audit().into_iter().map(|record| record.event);
    events.filter(|event| event.starts_with("access_")).collect()
}

/// The id of the one request that there is.
fn only_request() -> String {
    let list: serde_json::Value = postern::ask(&["request", "list"]);
    let items = list["items"].as_array().expect("requests");
    assert_eq!(items.len(), 1, "{list}");
    items[0]["id"].as_str().expect("an id").to_owned()
}

/// Where the head of every page leads each role, in its order.
const LED_TO: [(&str, &str); 4] = [
    ("user", "/requests /sessions /account"),
    (
        "auditor",
        "/requests /users /tokens /persons /sessions /hosts /offline /policy /bans /audit /explain /status /account",
    ),
    (
        "helpdesk",
        "/requests /users /tokens /persons /sessions /hosts /policy /bans /explain /status /account",
    ),
    (
        "admin",
        "/requests /users /tokens /persons /sessions /hosts /offline /policy /bans /audit /explain /status /account",
    ),
];

/// What the page of a user without the demand offers each of them.
const OFFERED: [(&str, &[&str]); 4] = [
    ("user", &[]),
    ("auditor", &[]),
    ("helpdesk", &["Unlock", "Associate a token"]),
    (
        "admin",
        &[
            "Unlock",
            "Associate a token",
            "Assign a token",
            "Add an authenticator app",
            "Demand a one-time password",
        ],
    ),
];

// covers: P13, I05
#[test]
fn each_role_is_led_to_its_pages_and_offered_what_it_may() {
    let _machine = Machine::new();
    let mut site = Site::start();
    postern::otp_on("bob");
    postern::done(&["user", "set", "bob", "--otp", "off", "--yes"]);
    let everywhere: BTreeSet<&str> = LED_TO.iter().flat_map(|(_, pages)| pages.split(' ')).collect();
    let browser = Browser::start();
    for ((role, pages), (_, offered)) in LED_TO.into_iter().zip(OFFERED) {
        site.add(role);
        if role != "user" {
            postern::done(&["person", "set", role, "--role", role]);
        }
        site.sign_in(&browser, role);
        let links: Vec<String> = browser.script(
            "return [...document.querySelectorAll('nav a')].map((link) => new URL(link.href).pathname)",
            &[],
        );
        assert_eq!(links.join(" "), pages, "{role}");
        for page in &everywhere {
            browser.open(page);
            let is_refused = browser.text().contains("does not permit this");
            assert_eq!(
                is_refused,
                !links.iter().any(|link| link == page),
                "{role} {page}: {}",
                browser.text()
            );
        }
        browser.open("/users/bob");
        let headings: Vec<String> = browser.script(
            "return [...document.querySelectorAll('.form h2')].map((heading) => heading.textContent)",
            &[],
        );
        assert_eq!(headings, offered, "{role}");
        browser.click("header form button");
        browser.expect_place("/sign-in");
    }
    expect_quiet(&browser);
}
