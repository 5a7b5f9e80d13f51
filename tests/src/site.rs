//! A whole site: sshd with the module, a daemon with pages and mails, a mail server, and persons with tokens.

use std::collections::HashMap;
use std::fs;

use crate::api::make_certificate;
use crate::browser::Browser;
use crate::flows::{SAY_WHO, associated};
use crate::fob::Fob;
use crate::machine::ALICE;
use crate::pages::{BASE, SECTION};
use crate::persons::{PASSWORD, add, approved_by};
use crate::smtp::{Mail, Shows, SmtpServer};
use crate::sshd::{self, Sshd};
use crate::verifier::{CONFIG, Verifier, config};

/// Where alice reads her mails.
pub const ADDRESS: &str = "alice@example.org";
/// Asked of whoever has no token.
pub const ANY_QUESTION: &str = "One-time password: ";
/// Asked of alice, once she has said who she is.
pub const HER_QUESTION: &str = "One-time password for alice@example.org: ";

/// Everything that runs; ended when dropped.
pub struct Site {
    /// Where mails arrive.
    pub server: SmtpServer,
    /// The daemon.
    pub verifier: Verifier,
    fobs: HashMap<String, Fob>,
    _sshd: Sshd,
}

impl Site {
    /// Alice, who asks, and carol, who decides and has a token.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same with more lines for the end of the configuration.
    pub fn start_with(more: &str) -> Self {
        let mut server = SmtpServer::new();
        let text = config(&format!("{}{}{SECTION}{more}", approved_by(&["carol"]), server.section()));
        let mut verifier = Verifier::prepare(&text);
        server.write_files();
        make_certificate();
        verifier.initialise();
        verifier.launch();
        server.start(Shows::Right);
        let mut site = Self { server, verifier, fobs: HashMap::new(), _sshd: Sshd::start() };
        add("alice");
        site.add("carol");
        site
    }

    /// Adds a person with a token that has a button.
    pub fn add(&mut self, name: &str) {
        add(name);
        let mut fob = Fob::with_button(&format!("88{:08}", self.fobs.len()));
        associated(&mut fob, name);
        self.fobs.insert(name.to_owned(), fob);
    }

    /// Has the approver tell the password from now on, instead of a mail. Whoever was signed in is no longer.
    ///
    /// # Panics
    /// When the daemon does not come back.
    pub fn be_strict(&mut self) {
        let text = fs::read_to_string(CONFIG).expect("the configuration");
        fs::write(CONFIG, text.replace("[access]\n", "[access]\nprofile = \"strict\"\n")).expect("it");
        assert!(self.verifier.stop().success(), "verifierd did not end well");
        self.verifier.launch();
    }

    /// Presses the button of somebody's token.
    ///
    /// # Panics
    /// When he has none.
    pub fn press(&mut self, name: &str) -> String {
        self.fobs.get_mut(name).expect("a token").press()
    }

    /// Signs somebody in, with mouse and keyboard.
    ///
    /// # Panics
    /// When he does not get in.
    #[track_caller]
    pub fn sign_in(&mut self, browser: &Browser, name: &str) {
        browser.open("/sign-in");
        browser.fill("#login", name);
        browser.fill("#password", PASSWORD);
        browser.click("main form button");
        browser.fill("#code", &self.press(name));
        browser.click("main form button");
        browser.expect_text("Sign out");
    }

    /// Asks for a password as alice by ssh, and hangs up as sshd does after its grace time; tells the number that stood
    /// at the prompt.
    ///
    /// * `word`: what she types, such as `request`.
    /// * `more`: what is asked then, besides her address, and what she says.
    ///
    /// # Panics
    /// When the prompt says something else.
    #[track_caller]
    pub fn ask(&self, word: &str, more: &[(&str, &str)]) -> String {
        let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
        terminal.expect(ANY_QUESTION);
        terminal.type_line(word);
        terminal.expect("Your e-mail address: ");
        terminal.type_line(ADDRESS);
        for (question, answer) in more {
            terminal.expect(question);
            terminal.type_line(answer);
        }
        let shown = terminal.expect(HER_QUESTION);
        terminal.hang_up();
        let number = shown.split("number ").nth(1).and_then(|rest| rest.get(..2));
        number.unwrap_or_else(|| panic!("no number in {shown}")).to_owned()
    }
}

/// The link in a mail whose path begins so.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn link(mail: &Mail, path: &str) -> String {
    let word = mail.text.split_whitespace().find_map(|word| word.strip_prefix(BASE)?.strip_prefix(path));
    format!("{path}{}", word.unwrap_or_else(|| panic!("no {path} in {mail:?}")))
}
