//! A maker on a store, without a service around it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ledger::memory::MemoryLedger;
use ledger::{Ledger, Stored};

use super::{Loaded, Maker, Shelf, Tools};
use crate::clock::ManualClock;
use crate::config::Config;
use crate::keys::MasterKey;
use crate::mail::{self, Outbox};
use crate::notify::Notifier;

/// A verifier that starts on what is stored.
pub fn start(ledger: &Arc<MemoryLedger>, master: &MasterKey, clock: &Arc<ManualClock>) -> Maker {
    let (mut loaded, mut mails) = (Loaded::default(), mail::Loaded::default());
    let take = &mut |stored: Stored| {
        if let Stored::Record(record) = &stored {
            loaded.take(record).unwrap();
            mails.take(record).unwrap();
        }
    };
    ledger.load_each(take).unwrap();
    let sending = mail::Tools {
        ledger: Arc::clone(ledger) as _,
        clock: Arc::clone(clock) as _,
        config: Arc::new(ArcSwap::from_pointee(Config::parse("version = 1").unwrap())),
        letters: Vec::new(),
    };
    let tools = Tools {
        ledger: Arc::clone(ledger) as _,
        clock: Arc::clone(clock) as _,
        notifier: Arc::new(Notifier::new(None)),
        outbox: Outbox::new(mails, sending).unwrap(),
    };
    let universal = loaded.take_universal();
    let shelf = Shelf::new(loaded, master, Arc::clone(clock) as _);
    Maker::new(shelf, universal, tools, master)
}
