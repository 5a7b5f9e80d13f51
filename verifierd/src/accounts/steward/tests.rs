use std::sync::Arc;
use std::time::Duration;

use ledger::memory::Fate;
use ledger::{Ledger as _, Refusal, StartState};
use otp_core::SharedSecret;
use wire::admin::{EnrolWith, TokenState};
use wire::login::Verdict;

use super::*;
use crate::accounts::{Factor, NewHardware, TOKENS_MAX, TokenParameters, kind};
use crate::trial::{Fob, Trial, root};

const SERIAL: &str = "2600123456789";

fn name(user: &str) -> UserName {
    UserName::new(user).unwrap()
}

fn steward(trial: &Trial) -> Arc<Steward> {
    Arc::clone(&trial.service.dialogue.steward)
}

fn box_of(count: u64) -> Vec<NewHardware> {
    let new = |number: u64| NewHardware {
        serial: format!("26{number:011}"),
        parameters: TokenParameters { factor: Factor::Counter, ..TokenParameters::default() },
        secret: SharedSecret::from_bytes(format!("{number:020}").as_bytes()).unwrap(),
        counter: number,
        time_drift: 0,
    };
    (0..count).map(new).collect()
}

/// Kinds of records that an import leaves.
fn stored(trial: &Trial, kind: u8) -> usize {
    trial.ledger.load().unwrap().records.iter().filter(|record| record.kind == kind).count()
}

// covers: A5
#[tokio::test]
async fn an_import_brings_all_tokens_with_their_counters() {
    let trial = Trial::new().await;
    assert_eq!(steward(&trial).import(box_of(600), root()).await.unwrap(), 600);
    assert_eq!(trial.service.dialogue.accounts.token_count(), 600);
    let trial = trial.restart(StartState::Clean).await;
    let token = trial.token_of("2600000000599");
    assert_eq!((token.state(), token.value()), (TokenState::Available, 599));
    assert_eq!(stored(&trial, kind::IMPORT), 0);
}

// covers: A5, A18
#[tokio::test]
async fn an_import_that_ends_in_the_middle_leaves_nothing() {
    for done in 0..4 {
        let trial = Trial::new().await;
        let importing = steward(&trial);
        trial.ledger.set_fate(Fate::Hold);
        let task = tokio::spawn(async move { importing.import(box_of(600), root()).await });
        for _ in 0..=done {
            while trial.ledger.held() == 0 {
                tokio::task::yield_now().await;
            }
            trial.ledger.release();
        }
        while trial.ledger.held() == 0 {
            tokio::task::yield_now().await;
        }
        trial.ledger.set_fate(Fate::Decide);
        // The last entry is decided when it is handed in: only before it nothing may be left.
        let ended = stored(&trial, kind::IMPORT) == 0;
        task.abort();
        let trial = trial.restart(StartState::Unclean).await;
        let left = trial.service.dialogue.accounts.token_count();
        assert_eq!((done, left), (done, if ended { 600 } else { 0 }));
        assert_eq!((stored(&trial, kind::IMPORT), stored(&trial, kind::TOKEN)), (0, left));
        assert_eq!(trial.ledger.load().unwrap().credentials.len(), left);
    }
}

// covers: A5
#[tokio::test]
async fn an_import_that_the_store_refuses_can_be_made_again() {
    let trial = Trial::new().await;
    let importing = steward(&trial);
    trial.ledger.set_fate(Fate::Hold);
    let task = tokio::spawn(async move { importing.import(box_of(600), root()).await });
    for fate in [Fate::Hold, Fate::Refuse(Refusal::StorageFull)] {
        while trial.ledger.held() == 0 {
            tokio::task::yield_now().await;
        }
        trial.ledger.set_fate(fate);
        trial.ledger.release();
    }
    assert!(matches!(task.await.unwrap(), Err(ChangeError::NotStored { .. })));
    trial.ledger.set_fate(Fate::Decide);
    assert_eq!(trial.service.dialogue.accounts.token_count(), 0);
    assert_eq!(steward(&trial).import(box_of(600), root()).await.unwrap(), 600);
    let trial = trial.restart(StartState::Clean).await;
    assert_eq!(trial.service.dialogue.accounts.token_count(), 600);
}

// covers: A3
#[tokio::test]
async fn a_token_is_one_users_at_a_time_and_its_serial_is_never_used_twice() {
    let trial = Trial::new().await;
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, Some("alice")).await;
    let again = steward(&trial).add_token(fob.new_token(None), root()).await.unwrap_err();
    assert!(again.to_string().contains("exists already"), "{again}");
    let other = steward(&trial).assign(SERIAL.into(), name("bob"), root()).await.unwrap_err();
    assert_eq!(other.to_string(), "token 2600123456789 is assigned: disassociate it first");
    assert!(matches!(
        steward(&trial).assign("none".into(), name("bob"), root()).await,
        Err(ChangeError::NoSuchToken { .. })
    ));
}

// covers: P2
#[tokio::test]
async fn a_user_has_a_bounded_number_of_tokens() {
    let trial = Trial::new().await;
    for number in 0..TOKENS_MAX {
        trial.add(&Fob::hotp(&format!("260000000000{number}")), Some("alice")).await;
    }
    let more = Fob::hotp("2600000000009");
    let refused = steward(&trial).add_token(more.new_token(Some(name("alice").as_str())), root()).await;
    assert!(refused.unwrap_err().to_string().contains("8 tokens already"));
}

// covers: A9
#[tokio::test]
async fn turning_the_demand_off_frees_hardware_tokens_and_keeps_their_counters() {
    let trial = Trial::new().await;
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, Some("alice")).await;
    assert_eq!(trial.login("alice", "sshd", &fob.code(4)).await.verdict, Verdict::Allow);
    trial.set_otp("alice", false).await;
    let trial = trial.restart(StartState::Clean).await;
    let token = trial.token_of(SERIAL);
    assert_eq!((token.state(), token.value(), token.record.user), (TokenState::Available, 5, None));
}

// covers: A16
#[tokio::test]
async fn a_claim_on_its_way_while_the_token_changes_hands_is_lost() {
    let trial = Trial::new().await;
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, Some("alice")).await;
    assert_eq!(trial.login("alice", "sshd", &fob.code(0)).await.verdict, Verdict::Allow);
    // What a login of alice saw before.
    let seen = trial.token_of(SERIAL);
    let steward = steward(&trial);
    steward.disassociate(SERIAL.into(), None, root()).await.unwrap();
    steward.assign(SERIAL.into(), name("bob"), root()).await.unwrap();
    let claim = ledger::Claim { credential: seen.credential(), to: 2, id: ledger::ClaimId([9; 16]) };
    let entry = Entry { claim: Some(claim), ..Entry::default() };
    assert_eq!(trial.ledger.submit(entry).await, Outcome::NotCommitted(Refusal::NoSuchCredential));
}

#[tokio::test]
async fn a_record_names_who_made_the_change() {
    let trial = Trial::new().await;
    let by = Actor::administrator("dora (helpdesk)");
    steward(&trial).set_otp(name("alice"), true, EnrolWith::App, by).await.unwrap();
    let record = trial.audit().pop().unwrap();
    assert_eq!((record.event.as_str(), record.actor.as_deref()), ("user_otp_on", Some("dora (helpdesk)")));
}

// covers: A08
#[tokio::test]
async fn no_two_tokens_have_one_secret() {
    let trial = Trial::new().await;
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, Some("alice")).await;
    let twin = crate::accounts::NewToken { serial: Some("2600000000002".into()), ..fob.new_token(None) };
    let refused = steward(&trial).add_token(twin, root()).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "token 2600000000002 has the same secret as token 2600123456789: each token needs its own"
    );
    let mut twins = box_of(2);
    twins[1].secret = SharedSecret::from_bytes(twins[0].secret.expose()).unwrap();
    assert!(matches!(steward(&trial).import(twins, root()).await, Err(ChangeError::SecretExists { .. })));
    let trial = trial.restart(StartState::Clean).await;
    let again = crate::accounts::NewToken { serial: Some("2600000000003".into()), ..fob.new_token(None) };
    assert!(steward(&trial).add_token(again, root()).await.is_err());
}

// covers: A3
#[tokio::test]
async fn what_is_lost_or_disabled_stays_so_without_a_user() {
    for lost in [true, false] {
        let trial = Trial::new().await;
        trial.add(&Fob::hotp(SERIAL), Some("alice")).await;
        let steward = steward(&trial);
        match lost {
            true => steward.lose(SERIAL.into(), None, root()).await.unwrap(),
            false => steward.disable(SERIAL.into(), root()).await.unwrap(),
        };
        trial.set_otp("alice", false).await;
        let token = trial.token_of(SERIAL);
        let expected = if lost { TokenState::Lost } else { TokenState::Disabled };
        assert_eq!((token.state(), token.record.user), (expected, None));
        assert!(steward.assign(SERIAL.into(), name("bob"), root()).await.is_err());
        steward.enable(SERIAL.into(), root()).await.unwrap();
        assert_eq!(trial.token_of(SERIAL).state(), TokenState::Available);
    }
}

// covers: A5
#[tokio::test]
async fn only_a_token_that_never_worked_can_be_removed() {
    let trial = Trial::new().await;
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, None).await;
    steward(&trial).remove(SERIAL.into(), root()).await.unwrap();
    assert!(trial.service.dialogue.accounts.find_by_serial(SERIAL).is_none());
    trial.add(&fob, Some("alice")).await;
    assert!(matches!(steward(&trial).remove(SERIAL.into(), root()).await, Err(ChangeError::NotFresh { .. })));
    assert_eq!(trial.login("alice", "sshd", &fob.code(0)).await.verdict, Verdict::Allow);
    steward(&trial).disassociate(SERIAL.into(), None, root()).await.unwrap();
    let used = steward(&trial).remove(SERIAL.into(), root()).await;
    assert!(matches!(used, Err(ChangeError::NotFresh { .. })), "its used codes must stay used");
}

// covers: I05
#[tokio::test]
async fn a_wish_about_ones_own_token_reaches_nobody_elses() {
    let trial = Trial::new().await;
    trial.add(&Fob::hotp(SERIAL), Some("alice")).await;
    let alice = trial.token_of(SERIAL).record.user;
    let steward = steward(&trial);
    steward.disassociate(SERIAL.into(), None, root()).await.unwrap();
    steward.assign(SERIAL.into(), name("bob"), root()).await.unwrap();
    let late = steward.lose(SERIAL.into(), alice, Actor::owner("alice (user)")).await;
    assert!(matches!(late, Err(ChangeError::NoSuchToken { .. })));
    assert_eq!(trial.token_of(SERIAL).state(), TokenState::Assigned);
}

// covers: A08
#[tokio::test]
async fn a_secret_filled_up_with_zeros_is_the_same_secret() {
    let trial = Trial::new().await;
    let add = |serial: &str, secret: &[u8]| crate::accounts::NewToken {
        user: None,
        serial: Some(serial.into()),
        parameters: TokenParameters::default(),
        secret: Some(SharedSecret::from_bytes(secret).unwrap()),
        counter: 0,
    };
    let steward = steward(&trial);
    steward.add_token(add("1", &[9; 20]), root()).await.unwrap();
    let padded = [[9; 20].as_slice(), &[0; 4]].concat();
    assert!(matches!(
        steward.add_token(add("2", &padded), root()).await,
        Err(ChangeError::SecretExists { .. })
    ));
    // Longer than a block of SHA-1: HMAC uses its hash.
    steward.add_token(add("3", &[5; 80]), root()).await.unwrap();
    let hashed =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &[5; 80]).as_ref().to_vec();
    assert!(matches!(
        steward.add_token(add("4", &hashed), root()).await,
        Err(ChangeError::SecretExists { .. })
    ));
}

// covers: B02
#[tokio::test]
async fn a_wrong_code_that_falls_into_an_unlock_does_not_come_back_after_a_restart() {
    let trial = Trial::new().await;
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, Some("alice")).await;
    for _ in 0..100 {
        trial.advance(Duration::from_secs(3600));
        trial.login("alice", "sshd", "00000").await;
    }
    trial.advance(Duration::from_secs(3600));
    let engine = Arc::clone(&trial.service.dialogue.engine);
    trial.ledger.set_fate(Fate::Hold);
    let unlock = tokio::spawn(async move { engine.unlock(name("alice"), root()).await });
    while trial.ledger.held() == 0 {
        tokio::task::yield_now().await;
    }
    // What a wrong code writes at that moment.
    let token = trial.token_of(SERIAL);
    let late = vec![token.put_failures(token.add_failure())];
    let late = trial.ledger.submit(Entry { changes: late, ..Entry::default() });
    trial.ledger.set_fate(Fate::Decide);
    trial.ledger.release();
    late.await;
    unlock.await.unwrap().unwrap();
    let trial = trial.restart(StartState::Clean).await;
    assert_eq!((trial.token_of(SERIAL).failures(), trial.token_of(SERIAL).disabled_by()), (0, None));
}
