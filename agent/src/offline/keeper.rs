//! What a verifier gave this host for its offline passwords: the key, what is enabled, whom to call; and the desk that goes by
//! it.
//!
//! All of it is root's alone, in the folder of the record. The key is written after the record that begins with it: whatever a
//! crash leaves between the two is a record of another key, which opens nothing, and asks for the next key.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::BASE64;
use offline_password::HostKey;
use offline_password::universal::Anchor;
use owned_files::{Access, OpenError, read_ours};
use serde::{Deserialize, Serialize};
use wire::offline::{OfflineAnchor, OfflineKey, OfflineOrders, OfflineUse};
use zeroize::{Zeroize as _, Zeroizing};

use super::desk::{Desk, Terms};
use super::moment::{Latest, Moment};
use super::store::{Places, Store, StoreError, replace};
use crate::clock::UnixTime;

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
    /// Whether it is to check any, as far as it was told.
    pub is_enabled: bool,
    /// Whom to call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Until when passwords that were used still let somebody in; absent where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_until: Option<UnixTime>,
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
#[serde(default)]
struct Enabled {
    is_enabled: bool,
    has_resets: bool,
    contact: Option<String>,
    file_transfer_services: Vec<String>,
    asks_within_grants: bool,
    universal: Option<OfflineAnchor>,
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
    /// None before a verifier said anything, or where that was lost: nothing is checked then.
    enabled: Option<Enabled>,
}

impl Keeper {
    /// Reads what is there. What is missing, damaged or older than it was opens nothing, and says so.
    pub fn open(places: Places) -> Self {
        let enabled = read_enabled(&places);
        let desk = open_desk(&places, enabled.as_ref()).map_err(|error| error.to_string());
        if let Err(fault) = &desk {
            tracing::warn!(fault, "no offline password opens this host");
        }
        Self { places, inside: Mutex::new(Inside { desk, enabled }) }
    }

    /// How it stands.
    pub fn standing(&self, moment: &Moment) -> Standing {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.mend(&self.places);
        let is_enabled = inside.enabled.as_ref().is_none_or(|enabled| enabled.is_enabled);
        let contact = inside.enabled.as_ref().and_then(|enabled| enabled.contact.clone());
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
                let (epoch, frozen_until) = (Some(*epoch), desk.frozen_until(moment));
                Standing { epoch, generation, highest, uses, fault: None, is_enabled, contact, frozen_until }
            }
        }
    }

    /// Whom to call.
    pub fn contact(&self) -> Option<String> {
        self.enabled(|enabled| enabled.contact.clone())
    }

    /// Whether the logins of a PAM service only move files.
    pub fn is_file_transfer(&self, service: &str) -> bool {
        self.enabled(|enabled| enabled.file_transfer_services.iter().any(|known| known == service))
    }

    /// Whether a verifier that can be reached is asked about logins that a password still lets in.
    pub fn asks_within_grants(&self) -> bool {
        self.enabled(|enabled| enabled.asks_within_grants)
    }

    fn enabled<T>(&self, look: impl FnOnce(&Enabled) -> T) -> T {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        look(inside.enabled.as_ref().unwrap_or(&Enabled::default()))
    }

    /// Who decides now; nobody where nothing is enabled, or can be decided.
    pub fn desk(&self) -> Option<Arc<Desk>> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.mend(&self.places);
        let is_enabled = inside.enabled.as_ref().is_some_and(|enabled| enabled.is_enabled);
        let desk = inside.desk.as_ref().ok().filter(|_| is_enabled);
        desk.map(|(_, desk)| Arc::clone(desk))
    }

    /// Takes over what a verifier says, durably. Blocks while the disk works.
    ///
    /// # Errors
    /// See [`KeeperError`]. What was there before goes on as far as it is known to be on disk.
    pub fn obey(&self, orders: &OfflineOrders, moment: &Moment) -> Result<(), KeeperError> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let enabled = Enabled {
            is_enabled: orders.is_enabled,
            has_resets: orders.has_resets,
            contact: orders.contact.clone(),
            file_transfer_services: orders.file_transfer_services.clone(),
            asks_within_grants: orders.asks_within_grants,
            universal: orders.universal.clone(),
        };
        if inside.enabled.as_ref() != Some(&enabled) {
            let text = serde_json::to_vec(&enabled).expect("switches and a text");
            replace(&self.places.folder, ORDERS_BESIDE, ORDERS, &text)?;
            if let Ok((_, desk)) = &inside.desk {
                desk.change_terms(terms(Some(&enabled)));
            }
            inside.enabled = Some(enabled);
        }
        if let Some(given) = &orders.key {
            let key = read_key(given)?;
            if let Ok((known, _)) = inside.desk
                && known >= given.epoch
            {
                return Err(StoreError::FormerKey { epoch: given.epoch, known }.into());
            }
            // Of two desks, each would take for unused what the other one let in by.
            if let Ok((_, former)) = &inside.desk {
                former.close();
            }
            inside.desk = Err("a key is being taken over".into());
            let latest = Latest::new(orders.clock, moment);
            let began = Store::begin(self.places.clone(), key, given.epoch, latest);
            let store = began.inspect_err(|error| inside.desk = Err(error.to_string()))?;
            write_key(&self.places, given).inspect_err(|error| inside.desk = Err(error.to_string()))?;
            inside.desk = Ok((given.epoch, Arc::new(Desk::new(store, terms(inside.enabled.as_ref())))));
            tracing::info!(epoch = given.epoch, "a key for offline passwords was taken over");
            return Ok(());
        }
        if let Ok((_, desk)) = &inside.desk {
            desk.heed(orders, moment)?;
        }
        Ok(())
    }
}

impl Inside {
    /// Where nothing can be decided, or a change could not be kept, what is on disk is read anew, as by a start: nobody was let in
    /// by that change.
    fn mend(&mut self, places: &Places) {
        if self.desk.as_ref().is_ok_and(|(_, desk)| !desk.is_unknown()) {
            return;
        }
        let opened = open_desk(places, self.enabled.as_ref()).map_err(|error| error.to_string());
        match (&self.desk, &opened) {
            (Err(before), Err(fault)) if before == fault => {}
            (_, Err(fault)) => tracing::error!(fault, "no offline password opens this host"),
            (_, Ok((epoch, _))) => tracing::warn!(epoch, "offline passwords are checked again"),
        }
        self.desk = opened;
    }
}

fn terms(enabled: Option<&Enabled>) -> Terms {
    let Some(enabled) = enabled else { return Terms::default() };
    let anchor = enabled.universal.as_ref().and_then(|told| {
        let anchor = read_anchor(told);
        if anchor.is_none() {
            tracing::error!("what checks universal passwords cannot be read: none opens this host");
        }
        anchor
    });
    Terms { anchor, has_resets: enabled.has_resets }
}

fn read_anchor(told: &OfflineAnchor) -> Option<Anchor> {
    let bytes = |text: &str| BASE64.decode(text.as_bytes()).ok()?.try_into().ok();
    let (fleet, link): ([u8; 16], [u8; 16]) = (bytes(&told.fleet)?, bytes(&told.link)?);
    Some(Anchor::new(fleet, told.hour, u128::from_be_bytes(link)))
}

fn open_desk(places: &Places, enabled: Option<&Enabled>) -> Result<(u32, Arc<Desk>), StoreError> {
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
            ended: Vec::new(),
            has_resets: false,
            contact: Some("call 4711".into()),
            file_transfer_services: vec!["sshd-files".into()],
            asks_within_grants: true,
            universal: None,
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
        let standing = keeper.standing(&at(9));
        assert!(standing.epoch.is_none() && standing.fault.is_some() && keeper.desk().is_none());
        keeper.obey(&orders(Some(1)), &at(0)).unwrap();
        assert!(give(&keeper, &password(1, 1), 1).is_ok());
        // After a start too, which knows what was used.
        let keeper = Keeper::open(host.places.clone());
        let standing = keeper.standing(&at(9));
        assert_eq!(
            (standing.epoch, standing.fault, standing.contact.as_deref()),
            (Some(1), None, Some("call 4711"))
        );
        assert_eq!(standing.uses.iter().map(|used| used.counter).collect::<Vec<_>>(), [1]);
        assert!(give(&keeper, &password(1, 1), 2).is_err());
        // Once a verifier has it on record it is not told again; what is revoked opens nothing.
        let heard = OfflineOrders { noted: vec![1], revoked: vec![2], ..orders(None) };
        keeper.obey(&heard, &at(3)).unwrap();
        let generation = keeper.standing(&at(9)).generation;
        keeper.obey(&heard, &at(4)).unwrap();
        assert_eq!(
            (keeper.standing(&at(9)).generation, keeper.standing(&at(9)).uses),
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
        for taken in [1, 2] {
            assert!(keeper.obey(&orders(Some(taken)), &at(4)).is_err());
        }
        assert!(give(&keeper, &password(2, 2), 5).is_ok(), "the present one goes on");
        keeper.obey(&orders(Some(3)), &at(6)).unwrap();
        let late = former.redeem(&SSH, Place::Elsewhere, &password(2, 3), &at(7));
        assert!(matches!(late, Err(Refused::Store(_))), "whoever came before finds it closed: {late:?}");
        assert_eq!(
            Keeper::open(host.places.clone()).standing(&at(9)).epoch,
            Some(3),
            "it goes on after a start"
        );
    }

    // covers: D15
    #[test]
    fn after_a_change_that_could_not_be_kept_what_is_on_disk_is_read_anew() {
        let host = Host::new();
        let keeper = Keeper::open(host.places.clone());
        keeper.obey(&orders(Some(1)), &at(0)).unwrap();
        let beside = host.places.folder.with_extension("gone");
        fs::rename(&host.places.folder, &beside).unwrap();
        assert!(matches!(give(&keeper, &password(1, 1), 1), Err(Refused::Store(_))), "the disk is gone");
        let standing = keeper.standing(&at(2));
        assert!(standing.epoch.is_none() && standing.fault.is_some(), "{standing:?}");
        fs::rename(&beside, &host.places.folder).unwrap();
        assert!(give(&keeper, &password(1, 1), 4).is_ok(), "without a start");
        assert!(give(&keeper, &password(1, 1), 5).is_err());
    }

    // covers: D06, N7
    #[test]
    fn a_verifier_says_how_late_it_is_and_ends_what_was_given() {
        let host = Host::new();
        let keeper = Keeper::open(host.places.clone());
        keeper.obey(&orders(Some(1)), &at(0)).unwrap();
        // A clock that is far ahead closes nothing for ever.
        assert!(give(&keeper, &password(1, 1), 3 * 24 * 3_600).is_err());
        assert!(matches!(give(&keeper, &password(1, 1), 5), Err(Refused::ClockBehind { .. })));
        keeper.obey(&orders(None), &at(6)).unwrap();
        assert!(give(&keeper, &password(1, 1), 7).is_ok());
        // What it was told outlives a start with a clock that was put back.
        let later = OfflineOrders { clock: NOON + 100 * 3_600, ..orders(None) };
        keeper.obey(&later, &at(8)).unwrap();
        let keeper = Keeper::open(host.places.clone());
        let back = moment(NOON + 9, "b", 9);
        let refused = keeper.desk().unwrap().redeem(&SSH, Place::Elsewhere, &password(1, 2), &back);
        assert!(matches!(refused, Err(Refused::ClockBehind { .. })), "{refused:?}");
        keeper.obey(&orders(None), &at(10)).unwrap();
        assert!(give(&keeper, &password(1, 3), 11).is_ok());
        assert!(keeper.desk().unwrap().granted(&SSH, &at(12)).unwrap().is_some());
        keeper.obey(&OfflineOrders { ended: vec![1, 3], ..orders(None) }, &at(13)).unwrap();
        assert!(keeper.desk().unwrap().granted(&SSH, &at(14)).unwrap().is_none(), "it was ended");
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
            let standing = keeper.standing(&at(9));
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
