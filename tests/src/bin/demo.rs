//! The demo: one machine, one user, every kind of login, all of it real. `cargo xtask demo` runs it in a sandbox.
//!
//! Time is real too: where a person would wait for the next one-time password, the demo waits.

#![forbid(unsafe_code)]

use std::io::{IsTerminal as _, Write as _};
use std::num::NonZeroU16;
use std::time::Duration;

use system_tests::authenticator::{Authenticator, enrol};
use system_tests::flows::{
    GRACE_QUESTION, Outcome, QUESTION, SAY_WHO, console, reference_in, ssh_login, ssh_outcome, sudo,
};
use system_tests::machine::{ALICE, Machine};
use system_tests::sshd::{self, Sshd};
use system_tests::verifier::{Verifier, config};
use system_tests::{postern, time};

/// Seconds in a time step of the demo's token.
const STEP_SECONDS: u64 = 30;

/// What was shown so far.
#[derive(Default)]
struct Story {
    scenes: u32,
    logins: u32,
    refusals: u32,
}

fn main() {
    let stay = !std::env::args().any(|argument| argument == "--once");
    let mut story = Story::default();

    story.scene("A machine with sshd, sudo and login, and verifierd beside them");
    let machine = Machine::new();
    let mut verifier = Verifier::prepare(&config("")).in_real_time();
    verifier.initialise();
    verifier.launch();
    let _sshd = Sshd::start();
    story.scene("The administrator: postern user set alice --otp on");
    postern::otp_on(ALICE.name);
    show(&String::from_utf8_lossy(&postern::run(&["user", "show", ALICE.name]).stdout));

    let (phone, enrolment) = story.enrol();
    let code = wait_for_next_code(&phone);
    story.scene("alice logs in again: password and one-time password");
    story.login(ssh_login(ALICE, &code));
    story.scene("Somebody who looked over her shoulder uses both at once");
    let shown = story.refusal(ssh_login(ALICE, &code), "already used");
    story.scene("The administrator asks why");
    show(&String::from_utf8_lossy(&postern::run(&["explain", &reference_in(&shown)]).stdout));
    story.scene("A wrong one-time password");
    story.refusal(ssh_login(ALICE, &phone.wrong_code(time::unix_now())), "Access denied.");
    story.scene("The one-time password of the login does not serve sudo");
    story.refusal(sudo(&machine, ALICE, &code), "already used");
    let code = wait_for_next_code(&phone);
    story.scene("sudo with another one");
    story.login(sudo(&machine, ALICE, &code));
    let code = wait_for_next_code(&phone);
    story.scene("The console");
    story.login(console(ALICE, &code));

    if stay {
        invite(&enrolment);
    }
    println!("demo: {} logins, {} refusals, all as expected", story.logins, story.refusals);
    if stay {
        // Until ^C, which ends the sandbox and everything in it.
        loop {
            std::thread::park();
        }
    }
}

impl Story {
    fn scene(&mut self, title: &str) {
        self.scenes += 1;
        println!("\n{:>2}. {title}", self.scenes);
    }

    /// The first login: the QR code, and the code that activates.
    fn enrol(&mut self) -> (Authenticator, String) {
        self.scene("alice logs in by ssh; the prompt enrols her authenticator app");
        let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
        let enrolment = terminal.expect(GRACE_QUESTION);
        let phone = enrol(&enrolment);
        terminal.type_line(&phone.code(time::unix_now()));
        self.login(ssh_outcome(terminal));
        assert!(postern::user(ALICE.name).activated, "the code activated the token");
        (phone, enrolment)
    }

    fn login(&mut self, outcome: Outcome) {
        show(&outcome.logged_in());
        self.logins += 1;
    }

    fn refusal(&mut self, outcome: Outcome, words: &str) -> String {
        let shown = outcome.refused();
        show(&shown);
        assert!(shown.contains(words), "refused, but without saying {words:?}");
        self.refusals += 1;
        shown
    }
}

/// What a terminal showed, set off from the story.
fn show(said: &str) {
    const ROWS: NonZeroU16 = NonZeroU16::new(200).expect("not zero");
    const COLUMNS: NonZeroU16 = NonZeroU16::new(200).expect("not zero");
    // Programs address a terminal; this is what it shows in the end.
    let mut screen = vt100::Parser::new(ROWS, COLUMNS, 0);
    screen.process(said.replace("\r\n", "\n").replace('\n', "\r\n").as_bytes());
    for line in screen.screen().contents().lines() {
        println!("    | {line}");
    }
}

/// Waits until the phone shows another one-time password.
fn wait_for_next_code(phone: &Authenticator) -> String {
    let begun = time::unix_now();
    let end = (begun / STEP_SECONDS + 1) * STEP_SECONDS;
    let terminal = std::io::stdout().is_terminal();
    if !terminal {
        println!("\n    waiting {} s for the next one-time password", end - begun);
    }
    let mut left_before = u64::MAX;
    let waited = time::wait_at_most(Duration::from_secs(2 * STEP_SECONDS), || {
        let left = end.saturating_sub(time::unix_now());
        if terminal && left != left_before {
            left_before = left;
            print!("\r    the next one-time password in {left:>2} s ");
            let _ = std::io::stdout().flush();
        }
        (left == 0).then_some(())
    });
    assert!(waited.is_some(), "the clock stands still");
    if terminal {
        println!();
    }
    phone.code(time::unix_now())
}

/// Tells a person how to try it with a phone.
fn invite(enrolment: &str) {
    // The number by which the machine knows this sandbox; isolate.sh sets it.
    let sandbox = std::env::var("POSTERN_SANDBOX_PID").unwrap_or_else(|_| "PID".to_owned());
    println!("\nYour turn. Scan this with an authenticator app:");
    println!("{}", enrolment.replace(GRACE_QUESTION, "").replace('\r', ""));
    println!("\nThen, as root in another terminal:\n");
    println!(
        "    nsenter -t {sandbox} -n ssh -p {} -o UserKnownHostsFile=/dev/null alice@127.0.0.1\n",
        sshd::PORT
    );
    println!("Password: {}; then what the app shows ({QUESTION}).", ALICE.password);
    println!("The same in the sandbox's own shell: nsenter -t {sandbox} -a login\n");
    println!("End with Ctrl-C: nothing of it stays on this machine.");
}
