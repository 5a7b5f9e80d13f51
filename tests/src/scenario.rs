//! A fault while people log in: the frame of every scenario with the whole daemon.
//!
//! ```text
//! Scenario::start(4)              a fresh daemon, people with phones and with button tokens
//!     .strike(|verifier| ...)     everybody logs in again and again while the fault happens
//!     .recover()                  the daemon anew; every code that was ever sent, once more
//!     .strike(..).recover() ...
//!     .finish()                   the history checker over all of it
//! ```

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use wire::login::{Next, Verdict};

use crate::authenticator::Authenticator;
use crate::chance::Chance;
use crate::flows::{activated, associated};
use crate::fob::Fob;
use crate::history::{Answer, Evidence, History, SharedHistory};
use crate::login_socket::{Dialogue, Login};
use crate::machine::Machine;
use crate::postern;
use crate::time::DaemonClock;
use crate::verifier::{Verifier, config};
use crate::verify_socket::VerifyConnection;

/// Seconds in a time step of the rig's phones.
const STEP_SECONDS: i64 = 30;

/// How many of a hundred tries are wrong, and how many use a code again.
const WRONG_PERCENT: usize = 10;
const REPLAY_PERCENT: usize = 20;

/// Seconds by which the clock goes on after a fault: past quarantine and past any wait of a few failures.
const RECOVERY_SECONDS: i64 = 4_000;

/// How many of a person's codes are sent once more after a fault, newest first. A hundred wrong ones would disable
/// his token, and most of them are wrong by then.
const RESUBMITTED_MAX: usize = 40;

/// A daemon, people who log in, and everything that they were told.
pub struct Scenario {
    /// The daemon; a fault may end it.
    pub verifier: Verifier,
    people: Vec<Person>,
    history: SharedHistory,
    seed: u64,
    // Last, so that the users outlive the daemon.
    _machine: Machine,
}

/// Somebody who logs in, with what he holds and all that he ever sent.
struct Person {
    name: String,
    holds: Mutex<Holds>,
    sent: Mutex<BTreeSet<Sent>>,
}

enum Holds {
    Phone(Authenticator),
    Fob(Fob),
}

/// A code by its step or counter, so that the newest are last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sent {
    factor: u64,
    code: String,
}

impl Scenario {
    /// A fresh daemon on a clock of its own; half of the people hold phones, half button tokens.
    ///
    /// Waits run on that clock too, so that no failure slows the run.
    pub fn start(people: usize) -> Self {
        Self::start_as(people, Verifier::with_stepped_waits)
    }

    /// The same with waits in real time, for a clock that jumps back: the one that waits are measured on never does.
    pub fn start_with_real_waits(people: usize) -> Self {
        Self::start_as(people, |verifier| verifier)
    }

    fn start_as(people: usize, settle: impl FnOnce(Verifier) -> Verifier) -> Self {
        let machine = Machine::new();
        let mut verifier = settle(Verifier::prepare(&config("")));
        verifier.initialise();
        verifier.launch();
        let names = machine.add_bare_users("user", people);
        let people = names.into_iter().enumerate().map(|(number, name)| {
            let holds = if number % 2 == 0 {
                Holds::Phone(activated(&verifier, &name))
            } else {
                let serial = format!("26{number:010}");
                let mut fob = Fob::with_button(&serial).shaped(otp_core::Algorithm::Sha1, 8);
                associated(&mut fob, &name);
                Holds::Fob(fob)
            };
            Person { name, holds: Mutex::new(holds), sent: Mutex::default() }
        });
        let people = people.collect();
        let history = SharedHistory::default();
        Self { verifier, people, history, seed: 0, _machine: machine }
    }

    /// Has everybody log in again and again while the fault happens, and until it has.
    ///
    /// The clock goes on a step whenever the fault lets it: see [`pass_steps`].
    pub fn strike<T>(&mut self, fault: impl FnOnce(&mut Verifier) -> T) -> T {
        let over = AtomicBool::new(false);
        let (clock, history, people) = (self.verifier.clock.clone(), &self.history, &self.people);
        self.seed += 1;
        let seed = self.seed;
        thread::scope(|scope| {
            for (number, person) in people.iter().enumerate() {
                let (over, clock) = (&over, &clock);
                scope.spawn(move || {
                    let mut chance = Chance::new(seed * 1_000 + number as u64);
                    while !over.load(Ordering::Relaxed) {
                        // Without an answer nothing is known, and the next try finds out more.
                        let _ = person.log_in(clock, history, &mut chance);
                    }
                });
            }
            // A fault that panics must end the load too, else the scope waits for ever.
            let _end = EndOnDrop(&over);
            fault(&mut self.verifier)
        })
    }

    /// Starts the daemon anew if it has ended, judges, sends every code once more, and lets time pass.
    ///
    /// Whatever comes of that is judged in the end: a code that was accepted before must not be, now or ever.
    ///
    /// # Panics
    /// With every contradiction, and when the daemon does not start.
    pub fn recover(&mut self) {
        if !self.verifier.is_running() {
            self.verifier.reap();
            self.verifier.launch();
        }
        let evidence = Evidence::of_daemon();
        self.history.with(|history| {
            // Now, while the failures that were told are still counted: what follows clears them.
            history.judge(&evidence);
            history.saw(&evidence);
        });
        self.resubmit_into(&self.history);
        for person in &self.people {
            // Old codes are wrong codes after a while, and are counted as such.
            postern::unlock(&person.name);
        }
        self.verifier.clock.advance(RECOVERY_SECONDS);
    }

    /// Judges everything.
    ///
    /// * `accepts_min`: how many logins must have been accepted, else this was no load.
    ///
    /// # Panics
    /// With every contradiction.
    #[track_caller]
    pub fn finish(self, accepts_min: usize) {
        let evidence = Evidence::of_daemon();
        self.history.with(|history| {
            history.judge(&evidence);
            let (answers, accepts) = (history.answered(), history.accepted());
            assert!(accepts >= accepts_min, "only {accepts} accepts: this was no load");
            println!(
                "{answers} answers, {accepts} accepts, {} records: no contradiction",
                evidence.trail.len()
            );
        });
    }

    /// What clients had been told by some moment, by the bytes that the daemon had sent until then.
    pub fn history_told_by<'a>(&self, said: impl Iterator<Item = &'a [u8]>) -> History {
        const MARK: &[u8] = b"\"reference\":\"";
        const REFERENCE_BYTES: usize = 9;
        let mut told = BTreeSet::new();
        for bytes in said {
            let found = bytes.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
            for (at, _) in found {
                let reference = bytes[at + MARK.len()..].get(..REFERENCE_BYTES).unwrap_or_default();
                told.insert(String::from_utf8_lossy(reference).into_owned());
            }
        }
        self.history.with(|history| history.only(|answer| told.contains(&answer.reference)))
    }

    /// Sends every code once more, and adds what is told to another history than the scenario's own.
    pub fn resubmit_into(&self, history: &SharedHistory) {
        thread::scope(|scope| {
            for person in &self.people {
                scope.spawn(|| person.resubmit(history));
            }
        });
    }

    /// How many answers there are so far.
    pub fn answered(&self) -> usize {
        self.history.with(|history| history.answered())
    }
}

/// Lets the daemon's clock go on step by step until something is so: phones show fresh codes all the while.
///
/// # Panics
/// When it is not so after [`crate::time::PATIENCE`].
pub fn pass_steps<T>(clock: &DaemonClock, what: &str, mut until: impl FnMut() -> Option<T>) -> T {
    crate::time::wait_for(what, || {
        clock.advance(STEP_SECONDS);
        until()
    })
}

impl Person {
    /// One login: by dialogue for a button token, which may be asked for two codes; without for a phone.
    fn log_in(&self, clock: &DaemonClock, history: &SharedHistory, chance: &mut Chance) -> io::Result<()> {
        let login = Login::by_ssh(&self.name);
        if chance.percent(REPLAY_PERCENT)
            && let Some(Sent { code, .. }) = self.newest(1).pop()
        {
            history.push(VerifyConnection::open()?.verify(&login, &code)?);
            return Ok(());
        }
        let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.unix_now();
        let is_wrong = chance.percent(WRONG_PERCENT);
        match &mut *holds {
            Holds::Phone(phone) => {
                let code = if is_wrong { phone.wrong_code(now) } else { phone.code(now) };
                if !is_wrong {
                    self.note(now / STEP_SECONDS as u64, &code);
                }
                history.push(VerifyConnection::open()?.verify(&login, &code)?);
            }
            Holds::Fob(fob) if is_wrong => {
                history.push(VerifyConnection::open()?.verify(&login, &fob.wrong_code(now))?);
            }
            Holds::Fob(fob) => history.push(self.press(fob, login.begin()?)?),
        }
        Ok(())
    }

    /// A login with a button token by dialogue.
    fn press(&self, fob: &mut Fob, mut dialogue: Dialogue) -> io::Result<Answer> {
        loop {
            let code = fob.value(fob.counter());
            if matches!(dialogue.reply.next, Next::Ask { .. }) {
                self.note(fob.counter(), &code);
            }
            let reply = dialogue.answer(&code)?;
            let answer = Answer::of_reply(&self.name, &code, &reply);
            // A code that nobody looked at is still the next one; one that got no answer at all may be used up, and
            // is then refused as used.
            let is_undecided = answer.as_ref().is_some_and(|answer| answer.verdict == Verdict::Unavailable);
            if !is_undecided && !is_throttled(&reply.show) {
                fob.press_and_lose(1);
            }
            // After an unclean stop two codes are asked for, once.
            match answer {
                Some(answer) => return Ok(answer),
                None => dialogue.reply = reply,
            }
        }
    }

    fn note(&self, factor: u64, code: &str) {
        let sent = Sent { factor, code: code.to_owned() };
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).insert(sent);
    }

    fn newest(&self, count: usize) -> Vec<Sent> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter().rev().take(count).cloned().collect()
    }

    fn resubmit(&self, history: &SharedHistory) {
        for Sent { code, .. } in self.newest(RESUBMITTED_MAX) {
            let answer =
                VerifyConnection::open().and_then(|mut it| it.verify(&Login::by_ssh(&self.name), &code));
            let answer = answer.expect("the daemon answers again");
            assert_ne!(answer.verdict, Verdict::NotRequired, "{} needs a code", self.name);
            history.push(answer);
        }
    }
}

fn is_throttled(show: &[String]) -> bool {
    show.iter().any(|line| line.contains("Too many attempts"))
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
