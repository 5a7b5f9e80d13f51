//! Something of everything that a page can show: users, tokens, hosts, requests, waits and records in each state.
//!
//! Believable and always the same, so that two pictures of a page differ by the page alone.

use std::fs;
use std::io::Write as _;

use crate::agent::{Agent, enrol, fleet_section, verifier};
use crate::flows::{LOGGED_IN, SAY_WHO, associated};
use crate::fob::{Fob, drawer};
use crate::login_socket::{Dialogue, Login};
use crate::machine::{ALICE, Machine, tell_of_sessions};
use crate::persons::{add, ask_for_approval};
use crate::site::{HER_QUESTION, Site};
use crate::terminal::Terminal;
use crate::{postern, sshd};

/// Accounts besides those of the rig, which nobody logs in to.
const ACCOUNTS: [&str; 7] =
    ["erik", "frida", "gunnar", "hanna", "ingrid", "jonas", "a-rather-long-account-name"];

/// The staff: login name and role. Each of them signs in to the pages.
pub const STAFF: [(&str, &str); 4] =
    [("ann", "admin"), ("dora", "helpdesk"), ("otto", "auditor"), ("bob", "user")];

/// What fills a site, and what stays open as long as it is looked at.
pub struct Showcase {
    /// The site.
    pub site: Site,
    _session: Terminal,
    _machine: Machine,
}

impl Showcase {
    /// A site with its staff, and nothing else on it yet.
    ///
    /// # Panics
    /// When the daemon refuses something.
    pub fn start() -> (Machine, Site) {
        let machine = Machine::new();
        machine.add_staff();
        add_accounts();
        tell_of_sessions("sshd");
        let mut site = Site::start_with(&fleet_section(&["localhost"]));
        for (name, role) in STAFF {
            site.add(name);
            if role != "user" {
                postern::done(&["person", "set", name, "--role", role]);
            }
        }
        (machine, site)
    }

    /// Fills it.
    ///
    /// * `password`: one that alice was mailed; she logs in with it, and stays.
    ///
    /// # Panics
    /// When the daemon refuses something.
    pub fn fill(machine: Machine, site: Site, password: &str) -> Self {
        fill_tokens();
        fill_hosts(&site);
        let session = open_session(password);
        fill_requests();
        make_wait();
        Self { site, _session: session, _machine: machine }
    }
}

fn add_accounts() {
    let lines =
        ACCOUNTS.iter().zip(30_000..).map(|(name, id)| format!("{name}:x:{id}:{id}::/:/usr/sbin/nologin\n"));
    let mut file = fs::OpenOptions::new().append(true).open("/etc/passwd").expect("/etc/passwd");
    file.write_all(lines.collect::<String>().as_bytes()).expect("/etc/passwd");
}

/// One in each state: available, assigned, associated, disabled, lost, and of an app.
fn fill_tokens() {
    let fobs: Vec<Fob> = drawer(6);
    fobs.iter().take(2).for_each(|fob| postern::add_token(fob, None));
    postern::add_token(&fobs[2], Some("frida"));
    for (fob, user) in fobs.into_iter().skip(3).zip(["gunnar", "hanna", "a-rather-long-account-name"]) {
        associated(&mut fob.clone(), user);
        match user {
            "gunnar" => drop(postern::done(&["token", "disable", &fob.serial, "--yes"])),
            "hanna" => drop(postern::lost(&fob.serial)),
            _ => {}
        }
    }
    for user in ["erik", "ingrid"] {
        postern::otp_on(user);
    }
}

/// Three that have joined, one of which is revoked, and one that was only invited.
fn fill_hosts(site: &Site) {
    for (name, group) in [("web-1", "web"), ("web-2", "web"), ("db-1.example.org", "databases")] {
        let secret = enrol(name, &["--group", group]);
        let mut agent = Agent::beside(name);
        agent.set_environment(site.verifier.clock.environment(false));
        agent.join(&[verifier("localhost")], &secret);
    }
    postern::done(&["host", "revoke", "web-2", "--yes"]);
    enrol("mail-1", &[]);
}

/// Alice, who logs in and stays.
fn open_session(password: &str) -> Terminal {
    let mut terminal = sshd::login_up_to_password(ALICE, &format!("{SAY_WHO}; cat"));
    terminal.expect(HER_QUESTION);
    terminal.type_line(password);
    terminal.expect(LOGGED_IN);
    terminal
}

/// One in each state but the open ones, which whoever looks makes.
fn fill_requests() {
    for name in ["jonas", "ingrid"] {
        add(name);
    }
    let asked: Dialogue = ask_for_approval("jonas");
    assert!(asked.question().contains("jonas"), "{asked:?}");
    drop(ask_for_approval("ingrid"));
    let list: serde_json::Value = postern::ask(&["request", "list"]);
    let of_jonas = list["items"].as_array().expect("requests").iter().find(|item| item["user"] == "jonas");
    postern::done(&["request", "cancel", of_jonas.expect("his")["id"].as_str().expect("an id")]);
}

/// Somebody who guesses.
fn make_wait() {
    let guess = |_| drop(Login::by_ssh("a-rather-long-account-name").from("203.0.113.66").attempt("000000"));
    (0..8).for_each(guess);
}
