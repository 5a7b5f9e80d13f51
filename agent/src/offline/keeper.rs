//! What a verifier gave this host for its offline passwords: the key, what is enabled, whom to call; and the desk that goes by
//! it.
//!
//! All of it is root's alone, in the folder of the record. The key is written after the record that begins with it: whatever a
//! crash leaves between the two is a record of another key, which opens nothing, and asks for the next key.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::BASE64;
use offline_password::HostKey;
use owned_files::{Access, OpenError, read_ours};
use serde::{Deserialize, Serialize};
use wire::offline::{OfflineKey, OfflineOrders, OfflineUse};
use zeroize::{Zeroize as _, Zeroizing};

use super::desk::{Desk, Terms};
use super::moment::{Latest, Moment};
use super::store::{Places, Store, StoreError, replace};

/// The key, and what is written before it takes its place.
const KEY: &str = "key";
const KEY_BESIDE: &str = "key.new";

/// What is enabled, likewise.
const ORDERS: &str = "orders";
const ORDERS_BESIDE: &str = "orders.new";

/// How this host stands, for the agent that tells a verifier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The number of the key that it can check with; absent where it can check nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// How often what it keeps has changed.
    pub generation: u64,
    /// The highest counter that was used or revoked.
    #[serde(default)]
    pub highest: u64,
    /// What no verifier has heard of.
    #[serde(default)]
    pub uses: Vec<OfflineUse>,
    /// Why it can check nothing, with what helps; absent where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Whether it is to check any.
    pub is_enabled: bool,
    /// Whom to call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
}

/// Why orders were not taken over.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The record, or a file beside it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not a key.
    #[error("the key that came is none: 32 bytes in base 64 are needed")]
    Key,
}

/// What is enabled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Enabled {
    is_enabled: bool,
    has_resets: bool,
    contact: Option<String>,
}

/// Keeps it.
#[derive(Debug)]
pub struct Keeper {
    places: Places,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    /// The number of the key, and who goes by it; or why there is nobody.
    desk: Result<(u32, Arc<Desk>), String>,
    enabled: Enabled,
}

impl Keeper {
    /// Reads what is there. What is missing, damaged or older than it was opens nothing, and says so.
    pub fn open(places: Places) -> Self {
        let enabled = read_enabled(&places).unwrap_or_default();
        let desk = open_desk(&places, &enabled).map_err(|error| error.to_string());
        if let Err(fault) = &desk {
            tracing::warn!(fault, "no offline password opens this host");
        }
        Self { places, inside: Mutex::new(Inside { desk, enabled }) }
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let Enabled { is_enabled, contact, .. } = inside.enabled.clone();
        match &inside.desk {
            Err(fault) => Standing { fault: Some(fault.clone()), is_enabled, contact, ..Standing::default() },
            Ok((epoch, desk)) => {
                let (generation, highest, uses) = desk.told();
                let told = |used: super::kept::Use| OfflineUse {
                    counter: used.counter,
                    user: used.user,
                    service: used.service,
                    at: used.at,
                    until: used.until,
                };
                let uses = uses.into_iter().map(told).collect();
                Standing { epoch: Some(*epoch), generation, highest, uses, fault: None, is_enabled, contact }
            }
        }
    }

    /// Who decides now; nobody where nothing is enabled, or can be decided.
    pub fn desk(&self) -> Option<Arc<Desk>> {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let desk = inside.desk.as_ref().ok().filter(|_| inside.enabled.is_enabled);
        desk.map(|(_, desk)| Arc::clone(desk))
    }

    /// Takes over what a verifier says, durably. Blocks while the disk works.
    ///
    /// # Errors
    /// See [`KeeperError`]. What was there before goes on as far as it is known to be on disk.
    pub fn obey(&self, orders: &OfflineOrders, moment: &Moment) -> Result<(), KeeperError> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let (is_enabled, has_resets) = (orders.is_enabled, orders.has_resets);
        let enabled = Enabled { is_enabled, has_resets, contact: orders.contact.clone() };
        if enabled != inside.enabled {
            let text = serde_json::to_vec(&enabled).expect("switches and a text");
            replace(&self.places.folder, ORDERS_BESIDE, ORDERS, &text)?;
            if let Ok((_, desk)) = &inside.desk {
                desk.change_terms(terms(&enabled));
            }
            inside.enabled = enabled;
        }
        if let Some(given) = &orders.key {
            let key = read_key(given)?;
            // Of two desks, each would take for unused what the other one let in by.
            if let Ok((_, former)) = &inside.desk {
                former.close();
            }
            inside.desk = Err("a key is being taken over".into());
            let latest = Latest::new(orders.clock, moment);
            let began = Store::begin(self.places.clone(), key, given.epoch, latest);
            let store = began.inspect_err(|error| inside.desk = Err(error.to_string()))?;
            write_key(&self.places, given).inspect_err(|error| inside.desk = Err(error.to_string()))?;
            inside.desk = Ok((given.epoch, Arc::new(Desk::new(store, terms(&inside.enabled)))));
            tracing::info!(epoch = given.epoch, "a key for offline passwords was taken over");
            return Ok(());
        }
        if let Ok((_, desk)) = &inside.desk {
            desk.heed(&orders.noted, &orders.revoked, moment)?;
        }
        Ok(())
    }
}

fn terms(enabled: &Enabled) -> Terms {
    Terms { anchor: None, has_resets: enabled.has_resets }
}

fn open_desk(places: &Places, enabled: &Enabled) -> Result<(u32, Arc<Desk>), StoreError> {
    let path = places.folder.join(KEY);
    let damaged = || StoreError::Damaged { path: path.clone() };
    let text = Zeroizing::new(read_ours(&path, Access::OnlyOurs).map_err(|error| match error {
        OpenError::Missing { path } => StoreError::Missing { path },
        error => StoreError::Read(error),
    })?);
    let mut kept: OfflineKey = serde_json::from_slice(&text).map_err(|_| damaged())?;
    let key = read_key(&kept).map_err(|_| damaged());
    kept.key.zeroize();
    let store = Store::open(places.clone(), key?, kept.epoch)?;
    Ok((kept.epoch, Arc::new(Desk::new(store, terms(enabled)))))
}

fn read_key(given: &OfflineKey) -> Result<HostKey, KeeperError> {
    let bytes = Zeroizing::new(BASE64.decode(given.key.as_bytes()).map_err(|_| KeeperError::Key)?);
    let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| KeeperError::Key)?;
    Ok(HostKey::new(Zeroizing::new(bytes)))
}

fn write_key(places: &Places, given: &OfflineKey) -> Result<(), StoreError> {
    let mut text = Zeroizing::new(Vec::with_capacity(256));
    serde_json::to_writer(&mut *text, given).expect("a number and a text");
    replace(&places.folder, KEY_BESIDE, KEY, &text)
}

fn read_enabled(places: &Places) -> Option<Enabled> {
    let path: PathBuf = places.folder.join(ORDERS);
    let text = read_ours(&path, Access::OnlyOurs).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use offline_password::{Deadline, Duration, Grant, OfflinePassword, Purpose, Services, Term};

    use super::super::desk::{Opened, Refused};
    use super::super::grants::Login;
    use super::super::moment::moment;
    use super::super::store::tests::{Host, key};
    use super::super::tries::Place;
    use super::*;

    const NOON: u64 = 1_800_014_400;
    const SSH: Login<'static> = Login { user: "alice", service: "sshd", is_file_transfer: false };

    fn at(seconds: u64) -> Moment {
        moment(NOON + seconds, "a", seconds)
    }

    fn orders(epoch: Option<u32>) -> OfflineOrders {
        let key = epoch.map(|epoch| OfflineKey {
            epoch,
            key: BASE64.encode(key(u8::try_from(epoch).unwrap()).expose()),
        });
        OfflineOrders {
            api_version: wire::API_VERSION,
            host: String::new(),
            clock: NOON,
            is_enabled: true,
            key,
            noted: Vec::new(),
            revoked: Vec::new(),
            has_resets: false,
            contact: Some("call 4711".into()),
        }
    }

    fn password(epoch: u8, counter: u64) -> String {
        let term = Term::Preset { duration: Duration::Hours1, before: Deadline::new(NOON + 43_200).unwrap() };
        let grant = Grant { purpose: Purpose::Access(Services::All), user: None, term, counter };
        OfflinePassword::make(&key(epoch), &grant).expose().to_owned()
    }

    fn give(keeper: &Keeper, typed: &str, seconds: u64) -> Result<Opened, Refused> {
        keeper.desk().expect("a desk").redeem(&SSH, Place::Elsewhere, typed, &at(seconds))
    }

    // covers: N1, D09
    #[test]
    fn a_host_goes_by_the_key_that_it_was_given_and_tells_what_was_used() {
        let host = Host::new();
        let keeper = Keeper::open(host.places.clone());
        let standing = keeper.standing();
        assert!(standing.epoch.is_none() && standing.fault.is_some() && keeper.desk().is_none());
        keeper.obey(&orders(Some(1)), &at(0)).unwrap();
        assert!(give(&keeper, &password(1, 1), 1).is_ok());
        // After a start too, which knows what was used.
        let keeper = Keeper::open(host.places.clone());
        let standing = keeper.standing();
        assert_eq!(
            (standing.epoch, standing.fault, standing.contact.as_deref()),
            (Some(1), None, Some("call 4711"))
        );
        assert_eq!(standing.uses.iter().map(|used| used.counter).collect::<Vec<_>>(), [1]);
        assert!(give(&keeper, &password(1, 1), 2).is_err());
        // Once a verifier has it on record it is not told again; what is revoked opens nothing.
        let heard = OfflineOrders { noted: vec![1], revoked: vec![2], ..orders(None) };
        keeper.obey(&heard, &at(3)).unwrap();
        let generation = keeper.standing().generation;
        keeper.obey(&heard, &at(4)).unwrap();
        assert_eq!(
            (keeper.standing().generation, keeper.standing().uses),
            (generation, vec![]),
            "said again"
        );
        assert!(give(&keeper, &password(1, 2), 5).is_err());
        assert!(give(&Keeper::open(host.places.clone()), &password(1, 2), 6).is_err());
    }

    // covers: D02, N3
    #[test]
    fn another_key_ends_what_was_made_before_and_a_former_one_is_not_taken() {
        let host = Host::new();
        let keeper = Keeper::open(host.places.clone());
        keeper.obey(&orders(Some(1)), &at(0)).unwrap();
        keeper.obey(&orders(Some(2)), &at(1)).unwrap();
        assert!(give(&keeper, &password(1, 1), 2).is_err());
        assert!(give(&keeper, &password(2, 1), 3).is_ok());
        let former = keeper.desk().expect("a desk");
        assert!(keeper.obey(&orders(Some(1)), &at(4)).is_err());
        let late = former.redeem(&SSH, Place::Elsewhere, &password(2, 2), &at(5));
        assert!(matches!(late, Err(Refused::Store(_))), "whoever came before finds it closed: {late:?}");
        assert_eq!(Keeper::open(host.places.clone()).standing().epoch, Some(2), "it goes on after a start");
    }

    // covers: D15
    #[test]
    fn a_file_that_is_missing_or_damaged_opens_nothing_and_says_what_helps() {
        for (name, text) in
            [("key", None), ("key", Some("{}")), ("state", None), ("state", Some("x")), ("orders", None)]
        {
            let host = Host::new();
            let keeper = Keeper::open(host.places.clone());
            keeper.obey(&orders(Some(1)), &at(0)).unwrap();
            let path = host.places.folder.join(name);
            match text {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let keeper = Keeper::open(host.places.clone());
            assert!(keeper.desk().is_none(), "{name} {text:?}");
            let standing = keeper.standing();
            assert!(
                name == "orders" || standing.fault.is_some_and(|fault| fault.contains("another key")),
                "{name}"
            );
            // What a verifier gives then mends it.
            keeper.obey(&orders(Some(2)), &at(1)).unwrap();
            assert!(give(&keeper, &password(2, 1), 2).is_ok(), "{name} {text:?}");
        }
    }

    // covers: N1
    #[test]
    fn where_nothing_is_enabled_nobody_decides() {
        let host = Host::new();
        let keeper = Keeper::open(host.places.clone());
        keeper.obey(&orders(Some(1)), &at(0)).unwrap();
        keeper.obey(&OfflineOrders { is_enabled: false, ..orders(None) }, &at(1)).unwrap();
        assert!(keeper.desk().is_none() && Keeper::open(host.places.clone()).desk().is_none());
        keeper.obey(&orders(None), &at(2)).unwrap();
        assert!(give(&keeper, &password(1, 1), 3).is_ok());
        let odd = OfflineOrders { key: Some(OfflineKey { epoch: 3, key: "AAAA".into() }), ..orders(None) };
        assert!(matches!(keeper.obey(&odd, &at(4)), Err(KeeperError::Key)));
        assert!(give(&keeper, &password(1, 2), 5).is_ok(), "what was there goes on");
    }

    // covers: N11, D03
    #[test]
    fn what_is_enabled_later_holds_at_the_same_desk() {
        let host = Host::new();
        let keeper = Keeper::open(host.places.clone());
        keeper.obey(&orders(Some(1)), &at(0)).unwrap();
        let desk = keeper.desk().expect("a desk");
        let term =
            Term::Preset { duration: Duration::Minutes15, before: Deadline::new(NOON + 43_200).unwrap() };
        let grant = Grant { purpose: Purpose::LockoutReset, user: None, term, counter: 1 };
        let reset = OfflinePassword::make(&key(1), &grant).expose().to_owned();
        let give = |seconds| desk.redeem(&SSH, Place::Elsewhere, &reset, &at(seconds));
        assert!(matches!(give(1), Err(Refused::NoResets)));
        keeper.obey(&OfflineOrders { has_resets: true, ..orders(None) }, &at(2)).unwrap();
        assert!(matches!(give(3), Ok(Opened::Again)));
        assert!(Arc::ptr_eq(&desk, &keeper.desk().unwrap()), "there is never a second one");
    }
}
