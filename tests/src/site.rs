//! A whole site: sshd with the module, a daemon with pages and mails, a mail server, and persons with tokens.

use std::collections::HashMap;
use std::fs;

use crate::api::make_certificate;
use crate::browser::Browser;
use crate::flows::{SAY_WHO, answer_all, associated};
use crate::fob::Fob;
use crate::machine::ALICE;
use crate::pages::{BASE, SECTION, Visitor};
use crate::persons::{PASSWORD, add, approved_by};
use crate::slapd::Slapd;
use crate::smtp::{Mail, Shows, SmtpServer};
use crate::sshd::{self, Sshd};
use crate::terminal::Terminal;
use crate::verifier::{CONFIG, Verifier, config};

/// Where alice reads her mails.
pub const ADDRESS: &str = "alice@example.org";
/// Asked of whoever has no token.
pub const ANY_QUESTION: &str = "One-time password: ";
/// Asked of alice, once she has said who she is.
pub const HER_QUESTION: &str = "One-time password for alice@example.org: ";
/// Asked of whoever asks for a password, where an approver decides.
pub const ADDRESS_QUESTION: &str = "Your e-mail address: ";
/// Asked of him where persons of our own records are mailed one at once.
pub const LOGIN_QUESTION: &str = "Your login name: ";
/// Asked of him then.
pub const PASSWORD_QUESTION: &str = "Your password: ";

/// Everything that runs; ended when dropped.
pub struct Site {
    /// Where mails arrive.
    pub server: SmtpServer,
    /// The daemon.
    pub verifier: Verifier,
    fobs: HashMap<String, Fob>,
    sshd: Option<Sshd>,
}

impl Site {
    /// Alice, who asks, and carol, who decides and has a token.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same with more lines for the end of the configuration.
    pub fn start_with(more: &str) -> Self {
        let mut site = Self::launch(&approved_by(&["carol"]), more, None, |verifier| verifier);
        add("alice");
        site.add("carol");
        site
    }

    /// Nobody yet, another section `[access]`, and waits on the clock that the test moves.
    pub fn start_as(access: &str, more: &str) -> Self {
        Self::launch(access, more, None, Verifier::with_stepped_waits)
    }

    /// The same, with the persons of a directory.
    pub fn start_with_directory(access: &str, slapd: &Slapd) -> Self {
        Self::launch(access, &Slapd::section(true, ""), Some(slapd), Verifier::with_stepped_waits)
    }

    fn launch(
        access: &str,
        more: &str,
        slapd: Option<&Slapd>,
        settle: impl FnOnce(Verifier) -> Verifier,
    ) -> Self {
        let mut server = SmtpServer::new();
        let text = config(&format!("{access}{}{SECTION}{more}", server.section()));
        let mut verifier = settle(Verifier::prepare(&text));
        server.write_files();
        slapd.iter().for_each(|slapd| slapd.write_files());
        make_certificate();
        verifier.initialise();
        verifier.launch();
        server.start(Shows::Right);
        Self { server, verifier, fobs: HashMap::new(), sshd: Some(Sshd::start()) }
    }

    /// Has sshd run with other settings from now on.
    ///
    /// * `changes`: keywords of sshd_config and their values.
    pub fn change_sshd(&mut self, changes: &[(&str, &str)]) {
        // The one before lets go of the port.
        drop(self.sshd.take());
        self.sshd = Some(Sshd::start_with(changes));
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
        self.sign_in_here(browser, name);
    }

    /// The same on the page for it that is open.
    ///
    /// # Panics
    /// When he does not get in.
    #[track_caller]
    pub fn sign_in_here(&mut self, browser: &Browser, name: &str) {
        browser.fill("#login", name);
        browser.fill("#password", PASSWORD);
        browser.click("main form button");
        browser.fill("#code", &self.press(name));
        browser.click("main form button");
        browser.expect_text("Sign out");
    }

    /// Somebody who has signed in, as `curl` sees the pages.
    ///
    /// # Panics
    /// When he does not get in, or has the same cookie after a step as before.
    #[track_caller]
    pub fn visitor(&mut self, name: &str) -> Visitor {
        let visitor = Visitor::new(name);
        let half_way = visitor.post("/sign-in", &[("login", name), ("password", PASSWORD)]);
        assert_eq!((half_way.status, half_way.header("location")), (303, Some("/sign-in")), "{half_way:?}");
        let before = visitor.cookie();
        let page = visitor.get("/sign-in");
        let form = page.form_word().expect("a form").to_owned();
        let code = self.press(name);
        let signed_in = visitor.post("/sign-in/code", &[("form", &form), ("code", &code)]);
        assert_eq!((signed_in.status, signed_in.header("location")), (303, Some("/")), "{signed_in:?}");
        assert_ne!(visitor.cookie(), before, "another name after each step");
        visitor
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
        terminal.expect(ADDRESS_QUESTION);
        terminal.type_line(ADDRESS);
        for (question, answer) in more {
            terminal.expect(question);
            terminal.type_line(answer);
        }
        let shown = terminal.expect(HER_QUESTION);
        terminal.hang_up();
        number_in(&shown)
    }
}

/// Asks, at a prompt that asks for an issued password, for one that is mailed to whoever knows his password.
///
/// # Panics
/// When something else is asked.
pub fn ask_with_password(terminal: &mut Terminal, login: &str) {
    let answers = [(ANY_QUESTION, "request"), (LOGIN_QUESTION, login), (PASSWORD_QUESTION, PASSWORD)];
    answer_all(terminal, &answers);
}

/// The number of a request, as a prompt tells it.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn number_in(shown: &str) -> String {
    let number = shown.split("number ").nth(1).and_then(|rest| rest.get(..2));
    number.unwrap_or_else(|| panic!("no number in {shown}")).to_owned()
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
