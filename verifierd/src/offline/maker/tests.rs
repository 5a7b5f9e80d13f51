use std::collections::BTreeSet;

use ledger::memory::MemoryLedger;
use offline_password::{Asked, Deadline, Duration, Redeemed, Refusal as Denied, Services, Typed, Window};

use super::*;
use crate::clock::ManualClock;
use crate::hosts::{HostId, HostName};
use crate::offline::trial;

const NOON: u64 = 1_800_014_400;

fn host(number: u8) -> HostIdentity {
    let id = HostId::from_bytes([number; 16]);
    HostIdentity { id, name: HostName::new(&format!("web{number}")).unwrap(), group: None }
}

/// A verifier on a store, at noon.
fn maker(ledger: &Arc<MemoryLedger>, master: &MasterKey) -> Maker {
    maker_at(ledger, master, NOON)
}

fn maker_at(ledger: &Arc<MemoryLedger>, master: &MasterKey, now: UnixTime) -> Maker {
    trial::start(ledger, master, &Arc::new(ManualClock::at(now)))
}

/// A verifier that begins, whose clock is stepped.
fn clocked(ledger: &Arc<MemoryLedger>, master: &MasterKey) -> (Maker, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(NOON));
    (trial::start(ledger, master, &clock), clock)
}

fn one() -> (Arc<MemoryLedger>, MasterKey, Maker) {
    let (ledger, master) = (Arc::new(MemoryLedger::new()), MasterKey::generate().unwrap());
    let maker = maker(&ledger, &master);
    (ledger, master, maker)
}

/// What a host says that has a key, and nothing else.
fn has(epoch: u32) -> Said {
    Said { epoch: Some(epoch), ..Said::default() }
}

/// Gives a host another key, and hears that it has it.
async fn give_key(maker: &Maker, host: HostIdentity) -> HostKeyOf {
    let given = maker.hear(host.clone(), Said::default(), true).await.unwrap().key.expect("a key");
    assert!(maker.hear(host, has(given.epoch), true).await.unwrap().key.is_none());
    given
}

/// Tells of a use.
async fn note(maker: &Maker, host: HostIdentity, used: Used) -> Vec<u64> {
    let said = Said { uses: vec![used], ..has(1) };
    maker.hear(host, said, true).await.unwrap().noted
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
        mail: None,
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
    let [first, other] = [give_key(&maker, host(1)).await, give_key(&maker, host(2)).await];
    let (record, password) = maker.make(wish(host(1))).await.unwrap();
    assert_eq!((record.counter, record.epoch, record.usable_until()), (1, 1, NOON + 12 * 3_600));
    let nothing = Redeemed::default();
    assert_eq!(opens(&first.key, &password, &nothing), Ok(1));
    assert_eq!(opens(&other.key, &password, &nothing), Err(Denied::Foreign));
    // Set up anew, also by a verifier that was started anew.
    let maker = self::maker(&ledger, &master);
    assert!(maker.hear(host(1), Said::default(), true).await.unwrap().key.is_none(), "not twice in a minute");
    let maker = maker_at(&ledger, &master, NOON + 60);
    let second = maker.hear(host(1), Said::default(), true).await.unwrap().key.expect("a key");
    assert_eq!(second.epoch, 2);
    let unheard = maker.make(wish(host(1))).await;
    assert!(matches!(unheard, Err(MakeError::NoKey { .. })), "nobody knows whether it got there");
    maker.hear(host(1), has(2), true).await.unwrap();
    assert_eq!(opens(&second.key, &password, &nothing), Err(Denied::Foreign));
    let (record, password) = maker.make(wish(host(1))).await.unwrap();
    assert_eq!((record.counter, opens(&second.key, &password, &nothing)), (1, Ok(1)));
    assert_eq!(maker.shelf().of_host(&host(1)).len(), 2);
}

// covers: D16
#[tokio::test]
async fn two_verifiers_at_one_moment_make_two_passwords() {
    let (ledger, master, first) = one();
    let key = give_key(&first, host(1)).await.key;
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
    give_key(&maker, host(1)).await;
    for _ in 0..3 {
        maker.make(wish(host(1))).await.unwrap();
    }
    let (user, service) = ("alice".to_owned(), "sshd".to_owned());
    let used = Used { epoch: 1, counter: 2, user, service, at: NOON, until: NOON + 60 };
    for _ in 0..2 {
        assert_eq!(note(&maker, host(1), used.clone()).await, [2]);
    }
    // What nobody made, or under another key, is not told for ever.
    assert_eq!(note(&maker, host(1), Used { counter: 9, ..used.clone() }).await, [9]);
    assert_eq!(note(&maker, host(1), Used { epoch: 2, counter: 1, ..used }).await, [1]);
    maker.revoke(host(1), (1, 3), "ann (admin)".into()).await.unwrap();
    assert_eq!(maker.hear(host(1), has(1), true).await.unwrap().revoked, [3, 2], "the host hears of it");
    let revoke = async |key, counter| maker.revoke(host(1), (key, counter), "ann (admin)".into()).await;
    let said = revoke(1, 3).await.unwrap_err().to_string();
    assert!(said.starts_with("offline password 1-3@") && said.ends_with(" was revoked before"), "{said}");
    assert!(matches!(revoke(2, 1).await, Err(MakeError::NoSuchPassword { .. })), "of another key");
    // What a used one gave ends, once.
    revoke(1, 2).await.unwrap();
    let said = revoke(1, 2).await.unwrap_err().to_string();
    assert!(said.contains("what it gave is over"), "{said}");
    assert_eq!(maker.hear(host(1), has(1), true).await.unwrap().ended, [2]);
    let states = |maker: &Maker| {
        let name = |record: &Arc<PasswordRecord>| match record.standing {
            Standing::Open => "open",
            Standing::Used { .. } => "used",
            Standing::Revoked { .. } => "revoked",
        };
        maker.shelf().of_host(&host(1)).iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(states(&maker), ["revoked", "used", "open"]);
    assert_eq!(states(&self::maker(&ledger, &master)), ["revoked", "used", "open"]);
}

// covers: N3
#[tokio::test]
async fn no_more_are_made_than_a_host_can_tell_apart() {
    let (_ledger, _master, maker) = one();
    let key = give_key(&maker, host(1)).await.key;
    for _ in 0..COUNTERS_AHEAD_MAX {
        maker.make(wish(host(1))).await.unwrap();
    }
    assert!(matches!(maker.make(wish(host(1))).await, Err(MakeError::TooManyOpen { .. })));
    let (user, service) = ("alice".to_owned(), "sshd".to_owned());
    let used = Used { epoch: 1, counter: 5, user, service, at: NOON, until: NOON };
    note(&maker, host(1), used).await;
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
    give_key(&maker, host(1)).await;
    for why in ["x".repeat(257), "a\u{202e}b".into(), "a\nb".into()] {
        let odd = NewPassword { why: Some(why), ..wish(host(1)) };
        assert!(matches!(maker.make(odd).await, Err(MakeError::Why)));
    }
    let (record, _) = maker.make(wish(host(1))).await.unwrap();
    assert_eq!((record.why.as_deref(), record.by.as_str()), (Some("the line is cut"), "ann (admin)"));
}

// covers: D01, N3
#[tokio::test]
async fn a_host_whose_state_was_put_back_or_is_in_two_places_gets_another_key() {
    let (ledger, master, maker) = one();
    give_key(&maker, host(1)).await;
    let at = |generation, time_zone: Option<&str>| Said {
        generation,
        time_zone: time_zone.map(str::to_owned),
        ..has(1)
    };
    for generation in [3, 3, 7] {
        let heard = maker.hear(host(1), at(generation, Some("Europe/Vienna")), true).await.unwrap();
        assert!(heard.key.is_none(), "{generation}");
    }
    // The one copy goes on, the other one is behind: also after a start.
    let maker = maker_at(&ledger, &master, NOON + 60);
    assert_eq!(maker.shelf().table.host(host(1).id).unwrap().time_zone.as_deref(), Some("Europe/Vienna"));
    let key = maker.hear(host(1), at(6, None), true).await.unwrap().key.expect("another key");
    assert_eq!(key.epoch, 2);
    // The copy with the former key gets one of its own, and the one before is over.
    let maker = maker_at(&ledger, &master, NOON + 120);
    assert_eq!(maker.hear(host(1), at(8, None), true).await.unwrap().key.expect("another key").epoch, 3);
}

// covers: D01, D02, D09
#[tokio::test]
async fn a_second_use_of_a_password_and_a_host_that_knows_of_fewer_are_noticed_at_the_next_contact() {
    let (ledger, master) = (Arc::new(MemoryLedger::new()), MasterKey::generate().unwrap());
    let (maker, clock) = clocked(&ledger, &master);
    give_key(&maker, host(1)).await;
    maker.make(wish(host(1))).await.unwrap();
    let (user, service) = ("alice".to_owned(), "sshd".to_owned());
    let used = Used { epoch: 1, counter: 1, user, service, at: NOON, until: NOON + 60 };
    let said = |used: &Used, highest| Said { uses: vec![used.clone()], highest, ..has(1) };
    clock.advance(std::time::Duration::from_secs(60));
    assert!(maker.hear(host(1), said(&used, 1), true).await.unwrap().key.is_none());
    // The same, told again, is the same.
    assert!(maker.hear(host(1), said(&used, 1), true).await.unwrap().key.is_none());
    let other = Used { user: "bob".into(), ..used };
    let heard = maker.hear(host(1), said(&other, 1), true).await.unwrap();
    assert_eq!((heard.noted, heard.key.map(|key| key.epoch)), (vec![1], Some(2)), "two of one password");
    maker.hear(host(1), Said { highest: 3, ..has(2) }, true).await.unwrap();
    clock.advance(std::time::Duration::from_secs(60));
    let behind = Said { generation: 9, highest: 2, ..has(2) };
    assert_eq!(maker.hear(host(1), behind, true).await.unwrap().key.map(|key| key.epoch), Some(3));
}

// covers: N1
#[tokio::test]
async fn where_no_keys_are_given_uses_are_noted_and_what_was_made_stays_as_it_is() {
    let (_ledger, _master, maker) = one();
    give_key(&maker, host(1)).await;
    maker.make(wish(host(1))).await.unwrap();
    let (user, service) = ("alice".to_owned(), "sshd".to_owned());
    let used = Used { epoch: 1, counter: 1, user, service, at: NOON, until: NOON + 60 };
    let heard = maker.hear(host(1), Said { uses: vec![used], ..Said::default() }, false).await.unwrap();
    assert!(heard.key.is_none() && heard.noted == [1]);
    assert_eq!(maker.shelf().epoch(&host(1)), Some(1), "the key that it has is the present one");
}

// covers: D09, N3
#[tokio::test]
async fn what_was_never_used_makes_room_once_its_host_has_heard_that_it_is_over() {
    let (ledger, master, maker) = one();
    give_key(&maker, host(1)).await;
    for _ in 0..COUNTERS_AHEAD_MAX {
        maker.make(wish(host(1))).await.unwrap();
    }
    assert!(matches!(maker.make(wish(host(1))).await, Err(MakeError::TooManyOpen { .. })));
    assert!(maker.hear(host(1), has(1), true).await.unwrap().revoked.is_empty(), "their time is not over");
    // Midnight, and as much later as the host's clock may be behind.
    let maker = maker_at(&ledger, &master, NOON + (12 + 64) * 3_600 + 1);
    let over = maker.hear(host(1), has(1), true).await.unwrap().revoked;
    assert_eq!(over.len() as u64, COUNTERS_AHEAD_MAX);
    assert!(
        matches!(maker.make(wish(host(1))).await, Err(MakeError::TooManyOpen { .. })),
        "it has not said so"
    );
    let said = Said { generation: 1, highest: COUNTERS_AHEAD_MAX, ..has(1) };
    maker.hear(host(1), said, true).await.unwrap();
    assert_eq!(maker.make(wish(host(1))).await.unwrap().0.counter, COUNTERS_AHEAD_MAX + 1);
    // What a host says of itself is its own affair, and stops nothing here.
    let odd = Said { generation: 2, highest: u64::MAX, ..has(1) };
    maker.hear(host(1), odd, true).await.unwrap();
    maker.make(wish(host(1))).await.unwrap();
}

// covers: N14
#[tokio::test]
async fn a_password_is_made_again_from_what_is_on_record_of_it() {
    let (ledger, master, maker) = one();
    give_key(&maker, host(1)).await;
    let window = Term::Custom(Window::new(NOON + 3_600, NOON + 7_200).unwrap());
    let reset = Purpose::LockoutReset;
    let services =
        [Services::One("sshd".into()), Services::All, Services::FileTransfers].map(Purpose::Access);
    let user = Some("alice".to_owned());
    for (purpose, term, user) in services
        .iter()
        .flat_map(|one| [(one.clone(), wish(host(1)).term, None), (one.clone(), window, user.clone())])
        .chain([(reset, wish(host(1)).term, user.clone())])
        .chain(Duration::ALL.map(|duration| {
            let before = Deadline::new(NOON + 12 * 3_600).unwrap();
            (services[1].clone(), Term::Preset { duration, before }, None)
        }))
    {
        let (record, password) =
            maker.make(NewPassword { purpose, term, user, ..wish(host(1)) }).await.unwrap();
        // As the next daemon does, which has the record alone.
        let next = self::maker(&ledger, &master);
        let kept = next.shelf().find(record.host, record.epoch, record.counter).unwrap();
        assert_eq!(kept, record);
        assert_eq!(next.shelf().password(&kept).unwrap().expose(), password.expose());
    }
}

// covers: D01
#[tokio::test]
async fn of_two_copies_that_each_let_somebody_in_the_one_that_is_behind_is_noticed() {
    let (ledger, master) = (Arc::new(MemoryLedger::new()), MasterKey::generate().unwrap());
    let (maker, clock) = clocked(&ledger, &master);
    give_key(&maker, host(1)).await;
    for _ in 0..2 {
        maker.make(wish(host(1))).await.unwrap();
    }
    clock.advance(std::time::Duration::from_secs(60));
    // Each has taken another password, and changed as often.
    let copy = |counter| {
        let (user, service) = ("alice".to_owned(), "sshd".to_owned());
        let used = Used { epoch: 1, counter, user, service, at: NOON, until: NOON + 60 };
        Said { uses: vec![used], highest: counter, generation: 5, ..has(1) }
    };
    for counter in [1, 2] {
        assert!(maker.hear(host(1), copy(counter), true).await.unwrap().key.is_none(), "{counter}");
    }
    let behind = maker.hear(host(1), copy(1), true).await.unwrap();
    assert_eq!(behind.key.map(|key| key.epoch), Some(2), "at its next contact");
}

// covers: N14
#[tokio::test]
async fn where_no_mail_is_taken_any_more_no_password_is_made_for_one() {
    let (_ledger, _master, maker) = one();
    give_key(&maker, host(1)).await;
    let to = || EmailAddress::parse("alice@example.org").unwrap();
    for _ in 0..QUEUE_MAX {
        let letter = NewLetter { to: to(), occasion: vec![], until: NOON + 60, is_urgent: true };
        maker.tools.outbox.put(letter, NOON);
    }
    let mailed = NewPassword { mail: Some(to()), ..wish(host(1)) };
    assert!(matches!(maker.make(mailed).await, Err(MakeError::TooManyMails)));
    assert_eq!(maker.make(wish(host(1))).await.unwrap().0.counter, 1, "nothing was made before");
}
