use std::collections::BTreeSet;

use ledger::Stored;
use ledger::memory::MemoryLedger;
use offline_password::{Asked, Deadline, Duration, Redeemed, Refusal as Denied, Services, Typed};

use super::*;
use crate::clock::ManualClock;
use crate::hosts::{HostId, HostName};

const NOON: u64 = 1_800_014_400;

fn host(number: u8) -> HostIdentity {
    let id = HostId::from_bytes([number; 16]);
    HostIdentity { id, name: HostName::new(&format!("web{number}")).unwrap(), group: None }
}

/// A verifier on a store.
fn maker(ledger: &Arc<MemoryLedger>, master: &MasterKey) -> Maker {
    let mut loaded = Loaded::default();
    let take = &mut |stored: Stored| {
        if let Stored::Record(record) = &stored {
            loaded.take(record).unwrap();
        }
    };
    ledger.load_each(take).unwrap();
    let tools = Tools {
        ledger: Arc::clone(ledger) as Arc<dyn Ledger>,
        clock: Arc::new(ManualClock::at(NOON)),
        notifier: Arc::new(Notifier::new(None)),
    };
    Maker::new(loaded, tools, master)
}

fn one() -> (Arc<MemoryLedger>, MasterKey, Maker) {
    let (ledger, master) = (Arc::new(MemoryLedger::new()), MasterKey::generate().unwrap());
    let maker = maker(&ledger, &master);
    (ledger, master, maker)
}

fn wish(host: HostIdentity) -> NewPassword {
    let term = Term::Preset { duration: Duration::Hours2, before: Deadline::new(NOON + 12 * 3_600).unwrap() };
    let purpose = Purpose::Access(Services::All);
    NewPassword {
        host,
        purpose,
        user: None,
        term,
        why: Some("the line is cut".into()),
        by: "ann (admin)".into(),
    }
}

fn opens(key: &HostKey, password: &OfflinePassword, redeemed: &Redeemed) -> Result<u64, Denied> {
    let asked = Asked { user: "alice", service: "sshd", is_file_transfer: false, now: NOON };
    let redemption = Typed::read(password.expose()).unwrap().check(key, &asked, redeemed)?;
    Ok(redemption.grant.counter)
}

// covers: D01, N1, N3
#[tokio::test]
async fn a_password_opens_the_host_that_it_was_made_for_under_its_present_key() {
    let (ledger, master, maker) = one();
    assert!(matches!(maker.make(wish(host(1))).await, Err(MakeError::NoKey { .. })));
    let [first, other] = [maker.give_key(host(1)).await.unwrap(), maker.give_key(host(2)).await.unwrap()];
    let (record, password) = maker.make(wish(host(1))).await.unwrap();
    assert_eq!((record.counter, record.epoch, record.usable_until()), (1, 1, NOON + 12 * 3_600));
    let nothing = Redeemed::default();
    assert_eq!(opens(&first.key, &password, &nothing), Ok(1));
    assert_eq!(opens(&other.key, &password, &nothing), Err(Denied::Foreign));
    // Set up anew, also by a verifier that was started anew.
    let maker = self::maker(&ledger, &master);
    let second = maker.give_key(host(1)).await.unwrap();
    assert_eq!(second.epoch, 2);
    assert_eq!(opens(&second.key, &password, &nothing), Err(Denied::Foreign));
    let (record, password) = maker.make(wish(host(1))).await.unwrap();
    assert_eq!((record.counter, opens(&second.key, &password, &nothing)), (1, Ok(1)));
    assert_eq!(maker.of_host(&host(1)).len(), 2);
}

// covers: D16
#[tokio::test]
async fn two_verifiers_at_one_moment_make_two_passwords() {
    let (ledger, master, first) = one();
    let key = first.give_key(host(1)).await.unwrap().key;
    let second = maker(&ledger, &master);
    let mut redeemed = Redeemed::default();
    for round in 0..50 {
        let made = tokio::join!(first.make(wish(host(1))), second.make(wish(host(1))));
        let mut counters = BTreeSet::new();
        for (record, password) in [made.0.unwrap(), made.1.unwrap()] {
            let counter = opens(&key, &password, &redeemed).unwrap();
            assert_eq!(counter, record.counter);
            redeemed = redeemed.with(counter);
            counters.insert(counter);
        }
        assert_eq!(counters.len(), 2, "round {round}");
    }
    assert_eq!(redeemed.highest(), 100);
}

// covers: D09
#[tokio::test]
async fn what_a_host_says_of_a_use_is_noted_once_and_revoked_ones_are_not_open() {
    let (ledger, master, maker) = one();
    maker.give_key(host(1)).await.unwrap();
    for _ in 0..3 {
        maker.make(wish(host(1))).await.unwrap();
    }
    let (user, service) = ("alice".to_owned(), "sshd".to_owned());
    let used = Used { epoch: 1, counter: 2, user, service, at: NOON, until: NOON + 60 };
    for _ in 0..2 {
        maker.note_use(host(1), used.clone()).await.unwrap();
    }
    let other = Used { counter: 9, ..used.clone() };
    assert!(matches!(
        maker.note_use(host(1), other).await,
        Err(MakeError::NoSuchPassword { counter: 9, .. })
    ));
    let other = Used { epoch: 2, ..used };
    assert!(matches!(maker.note_use(host(1), other).await, Err(MakeError::NoSuchPassword { .. })));
    maker.revoke(host(1), 3, "ann (admin)".into()).await.unwrap();
    for counter in [2, 3] {
        let again = maker.revoke(host(1), counter, "ann (admin)".into()).await;
        assert!(matches!(again, Err(MakeError::NotOpen { .. })), "{counter}");
    }
    let states = |maker: &Maker| {
        let name = |record: &Arc<PasswordRecord>| match record.standing {
            Standing::Open => "open",
            Standing::Used { .. } => "used",
            Standing::Revoked { .. } => "revoked",
        };
        maker.of_host(&host(1)).iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(states(&maker), ["revoked", "used", "open"]);
    assert_eq!(states(&self::maker(&ledger, &master)), ["revoked", "used", "open"]);
}

// covers: N3
#[tokio::test]
async fn no_more_are_made_than_a_host_can_tell_apart() {
    let (_ledger, _master, maker) = one();
    let key = maker.give_key(host(1)).await.unwrap().key;
    for _ in 0..COUNTERS_AHEAD_MAX {
        maker.make(wish(host(1))).await.unwrap();
    }
    assert!(matches!(maker.make(wish(host(1))).await, Err(MakeError::TooManyOpen { .. })));
    let (user, service) = ("alice".to_owned(), "sshd".to_owned());
    let used = Used { epoch: 1, counter: 5, user, service, at: NOON, until: NOON };
    maker.note_use(host(1), used).await.unwrap();
    for counter in 129..=133 {
        let (record, password) = maker.make(wish(host(1))).await.unwrap();
        assert_eq!(
            (record.counter, opens(&key, &password, &Redeemed::default().with(5))),
            (counter, Ok(counter))
        );
    }
    assert!(matches!(maker.make(wish(host(1))).await, Err(MakeError::TooManyOpen { .. })));
}

// covers: N9
#[tokio::test]
async fn a_reason_is_kept_and_can_be_shown() {
    let (_ledger, _master, maker) = one();
    maker.give_key(host(1)).await.unwrap();
    for why in ["x".repeat(257), "a\u{202e}b".into(), "a\nb".into()] {
        let odd = NewPassword { why: Some(why), ..wish(host(1)) };
        assert!(matches!(maker.make(odd).await, Err(MakeError::Why)));
    }
    let (record, _) = maker.make(wish(host(1))).await.unwrap();
    assert_eq!((record.why.as_deref(), record.by.as_str()), (Some("the line is cut"), "ann (admin)"));
}
