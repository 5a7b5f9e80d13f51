//! What the users of a long run do: log in, type again, mistype, hang up, come back too late.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use wire::login::Next;

use crate::authenticator::Authenticator;
use crate::chance::Chance;
use crate::flows::activated;
use crate::history::{Answer, SharedHistory};
use crate::login_socket::{Dialogue, Login, random_id};
use crate::machine::Machine;
use crate::soak::{HASTE, Settings};
use crate::time::{DaemonClock, now, wait_at_most};
use crate::verifier::Verifier;
use crate::verify_socket::VerifyConnection;

/// How many act at once.
const WORKERS: usize = 16;

/// Seconds in a time step of the phones.
const STEP_SECONDS: u64 = 30;

/// How many seconds of the daemon's clock pass until an answer is too late for its dialogue, which lives 300.
const TOO_LATE_SECONDS: u64 = 330;

/// What can be done, with how many of a hundred.
const MIX: [(Deed, usize); 9] = [
    (Deed::Verify, 52),
    (Deed::Converse, 12),
    (Deed::Replay, 12),
    (Deed::Mistype, 8),
    (Deed::Retry, 4),
    (Deed::HangUp, 4),
    (Deed::BreakOff, 3),
    (Deed::ComeBackLate, 3),
    (Deed::Stranger, 2),
];

/// How often each deed was done, by name.
pub type Done = BTreeMap<&'static str, u64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// A right code, without a dialogue.
    Verify,
    /// A right code at a prompt.
    Converse,
    /// The newest code once more.
    Replay,
    /// A wrong code.
    Mistype,
    /// A right code in a request that is sent twice.
    Retry,
    /// A prompt that is never answered.
    HangUp,
    /// Half a request.
    BreakOff,
    /// An answer after the dialogue has expired.
    ComeBackLate,
    /// A name that nobody has, another one each time.
    Stranger,
}

/// Users, and what they were told.
pub struct Load {
    users: Vec<(String, Mutex<Authenticator>)>,
    pause: Duration,
    history: SharedHistory,
    done: [AtomicU64; MIX.len()],
    strangers: AtomicU64,
}

impl Load {
    /// Makes the users and enrols their phones.
    pub fn enrol(machine: &Machine, verifier: &Verifier, settings: &Settings) -> Self {
        let names = machine.add_bare_users("soak", settings.users);
        let users = names.into_iter().map(|name| {
            let phone = activated(verifier, &name);
            (name, Mutex::new(phone))
        });
        Self {
            users: users.collect(),
            pause: Duration::from_secs(WORKERS as u64) / settings.each_second as u32,
            history: SharedHistory::default(),
            done: Default::default(),
            strangers: AtomicU64::new(0),
        }
    }

    /// Everything that clients were told.
    pub fn history(&self) -> &SharedHistory {
        &self.history
    }

    /// How often each thing was done.
    pub fn done(&self) -> Done {
        let counts = self.done.iter().map(|count| count.load(Ordering::Relaxed));
        MIX.iter().map(|(deed, _)| deed.name()).zip(counts).collect()
    }

    /// Loads the daemon, and hastens its clock, while something goes on.
    pub fn run<T>(&self, clock: &DaemonClock, meanwhile: impl FnOnce() -> T) -> T {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| hasten(clock, &over));
            for number in 0..WORKERS {
                let (over, seed) =
                    (&over, number as u64 + self.history.with(|history| history.answered() as u64));
                scope.spawn(move || Worker::new(self, clock, seed).work(over));
            }
            let _end = EndOnDrop(&over);
            meanwhile()
        })
    }
}

/// Moves the daemon's clock a time step at once, as often as makes [`HASTE`].
fn hasten(clock: &DaemonClock, over: &AtomicBool) {
    let mut next = now();
    while !over.load(Ordering::Relaxed) {
        // Our own second passes too.
        clock.advance(STEP_SECONDS as i64);
        next += Duration::from_secs(STEP_SECONDS) / (HASTE as u32 - 1);
        wait_until(next);
    }
}

fn wait_until(moment: Instant) {
    wait_at_most(moment.saturating_duration_since(now()), || None::<()>);
}

struct Worker<'a> {
    load: &'a Load,
    clock: &'a DaemonClock,
    chance: Chance,
    connection: Option<VerifyConnection>,
    /// Dialogues that are answered too late, with the moment.
    waiting: VecDeque<(u64, Dialogue)>,
}

impl<'a> Worker<'a> {
    fn new(load: &'a Load, clock: &'a DaemonClock, seed: u64) -> Self {
        Self { load, clock, chance: Chance::new(seed), connection: None, waiting: VecDeque::new() }
    }

    fn work(mut self, over: &AtomicBool) {
        let mut next = now();
        while !over.load(Ordering::Relaxed) {
            let (index, deed) = self.choose();
            match self.act(deed) {
                Ok(()) => drop(self.load.done[index].fetch_add(1, Ordering::Relaxed)),
                // The daemon was killed: nothing is known, and the next connection is a new one.
                Err(_) => self.connection = None,
            }
            // What was late is not made up for: a daemon that restarts is not met by a flood.
            next = (next + self.load.pause).max(now() - Duration::from_secs(1));
            wait_until(next);
        }
    }

    fn choose(&mut self) -> (usize, Deed) {
        let mut left = self.chance.below(100);
        for (index, (deed, percent)) in MIX.iter().enumerate() {
            if left < *percent {
                return (index, *deed);
            }
            left -= percent;
        }
        unreachable!("the mix adds up to a hundred")
    }

    fn act(&mut self, deed: Deed) -> io::Result<()> {
        let load = self.load;
        // One login of a user at a time, so that a refusal has one reason: his lock is held until he has his answer.
        let (name, phone) = &load.users[self.chance.below(load.users.len())];
        let phone = phone.lock().unwrap_or_else(PoisonError::into_inner);
        let login = Login::by_ssh(name).from(&self.address());
        let code = phone.code(self.clock.unix_now());
        match deed {
            Deed::Verify | Deed::Replay => self.verify(&login, &code),
            Deed::Mistype => self.verify(&login, &phone.wrong_code(self.clock.unix_now())),
            Deed::Retry => self.retry(&login, &code),
            Deed::Converse => {
                let dialogue = login.begin()?;
                let reply = dialogue.answer(&code)?;
                Answer::of_reply(name, &code, &reply)
                    .into_iter()
                    .for_each(|answer| load.history.push(answer));
                Ok(())
            }
            Deed::HangUp => login.begin().map(drop),
            Deed::BreakOff => {
                let mut stream = UnixStream::connect(wire::LOGIN_SOCKET)?;
                stream
                    .write_all(b"POST /v1/verify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200\r\n\r\n{")
            }
            Deed::ComeBackLate => self.come_back_late(&login, &code),
            Deed::Stranger => {
                let number = load.strangers.fetch_add(1, Ordering::Relaxed);
                self.verify(
                    &Login::by_ssh(&format!("stranger{number}")).from(&login.rhost.unwrap_or_default()),
                    &code,
                )
            }
        }
    }

    fn verify(&mut self, login: &Login, code: &str) -> io::Result<()> {
        let answer = self.connection()?.verify(login, code)?;
        self.load.history.push(answer);
        Ok(())
    }

    /// The same request twice: the second answer is the first one, and counts once.
    fn retry(&mut self, login: &Login, code: &str) -> io::Result<()> {
        let id = random_id()?;
        let mut told = None;
        for _ in 0..2 {
            let connection = self.connection()?;
            connection.ask(login, code, &id)?;
            let answer = connection.answer(login, code, &id)?;
            // A verdict that has been forgotten meanwhile, by a restart or in the haste of the clock, is a new one, and
            // must not be a second accept: the history checker sees to that.
            if told.as_ref() != Some(&answer.reference) {
                told = Some(answer.reference.clone());
                self.load.history.push(answer);
            }
        }
        Ok(())
    }

    fn come_back_late(&mut self, login: &Login, code: &str) -> io::Result<()> {
        let dialogue = login.begin()?;
        let is_open = matches!(dialogue.reply.next, Next::Ask { .. });
        // Read behind the reply: the dialogue is at least as old as this says.
        let now = self.clock.unix_now();
        if is_open {
            self.waiting.push_back((now, dialogue));
        }
        while let Some((_, dialogue)) =
            self.waiting.pop_front_if(|(begun, _)| *begun + TOO_LATE_SECONDS <= now)
        {
            // Expiry at use: whatever a sweep has or has not done, this is no login.
            if let Ok(reply) = dialogue.answer(code) {
                panic!("a dialogue that had expired was answered: {reply:?}");
            }
        }
        Ok(())
    }

    fn connection(&mut self) -> io::Result<&mut VerifyConnection> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            none => Ok(none.insert(VerifyConnection::open()?)),
        }
    }

    /// Always from elsewhere, so that what is kept for each source is seen to be forgotten.
    fn address(&mut self) -> String {
        let number = self.chance.number();
        format!("10.{}.{}.{}", number & 0xff, (number >> 8) & 0xff, (number >> 16) & 0xff)
    }
}

impl Deed {
    fn name(self) -> &'static str {
        match self {
            Self::Verify => "verified",
            Self::Converse => "logged_in_at_a_prompt",
            Self::Replay => "sent_again",
            Self::Mistype => "mistyped",
            Self::Retry => "retried",
            Self::HangUp => "hung_up",
            Self::BreakOff => "broke_off",
            Self::ComeBackLate => "came_back_late",
            Self::Stranger => "unknown_names",
        }
    }
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
