//! The demo: one machine, two users, every kind of login, all of it real. `cargo xtask demo` runs it in a sandbox.
//!
//! Time is real too: where a person would wait for the next one-time password, the demo waits.

#![forbid(unsafe_code)]

use std::io::{IsTerminal as _, Write as _};
use std::num::NonZeroU16;
use std::time::Duration;

use system_tests::authenticator::{Authenticator, enrol};
use system_tests::flows::{
    GRACE_QUESTION, NEXT_CODE_QUESTION, Outcome, QUESTION, SAY_WHO, SERIAL_QUESTION, console, reference_in,
    ssh_dialogue, ssh_login, ssh_outcome, sudo,
};
use system_tests::fob::{Fob, drawer};
use system_tests::machine::{ALICE, BOB, Machine};
use system_tests::sshd::{self, Sshd};
use system_tests::verifier::{Verifier, config};
use system_tests::{batch, postern, time};

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
    show(&postern::done(&["user", "show", ALICE.name]));

    let (phone, enrolment) = story.enrol();
    let code = wait_for_next_code(&phone);
    story.scene("alice logs in again: password and one-time password");
    story.login(ssh_login(ALICE, &code));
    story.scene("Somebody who looked over her shoulder uses both at once");
    let shown = story.refusal(ssh_login(ALICE, &code), "already used");
    story.scene("The administrator asks why");
    show(&postern::done(&["explain", &reference_in(&shown)]));
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
    story.hardware(&machine);

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

    /// A box of tokens with buttons: from the vendor's file to the token that got lost.
    fn hardware(&mut self, machine: &Machine) {
        let mut fobs = drawer(3);
        self.scene("A box of hardware tokens arrives, and a file: postern token import tokens.xml");
        let file = batch::file("tokens.xml", batch::pskc(&fobs));
        show(&postern::said(&postern::import(&file, &[])));
        show(&postern::done(&["token", "list"]));
        let fob = &mut fobs[0];

        self.scene("bob is handed one: postern user set bob --otp on --with token");
        postern::otp_on_with_token(BOB.name);
        self.scene("bob logs in by ssh; the prompt asks what stands on its back, and for a code");
        let answers = [(SERIAL_QUESTION, fob.serial.clone()), (QUESTION, fob.press())];
        self.login(dialogue(&answers));
        show(&postern::done(&["token", "show", &fob.serial]));
        self.scene("Nine presses in a pocket: the window takes them in");
        fob.press_and_lose(9);
        self.login(ssh_login(BOB, &fob.press()));
        self.scene("Thirty-seven presses: the prompt asks for one more code, and the token is in step again");
        fob.press_and_lose(37);
        let answers = [(QUESTION, fob.press()), (NEXT_CODE_QUESTION, fob.press())];
        self.login(dialogue(&answers));
        self.login(sudo(machine, BOB, &fob.press()));
        self.recovery(machine, fob);
    }

    /// The token is gone, and bob has his printed codes.
    fn recovery(&mut self, machine: &Machine, fob: &mut Fob) {
        self.scene("Ten recovery codes for bob's wallet: postern recovery regenerate bob");
        let codes = postern::recovery_codes(BOB.name);
        show(&codes.join("\n"));
        self.scene("The token lies at home; one of them lets him in, once");
        self.login(sudo(machine, BOB, &codes[0]));
        self.refusal(ssh_login(BOB, &codes[0]), "Reference ");
        self.scene("It does not lie at home: postern token lost");
        show(&postern::lost(&fob.serial));
        self.scene("Whoever found it gets nowhere");
        let shown = self.refusal(ssh_login(BOB, &fob.press()), "Access denied.");
        show(&postern::done(&["explain", &reference_in(&shown)]));
        show(&postern::done(&["user", "show", BOB.name]));
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

/// bob answers by ssh what he is asked.
fn dialogue(answers: &[(&str, String)]) -> Outcome {
    let answers: Vec<_> = answers.iter().map(|(question, answer)| (*question, answer.as_str())).collect();
    ssh_dialogue(BOB, &answers)
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
