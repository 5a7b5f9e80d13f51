//! Reads the ledger once, and hands each part what is its own.

use std::sync::Arc;

use ledger::{Ledger, Stored};

use super::StartError;
use super::asking::Kept;
use crate::accounts::{Accounts, Leftovers, Loader};
use crate::clock::Clock;
use crate::engine::throttle::Throttles;
use crate::keys::{IndexHasher, MasterKey, Sealer};
use crate::people::keys::Keys;
use crate::people::{PersonRecordError, Roster};
use crate::{access, hosts, mail, offline, person_keys, sessions};

/// What a start reads the ledger with.
pub(super) struct Loading {
    pub ledger: Arc<dyn Ledger>,
    pub sealer: Arc<Sealer>,
    pub clock: Arc<dyn Clock>,
    pub throttles: Throttles,
    pub names: IndexHasher,
}

/// What was in the ledger.
pub(super) struct Loaded {
    pub accounts: Arc<Accounts>,
    pub throttles: Arc<Throttles>,
    pub leftovers: Leftovers,
    pub fleet: hosts::table::Loaded,
    pub sessions: sessions::Loaded,
    pub asking: Kept,
    pub person_keys: person_keys::Loaded,
}

impl Loading {
    pub(super) fn new(
        master: &MasterKey,
        ledger: &Arc<dyn Ledger>,
        sealer: &Arc<Sealer>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            sealer: Arc::clone(sealer),
            clock: Arc::clone(clock),
            throttles: Throttles::new(IndexHasher::new(master, "throttles")),
            names: IndexHasher::new(master, "user names"),
        }
    }

    /// Reads everything once, on a thread that may wait.
    pub(super) fn load(self) -> Result<Loaded, StartError> {
        let Self { ledger, sealer, clock, throttles, names } = self;
        let accounts = Arc::new(Accounts::new(names));
        let mut loader = Loader::new(&accounts, &sealer);
        let (mut fleet, mut sessions) = (hosts::table::Loaded::default(), sessions::Loaded::default());
        let keys = Keys::default();
        let (roster, mut requests, mut mails) =
            (Roster::default(), access::Loaded::default(), mail::Loaded::default());
        let (mut program_keys, mut offline) = (person_keys::Loaded::default(), offline::Loaded::default());
        let mut fault = None;
        ledger.load_each(&mut |stored| {
            if fault.is_some() {
                return;
            }
            if let Stored::Record(record) = &stored {
                throttles.take(record, &*clock);
                fault = fleet.take(record, &*clock).map_err(StartError::from).err();
                fault = fault.take().or_else(|| sessions.take(record).map_err(StartError::from).err());
                fault = fault.take().or_else(|| roster.take(record).map_err(StartError::from).err());
                fault = fault.take().or_else(|| {
                    keys.take(record).map_err(PersonRecordError::from).map_err(StartError::from).err()
                });
                fault = fault.take().or_else(|| requests.take(record).map_err(StartError::from).err());
                fault = fault.take().or_else(|| mails.take(record).map_err(StartError::from).err());
                fault = fault.take().or_else(|| program_keys.take(record).map_err(StartError::from).err());
                fault = fault.take().or_else(|| offline.take(record).map_err(StartError::from).err());
            }
            fault = fault.take().or_else(|| loader.take(&stored).map_err(StartError::from).err());
        })?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        let leftovers = loader.finish()?;
        roster.settle();
        requests.look_at_newest_line(&*ledger)?;
        let throttles = Arc::new(throttles);
        let asking = Kept { roster, keys, requests, mails, offline };
        let person_keys = program_keys;
        Ok(Loaded { accounts, throttles, leftovers, fleet, sessions, asking, person_keys })
    }
}
