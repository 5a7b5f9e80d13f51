use std::net::IpAddr;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PublicKey};
use wire::admin::HostState;

use super::*;
use crate::hosts::certificate::{HostCertificate, requested_key};
use crate::hosts::{GroupName, JoinSecret, NotAdmitted};
use crate::trial::{NOON, Trial, root};

const FLEET: &str = "version = 1\n[fleet]\nlisten = \"127.0.0.1:7443\"\nnames = [\"localhost\"]";

fn name(text: &str) -> HostName {
    HostName::new(text).unwrap()
}

fn key() -> PublicKey {
    let request = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap();
    requested_key(request.der()).unwrap()
}

fn registrar(trial: &Trial) -> &Arc<Registrar> {
    &trial.service.administration.registrar
}

async fn enrol(trial: &Trial, host: &str) -> Result<JoinSecret, HostError> {
    let enrolled = registrar(trial).enrol(name(host), None, false, root()).await?;
    Ok(enrolled.secret)
}

/// The same secret once more: it has no copies.
fn copy(secret: &JoinSecret) -> JoinSecret {
    let text = secret.text(&[0; 32]);
    let bytes = data_encoding::BASE32_NOPAD.decode(text.replace('-', "").as_bytes()).unwrap();
    JoinSecret::parse(&data_encoding::HEXLOWER.encode(&bytes[..16])).unwrap()
}

async fn join_with(trial: &Trial, secret: JoinSecret, key: PublicKey) -> Result<HostCertificate, HostError> {
    let source = IpAddr::from([192, 0, 2, 1]);
    let joined = registrar(trial).join(JoinRequest { secret: Some(secret), key, source }).await?;
    Ok(HostCertificate::read(&joined.issued.certificate).unwrap())
}

async fn joined(trial: &Trial, host: &str) -> HostCertificate {
    let secret = enrol(trial, host).await.unwrap();
    join_with(trial, secret, key()).await.unwrap()
}

async fn renew(trial: &Trial, shown: HostCertificate, key: PublicKey) -> Result<HostCertificate, HostError> {
    let certified = registrar(trial).renew(shown, key).await?;
    Ok(HostCertificate::read(&certified.issued.certificate).unwrap())
}

async fn is_heard(trial: &Trial, shown: HostCertificate) -> bool {
    registrar(trial).recognize(shown).await.is_ok()
}

fn events(trial: &Trial) -> Vec<(String, String, Option<String>)> {
    let all = trial.audit().into_iter().filter(|record| record.event.starts_with("host_"));
    all.map(|record| (record.event, record.reason, record.host)).collect()
}

// covers: I13
#[tokio::test]
async fn a_join_secret_lets_one_key_in_and_no_second_one() {
    let trial = Trial::with_config(FLEET).await;
    let secret = enrol(&trial, "web1").await.unwrap();
    let own = key();
    let first = join_with(&trial, copy(&secret), own.clone()).await.unwrap();
    let second = join_with(&trial, copy(&secret), key()).await;
    assert!(matches!(second, Err(HostError::WrongSecret)), "{second:?}");
    // The answer got lost, and the host asks again.
    let again = join_with(&trial, copy(&secret), own.clone()).await.unwrap();
    assert_eq!((again.host, again.key), (first.host, first.key));
    assert!(is_heard(&trial, again).await);
    // Once it goes by another key, the first one is of no use any more.
    let next = renew(&trial, again, key()).await.unwrap();
    assert!(is_heard(&trial, next).await);
    assert!(matches!(join_with(&trial, secret, own).await, Err(HostError::WrongSecret)));
    assert!(is_heard(&trial, next).await && !is_heard(&trial, again).await);
}

// covers: I13, F03
#[tokio::test]
async fn of_two_that_join_with_one_secret_at_once_one_wins() {
    let trial = Trial::with_config(FLEET).await;
    for round in 0..20 {
        let secret = enrol(&trial, &format!("web{round}")).await.unwrap();
        let (one, other) =
            tokio::join!(join_with(&trial, copy(&secret), key()), join_with(&trial, copy(&secret), key()));
        let winner = match (one, other) {
            (Ok(winner), Err(HostError::WrongSecret)) | (Err(HostError::WrongSecret), Ok(winner)) => winner,
            both => panic!("{both:?}"),
        };
        assert!(is_heard(&trial, winner).await);
    }
    let joined = events(&trial).into_iter().filter(|(event, ..)| event == "host_joined").count();
    assert_eq!(joined, 20);
}

// covers: I13
#[tokio::test]
async fn a_join_secret_ends_after_a_quarter_of_an_hour_and_with_the_next_one() {
    let trial = Trial::with_config(FLEET).await;
    let first = enrol(&trial, "web1").await.unwrap();
    let second = enrol(&trial, "web1").await.unwrap();
    assert!(matches!(join_with(&trial, first, key()).await, Err(HostError::WrongSecret)));
    trial.advance(Duration::from_secs(15 * 60 - 1));
    join_with(&trial, copy(&second), key()).await.unwrap();
    let third = registrar(&trial).enrol(name("web1"), None, true, root()).await.unwrap().secret;
    trial.advance(Duration::from_secs(15 * 60));
    assert!(matches!(join_with(&trial, third, key()).await, Err(HostError::WrongSecret)));
}

// covers: I13
#[tokio::test]
async fn a_join_secret_outlives_a_restart_and_stands_in_no_record() {
    let trial = Trial::with_config(FLEET).await;
    let secret = enrol(&trial, "web1").await.unwrap();
    let text = secret.text(&[0; 32]);
    let bytes = data_encoding::BASE32_NOPAD.decode(text.replace('-', "").as_bytes()).unwrap();
    let hexadecimal = data_encoding::HEXLOWER.encode(&bytes[..16]);
    let trial = trial.restart_with(FLEET).await;
    let contents = trial.ledger.load().unwrap();
    for record in &contents.records {
        let value = String::from_utf8_lossy(&record.value);
        assert!(!value.contains(&hexadecimal) && !value.contains(&text[..8]));
    }
    join_with(&trial, secret, key()).await.unwrap();
}

// covers: I10, F03
#[tokio::test]
async fn neither_names_nor_former_names_nor_ids_go_to_another_host() {
    let trial = Trial::with_config(FLEET).await;
    let web1 = joined(&trial, "web1").await;
    registrar(&trial).rename(name("web1"), name("web2"), root()).await.unwrap();
    let taken = enrol(&trial, "web1").await.unwrap_err();
    assert_eq!(taken.to_string(), "web1 is a name of host web2, or was one: names are never used twice");
    enrol(&trial, "db1").await.unwrap();
    let taken = registrar(&trial).rename(name("db1"), name("web1"), root()).await;
    assert!(matches!(taken, Err(HostError::NameTaken { .. })));
    registrar(&trial).revoke(name("web2"), root()).await.unwrap();
    let trial = trial.restart_with(FLEET).await;
    for (host, expected) in [("web1", "was one"), ("web2", "was revoked, for ever")] {
        let refused = registrar(&trial).enrol(name(host), None, true, root()).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    assert!(matches!(
        registrar(&trial).rename(name("db1"), name("web2"), root()).await,
        Err(HostError::NameTaken { .. })
    ));
    let fresh = joined(&trial, "web3").await;
    assert_ne!(fresh.host, web1.host);
    // Its own former name is still its own.
    registrar(&trial).rename(name("web3"), name("web4"), root()).await.unwrap();
    let back = registrar(&trial).rename(name("web4"), name("web3"), root()).await.unwrap();
    assert_eq!(back.record.former_names, [name("web4")]);
}

#[tokio::test]
async fn a_host_is_renamed_so_many_times_and_not_more() {
    let trial = Trial::with_config(FLEET).await;
    enrol(&trial, "web0").await.unwrap();
    let rename = async |from: usize| {
        let (old, new) = (name(&format!("web{from}")), name(&format!("web{}", from + 1)));
        registrar(&trial).rename(old, new, root()).await
    };
    for round in 0..FORMER_NAMES_MAX {
        rename(round).await.unwrap();
    }
    assert!(matches!(rename(FORMER_NAMES_MAX).await, Err(HostError::TooManyNames { .. })));
}

// covers: F03
#[tokio::test]
async fn a_known_host_joins_again_only_where_an_administrator_says_so() {
    let trial = Trial::with_config(FLEET).await;
    let before = joined(&trial, "web1").await;
    assert!(matches!(enrol(&trial, "web1").await, Err(HostError::Joined { .. })));
    let again = registrar(&trial).enrol(name("web1"), None, true, root()).await.unwrap();
    assert!(is_heard(&trial, before).await, "its present certificate is good until it joins");
    let after = join_with(&trial, again.secret, key()).await.unwrap();
    assert_eq!(after.host, before.host);
    assert!(is_heard(&trial, after).await && !is_heard(&trial, before).await);
}

// covers: F03
#[tokio::test]
async fn both_certificates_are_good_until_the_next_one_is_shown() {
    let trial = Trial::with_config(FLEET).await;
    let first = joined(&trial, "web1").await;
    // Its answer got lost: the host goes on with the first one, and asks again.
    let lost = renew(&trial, first, key()).await.unwrap();
    assert!(is_heard(&trial, first).await);
    let own = key();
    let next = renew(&trial, first, own.clone()).await.unwrap();
    let repeated = renew(&trial, first, own).await.unwrap();
    assert_eq!((next.host, repeated.key), (first.host, next.key));
    assert!(is_heard(&trial, next).await);
    for gone in [first, lost] {
        let refused = registrar(&trial).recognize(gone).await;
        assert!(matches!(refused, Err(HostError::NotAdmitted(NotAdmitted::Superseded))), "{refused:?}");
    }
    // Also after a restart.
    let trial = trial.restart_with(FLEET).await;
    assert!(is_heard(&trial, next).await && !is_heard(&trial, first).await);
    assert!(matches!(renew(&trial, first, key()).await, Err(HostError::NotAdmitted(_))));
}

// covers: F03
#[tokio::test]
async fn two_renewals_at_once_leave_two_certificates_of_which_the_first_shown_stays() {
    let trial = Trial::with_config(FLEET).await;
    let first = joined(&trial, "web1").await;
    let (one, other) = tokio::join!(renew(&trial, first, key()), renew(&trial, first, key()));
    let (one, other) = (one.unwrap(), other.unwrap());
    let (shown, late) = tokio::join!(is_heard(&trial, other), is_heard(&trial, one));
    assert_eq!([shown, late].iter().filter(|heard| **heard).count(), 1);
    assert!(!is_heard(&trial, first).await);
}

// covers: F03
#[tokio::test]
async fn a_key_of_another_host_or_of_its_own_is_certified_for_nobody() {
    let trial = Trial::with_config(FLEET).await;
    let (own, others) = (key(), key());
    let secret = enrol(&trial, "web1").await.unwrap();
    let web1 = join_with(&trial, secret, own.clone()).await.unwrap();
    let secret = enrol(&trial, "web2").await.unwrap();
    join_with(&trial, secret, others.clone()).await.unwrap();
    for known in [own, others.clone()] {
        assert!(matches!(renew(&trial, web1, known).await, Err(HostError::KeyInUse)));
    }
    let secret = enrol(&trial, "web3").await.unwrap();
    assert!(matches!(join_with(&trial, copy(&secret), others).await, Err(HostError::KeyInUse)));
    join_with(&trial, secret, key()).await.unwrap();
}

// covers: F04, F03
#[tokio::test]
async fn a_revoked_host_is_heard_no_more_and_never_again() {
    let trial = Trial::with_config(FLEET).await;
    let web1 = joined(&trial, "web1").await;
    let next = renew(&trial, web1, key()).await.unwrap();
    let again = registrar(&trial).enrol(name("web1"), None, true, root()).await.unwrap();
    let revoked = registrar(&trial).revoke(name("web1"), root()).await.unwrap();
    assert_eq!(revoked.record.state(), HostState::Revoked);
    for shown in [web1, next] {
        let refused = registrar(&trial).recognize(shown).await;
        assert!(matches!(refused, Err(HostError::NotAdmitted(NotAdmitted::Revoked))), "{refused:?}");
        assert!(matches!(renew(&trial, shown, key()).await, Err(HostError::NotAdmitted(_))));
    }
    assert!(matches!(join_with(&trial, again.secret, key()).await, Err(HostError::WrongSecret)));
    assert!(registrar(&trial).set_group(name("web1"), None, root()).await.is_err());
    let trial = trial.restart_with(FLEET).await;
    assert!(!is_heard(&trial, web1).await);
}

// covers: I01
#[tokio::test]
async fn every_change_has_one_record_that_says_who_and_which() {
    let trial = Trial::with_config(FLEET).await;
    let group = GroupName::new("web").unwrap();
    let enrolled = registrar(&trial).enrol(name("web1"), Some(group.clone()), false, root()).await.unwrap();
    assert_eq!(enrolled.host.identity.group, Some(group));
    let web1 = join_with(&trial, enrolled.secret, key()).await.unwrap();
    let next = renew(&trial, web1, key()).await.unwrap();
    is_heard(&trial, next).await;
    is_heard(&trial, next).await;
    registrar(&trial).set_group(name("web1"), None, root()).await.unwrap();
    registrar(&trial).rename(name("web1"), name("web2"), root()).await.unwrap();
    registrar(&trial).revoke(name("web2"), root()).await.unwrap();
    registrar(&trial).revoke(name("web2"), root()).await.unwrap();
    let of =
        |event: &str, reason: &str, host: &str| (event.to_owned(), reason.to_owned(), Some(host.to_owned()));
    assert_eq!(
        events(&trial),
        [
            of("host_enrolled", "administrator", "web1"),
            of("host_joined", "join_secret", "web1"),
            of("host_certified", "renewal", "web1"),
            of("host_key_changed", "renewal", "web1"),
            of("host_group_set", "administrator", "web1"),
            of("host_renamed", "administrator", "web2"),
            of("host_revoked", "administrator", "web2"),
        ]
    );
    let id = format!("id {}", web1.host);
    let hosts = trial.audit().into_iter().filter(|record| record.event.starts_with("host_"));
    let details: Vec<String> = hosts.map(|record| record.detail.unwrap()).collect();
    assert!(details.iter().all(|detail| detail.starts_with(&id)), "{details:?}");
    assert_eq!(details[5], format!("{id}, before: web1"));
}

#[tokio::test]
async fn renewals_are_bounded_for_each_host() {
    let trial = Trial::with_config(FLEET).await;
    let web1 = joined(&trial, "web1").await;
    for _ in 0..crate::hosts::presence::RENEWALS_MAX {
        renew(&trial, web1, key()).await.unwrap();
    }
    assert!(matches!(renew(&trial, web1, key()).await, Err(HostError::TooManyRenewals)));
    let record = registrar(&trial).hosts().find(web1.host).unwrap().record.clone();
    assert_eq!(record.issued.len(), ISSUED_MAX);
    trial.advance(Duration::from_secs(3_600));
    let last = renew(&trial, web1, key()).await.unwrap();
    assert!(is_heard(&trial, last).await);
}

// covers: F02
#[tokio::test]
async fn an_ended_certificate_is_refused_whatever_the_clock_was_before() {
    let trial = Trial::with_config(FLEET).await;
    let web1 = joined(&trial, "web1").await;
    trial.clock.set_wall(NOON + 7 * 86_400 + 1);
    let refused = registrar(&trial).recognize(web1).await;
    assert!(matches!(refused, Err(HostError::NotAdmitted(NotAdmitted::Ended))), "{refused:?}");
    assert!(matches!(renew(&trial, web1, key()).await, Err(HostError::NotAdmitted(NotAdmitted::Ended))));
    trial.clock.set_wall(NOON);
    assert!(is_heard(&trial, web1).await);
}

#[tokio::test]
async fn without_a_fleet_hosts_are_known_and_none_can_join() {
    let trial = Trial::with_config(FLEET).await;
    let web1 = joined(&trial, "web1").await;
    let fingerprint = registrar(&trial).authority().unwrap().fingerprint();
    let trial = trial.restart_with("version = 1").await;
    assert_eq!(registrar(&trial).hosts().find(web1.host).unwrap().record.name, name("web1"));
    assert!(matches!(enrol(&trial, "web2").await, Err(HostError::NoFleet)));
    let trial = trial.restart_with(FLEET).await;
    assert_eq!(registrar(&trial).authority().unwrap().fingerprint(), fingerprint);
    assert!(is_heard(&trial, web1).await);
    let made = trial.audit().into_iter().filter(|record| record.event == "authority_created").count();
    assert_eq!(made, 1);
}
