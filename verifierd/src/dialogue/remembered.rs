//! Who gave a code at a terminal a moment ago, and is not asked again there for some minutes.
//!
//! Per service, and only where the configuration says so. What is remembered is one user at one service, asked for by
//! one account, in one session of one terminal of one host: never an address, and never where there is no terminal. It
//! ends with its time, with the session, with any change of the user's tokens, and with the daemon.

use std::time::Duration;

use crate::accounts::User;
use crate::engine::RequestKey;
use crate::expiry::{Fate, Figures, Swept, Table};
use crate::keys::IndexHasher;
use crate::login::Login;

/// Most that is remembered at once, some 0.1 kB each. Beyond, users are asked again.
const MEMORIES_MAX: usize = 1_000_000;

/// Terminals where a code was given.
#[derive(Debug)]
pub struct Remembered(Table<Memory>);

#[derive(Debug)]
struct Memory {
    until: Duration,
    /// What the user had then.
    holdings: RequestKey,
}

/// A user at a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtTerminal {
    place: RequestKey,
    holdings: RequestKey,
}

impl AtTerminal {
    /// `None` where the login has no terminal, or the host does not say which session of it this is.
    pub fn of(login: &Login, user: &User, hasher: &IndexHasher) -> Option<Self> {
        let (tty, session) = (login.tty.as_deref()?, login.session.as_deref()?);
        let host = login.host.as_ref().map(|host| host.id.bytes());
        let host = host.as_ref().map_or(&b"here"[..], |host| host);
        // Who asks: the account that runs sudo or su. A login that names none is its user's own.
        let person = login.ruser.as_deref().unwrap_or_default();
        let user_id = user.id.0.to_be_bytes();
        let parts: [&[u8]; 7] = [
            b"remembered",
            host,
            &user_id,
            person.as_bytes(),
            login.service.as_bytes(),
            tty.as_bytes(),
            session.as_bytes(),
        ];
        let tokens: Vec<_> =
            user.tokens.iter().map(|token| (token.credential().0, token.is_usable())).collect();
        let mut held: Vec<&[u8]> = vec![b"holdings"];
        for (credential, is_usable) in &tokens {
            held.extend([&credential[..], if *is_usable { b"usable" } else { b"not" }]);
        }
        Some(Self { place: hasher.key(&parts), holdings: hasher.key(&held) })
    }
}

impl Remembered {
    /// Nothing yet.
    ///
    /// * `name`: what metrics call it.
    pub fn new(name: &'static str) -> Self {
        Self(Table::new(name))
    }

    /// Whether something happens for the first time within a period, which begins then.
    pub fn is_first(&self, what: RequestKey, now: Duration, period: Duration) -> bool {
        let at = AtTerminal { place: what, holdings: what };
        let is_first = !self.holds(at, now);
        if is_first {
            self.keep(at, now, period);
        }
        is_first
    }

    /// As if it had not happened.
    pub fn forget(&self, what: &RequestKey) {
        self.0.forget_if(what, |_| true);
    }

    /// A code was accepted here.
    pub fn keep(&self, at: AtTerminal, now: Duration, period: Duration) {
        if self.0.len() >= MEMORIES_MAX && !self.0.contains(&at.place) {
            return;
        }
        let until = now.saturating_add(period);
        let new = || Memory { until, holdings: at.holdings };
        self.0.enter(at.place, until, new, |memory| *memory = Memory { until, holdings: at.holdings });
    }

    /// Whether a code was accepted here not long ago, and the user's tokens are what they were.
    pub fn holds(&self, at: AtTerminal, now: Duration) -> bool {
        self.0.look(&at.place, |memory| now < memory.until && memory.holdings == at.holdings).unwrap_or(false)
    }

    /// Forgets up to `most` that are over.
    pub fn sweep(&self, now: Duration, most: usize) -> Swept {
        let fate =
            |memory: &mut Memory| if now >= memory.until { Fate::Forget } else { Fate::Keep(memory.until) };
        self.0.sweep(now, most, fate, |_| ())
    }

    /// Counts what a sweep took.
    pub fn took(&self, time: Duration) {
        self.0.took(time);
    }

    /// What was counted.
    pub fn figures(&self) -> Figures {
        self.0.figures()
    }
}
