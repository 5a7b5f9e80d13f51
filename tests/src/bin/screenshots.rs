//! Pictures of every page in every state, and what is wrong with them. `cargo xtask screenshots` runs it in a sandbox.
//!
//! Its one argument is the folder that the pictures go to: `NAME-LOOK.png`. It ends with 1 where a page has a fault, such
//! as text that is cut off or faint, or where the head of a page leads to one that is not in [`PAGES`].

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use system_tests::browser::{Browser, Look};
use system_tests::page_checks::{LOOKS, faults};
use system_tests::persons::PASSWORD;
use system_tests::showcase::{STAFF, Showcase};
use system_tests::site::{ADDRESS, Site, link};

/// Pages of an administrator who is signed in: the picture's name and the path.
const PAGES: &[(&str, &str)] = &[
    ("requests", "/requests"),
    ("account", "/account"),
    ("users", "/users"),
    ("user", "/users/a-rather-long-account-name"),
    ("user-app", "/users/erik"),
    ("user-disabled", "/users/gunnar"),
    ("tokens", "/tokens"),
    ("token", "/tokens/2600000000005"),
    ("token-lost", "/tokens/2600000000004"),
    ("token-disassociate", "/tokens/2600000000005/disassociate"),
    ("recovery", "/users/erik/recovery"),
    ("persons", "/persons"),
    ("person", "/persons/carol"),
    ("person-new", "/persons/new"),
    ("person-remove", "/persons/carol/remove"),
    ("hosts", "/hosts"),
    ("host", "/hosts/web-1"),
    ("host-revoked", "/hosts/web-2"),
    ("offline", "/offline"),
    ("offline-new", "/offline/new"),
    ("sessions", "/sessions"),
    ("policy", "/policy"),
    ("bans", "/bans"),
    ("audit", "/audit"),
    ("explain", "/explain"),
    ("status", "/status"),
    ("keys", "/account/keys"),
    ("password", "/account/password"),
    ("app", "/account/app"),
    ("session-not-me", "/sessions/00000000000000000000000000000000/not-me"),
    ("nothing-here", NOTHING),
];

/// Where no page is.
const NOTHING: &str = "/nothing";

/// Where the approver reads her mails.
const CAROL: &str = "carol@example.org";

/// A little more than must lie between two passwords of a person.
const ANOTHER_AFTER_SECONDS: i64 = 3_700;

/// Which of carol's mails is of the request whose password she tells: three before the showcase, two in it.
const TOLD_AS: usize = 6;

/// Where the pictures go, and what was wrong so far.
struct Gallery {
    folder: PathBuf,
    browser: Browser,
    pictures: usize,
    faults: Vec<String>,
}

fn main() -> ExitCode {
    let folder = PathBuf::from(std::env::args().nth(1).expect("the folder of the pictures"));
    let (machine, mut site) = Showcase::start();
    let mut gallery = Gallery { folder, browser: Browser::start(), pictures: 0, faults: Vec::new() };
    gallery.signing_in(&mut site);
    gallery.requests(&mut site);
    let password = gallery.approved(&mut site, 3);
    let mut showcase = Showcase::fill(machine, site, &password);
    gallery.administrator(&mut showcase.site);
    gallery.roles(&mut showcase.site);
    gallery.told(&mut showcase.site);
    for fault in &gallery.faults {
        println!("{fault}");
    }
    println!(
        "{} pictures in {}, {} faults",
        gallery.pictures,
        gallery.folder.display(),
        gallery.faults.len()
    );
    if gallery.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Gallery {
    /// Takes the page that the browser shows in every look.
    fn take(&mut self, name: &str) {
        for (look_name, look) in LOOKS {
            self.browser.look(look);
            let found = faults(&self.browser);
            self.faults.extend(found.into_iter().map(|fault| format!("{name} ({look_name}): {fault}")));
            let file = self.folder.join(format!("{name}-{look_name}.png"));
            std::fs::write(&file, self.browser.picture())
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            self.pictures += 1;
        }
        self.browser.look(Look::DESKTOP);
        println!("      {name}");
    }

    /// Signing in, step by step, and a list with nothing on it.
    fn signing_in(&mut self, site: &mut Site) {
        self.browser.open("/");
        self.take("sign-in");
        self.browser.open("/sessions");
        self.take("sign-in-for-a-page");
        self.browser.open("/sign-in");
        self.browser.fill("#login", "carol");
        self.browser.fill("#password", "not her password");
        self.browser.click("main form button");
        self.browser.expect_text("That did not work");
        self.take("sign-in-refused");
        self.browser.fill("#login", "carol");
        self.browser.fill("#password", PASSWORD);
        self.browser.click("main form button");
        self.browser.expect_text("The digits");
        self.take("sign-in-code");
        self.browser.click("form[action='/sign-out'] button");
        self.browser.expect_text("Password");
        site.sign_in(&self.browser, "carol");
        self.take("requests-empty");
        self.sign_out();
    }

    /// Every page of [`PAGES`], and that they are all.
    fn administrator(&mut self, site: &mut Site) {
        site.sign_in(&self.browser, STAFF[0].0);
        let links: Vec<String> = self.browser.script(
            "return [...document.querySelectorAll('nav a')].map(link => new URL(link.href).pathname)",
            &[],
        );
        let is_known = |link: &String| PAGES.iter().any(|(_, path)| path == link);
        let unknown = links.into_iter().filter(|link| !is_known(link));
        self.faults.extend(unknown.map(|link| format!("{link} is not in the table of pages")));
        for (name, path) in PAGES {
            self.browser.open(path);
            let title: String = self.browser.script("return document.querySelector('h1').textContent", &[]);
            if (title == "Not found") != (*path == NOTHING) {
                self.faults.push(format!("{path} is {title:?}"));
            }
            self.take(name);
        }
        self.app(site);
        self.sign_out();
    }

    /// An app that is added: its key, and what is said of a wrong code.
    fn app(&mut self, site: &mut Site) {
        self.browser.open("/account/app");
        self.browser.fill("input.code", &site.press(STAFF[0].0));
        self.browser.click("main form button");
        self.browser.expect_text("Scan this with the app");
        self.take("app-key");
        self.browser.fill("#code", "none");
        self.browser.click("main form button");
        self.browser.expect_text("That is no code of the new app");
        self.take("app-wrong-code");
    }

    /// The first page of everybody else.
    fn roles(&mut self, site: &mut Site) {
        for (name, role) in &STAFF[1..] {
            site.sign_in(&self.browser, name);
            self.take(&format!("start-{role}"));
            self.browser.open("/account");
            self.take(&format!("account-{role}"));
            self.sign_out();
        }
    }

    /// A request of an emergency that is denied; one that waits, is refused for its number and is approved; and what whoever
    /// did not ask sees.
    fn requests(&mut self, site: &mut Site) {
        site.ask("emergency", &[("Reason: ", "The disk of db-1 is full, and its owner is on holiday")]);
        let path = link(&site.server.expect(1, CAROL), "/requests/");
        site.sign_in(&self.browser, "carol");
        self.take("requests-emergency");
        self.browser.open(&path);
        self.take("request-emergency");
        self.browser.click("form[action$='/deny'] button");
        self.browser.expect_text("denied by carol");
        self.take("request-denied");
        site.verifier.clock.advance(120);
        let number = site.ask("request", &[]);
        self.browser.open(&link(&site.server.expect(2, CAROL), "/requests/"));
        self.take("request");
        self.browser.fill("#number", if number == "10" { "11" } else { "10" });
        self.browser.click("form[action$='/approve'] button");
        self.browser.expect_text("The two-digit number");
        self.take("request-wrong-number");
        self.browser.fill("#number", &number);
        self.browser.click("form[action$='/approve'] button");
        self.browser.expect_text("approved by carol");
        self.take("request-approved");
        self.sign_out();
        let mailed = site.server.expect(2, ADDRESS);
        self.browser.open(&link(&mailed, "/not-me/"));
        self.take("not-me");
        self.browser.fill("#account", "bob");
        self.browser.click("main form button");
        self.browser.expect_text("That is not the account");
        self.take("not-me-wrong");
        self.browser.fill("#account", "alice");
        self.browser.click("main form button");
        self.browser.expect_text("is void");
        self.take("not-me-done");
    }

    /// Has a request of alice approved, and tells her password.
    ///
    /// * `count`: how many she has made then.
    fn approved(&mut self, site: &mut Site, count: usize) -> String {
        self.approve(site, count);
        self.sign_out();
        site.server.expect(count, ADDRESS).password().expect("a password").to_owned()
    }

    fn approve(&mut self, site: &mut Site, count: usize) {
        site.verifier.clock.advance(ANOTHER_AFTER_SECONDS);
        let number = site.ask("request", &[]);
        let path = link(&site.server.expect(count, CAROL), "/requests/");
        site.sign_in(&self.browser, "carol");
        self.browser.open(&path);
        self.browser.fill("#number", &number);
        self.browser.click("form[action$='/approve'] button");
        self.browser.expect_text("approved by carol");
    }

    /// A password that the approver tells.
    fn told(&mut self, site: &mut Site) {
        site.be_strict();
        self.approve(site, TOLD_AS);
        self.browser.expect_text("It is shown once");
        self.take("request-told");
    }

    fn sign_out(&self) {
        self.browser.click("header form button");
        self.browser.expect_place("/sign-in");
    }
}
