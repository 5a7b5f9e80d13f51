//! Puts together what stands between a login and people: persons, their requests, offline passwords, and mails about these.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ledger::Ledger;

use super::StartError;
use crate::access::{self, AccessLetters, Requests, Shelf};
use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::config::Config;
use crate::hosts::Registrar;
use crate::keys::MasterKey;
use crate::mail::{self, Outbox};
use crate::notify::Notifier;
use crate::offline::{self, Maker, OfflineLetters};
use crate::people::keys::Keys;
use crate::people::{self, Directory, People, Roster};

/// What it is made of.
pub(super) struct Parts<'a> {
    pub ledger: &'a Arc<dyn Ledger>,
    pub clock: &'a Arc<dyn Clock>,
    pub config: &'a Arc<ArcSwap<Config>>,
    pub notifier: &'a Arc<Notifier>,
    pub accounts: &'a Arc<Accounts>,
    pub registrar: &'a Arc<Registrar>,
    pub master: &'a MasterKey,
}

/// What the ledger holds of it.
pub(super) struct Kept {
    pub roster: Roster,
    pub keys: Keys,
    pub requests: access::Loaded,
    pub mails: mail::Loaded,
    pub offline: offline::Loaded,
}

/// All of it, at work.
pub(super) struct Asking {
    pub people: Arc<People>,
    pub requests: Arc<Requests>,
    pub outbox: Arc<Outbox>,
    pub offline: Maker,
}

impl Parts<'_> {
    /// Goes on with what the ledger holds.
    pub(super) fn asking(self, mut kept: Kept) -> Result<Asking, StartError> {
        let Self { ledger, clock, config, notifier, accounts, registrar, master } = self;
        let directory = match &config.load().directory {
            Some(wanted) => Some(Directory::open(wanted, master, Arc::clone(clock))?),
            None => None,
        };
        let known = people::Tools {
            roster: Arc::new(kept.roster),
            keys: Arc::new(kept.keys),
            ledger: Arc::clone(ledger),
            clock: Arc::clone(clock),
            notifier: Arc::clone(notifier),
            directory,
        };
        let people = Arc::new(People::new(known, master));
        let shelf = Shelf::new(kept.requests, master, Arc::clone(clock));
        let of_requests = AccessLetters::new(Arc::clone(&shelf), Arc::clone(config));
        let universal = kept.offline.take_universal();
        let passwords = offline::Shelf::new(kept.offline, master, Arc::clone(clock));
        let of_offline = OfflineLetters::new(Arc::clone(&passwords), Arc::clone(registrar));
        let known = mail::Tools {
            ledger: Arc::clone(ledger),
            clock: Arc::clone(clock),
            config: Arc::clone(config),
            letters: vec![Arc::new(of_requests), Arc::new(of_offline)],
        };
        let outbox = Outbox::new(kept.mails, known)?;
        let known = offline::Tools {
            ledger: Arc::clone(ledger),
            clock: Arc::clone(clock),
            notifier: Arc::clone(notifier),
            outbox: Arc::clone(&outbox),
        };
        let offline = Maker::new(passwords, universal, known, master);
        let known = access::Tools {
            ledger: Arc::clone(ledger),
            clock: Arc::clone(clock),
            people: Arc::clone(&people),
            registrar: Arc::clone(registrar),
            accounts: Arc::clone(accounts),
            config: Arc::clone(config),
            notifier: Arc::clone(notifier),
            outbox: Arc::clone(&outbox),
        };
        Ok(Asking { people, requests: Requests::new(known, shelf), outbox, offline })
    }
}
