use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::grant::{Deadline, Duration, Window};

/// 2026-11-23 12:07 UTC.
const NOW: u64 = 1_795_435_620;
/// Midnight after it where the host stands, at UTC+2.
const MIDNIGHT: u64 = 1_795_471_200;
const HOUR: u64 = 3_600;
const DIGITS: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn key(host: u8) -> HostKey {
    HostKey::derive(&[1; 32], &[2; 16], &[host; 16], 0)
}

fn preset(duration: Duration) -> Term {
    Term::Preset { duration, before: Deadline::new(MIDNIGHT).unwrap() }
}

fn grant(services: Services, user: Option<&str>, term: Term) -> Grant {
    Grant { purpose: Purpose::Access(services), user: user.map(str::to_owned), term, counter: 7 }
}

fn sshd(user: &str, now: u64) -> Asked<'_> {
    Asked { user, service: "sshd", is_file_transfer: false, now }
}

fn check(host: u8, text: &str, asked: &Asked<'_>) -> Result<Redemption, Refusal> {
    Typed::read(text).expect("is typed right").check(&key(host), asked, &Redeemed::default())
}

fn made(grant: &Grant) -> String {
    OfflinePassword::make(&key(1), grant).expose().to_owned()
}

// covers: N3
#[test]
fn known_passwords_stay_the_same() {
    let one = grant(Services::One("sshd".into()), Some("alice"), preset(Duration::Hours2));
    let window = Window::new(NOW - NOW % 60, NOW - NOW % 60 + 2 * HOUR).unwrap();
    let all = grant(Services::All, None, Term::Custom(window));
    assert_eq!([made(&one), made(&all)], KNOWN);
}

/// What `second_opinion.py` beside this crate's sources prints, which shares no line with it.
const KNOWN: [&str; 2] = ["961VC-3ZTQ6-BEFVB", "AY1S6-JQ01W-CM73Z-R1QE5"];

// covers: N4, D04
#[test]
fn every_duration_counts_from_its_redemption_on_the_day_it_was_made() {
    for duration in Duration::ALL {
        let text = made(&grant(Services::All, Some("alice"), preset(duration)));
        for now in [NOW, MIDNIGHT - 1] {
            let redemption = check(1, &text, &sshd("alice", now)).unwrap();
            assert_eq!(redemption.until, now + duration.minutes() * 60, "{duration:?}");
        }
        assert_eq!(check(1, &text, &sshd("alice", MIDNIGHT)), Err(Refusal::Late { end: MIDNIGHT }));
        let start = MIDNIGHT - 26 * HOUR;
        assert_eq!(check(1, &text, &sshd("alice", start - 1)), Err(Refusal::Early { start }));
        // A month on the same bits would mean another day.
        assert_eq!(check(1, &text, &sshd("alice", NOW + 128 * HOUR)), Err(Refusal::Foreign));
    }
}

// covers: N6, D04, D05
#[test]
fn a_window_holds_from_its_start_to_its_end() {
    let (start, end) = (NOW - NOW % 60 + 2 * HOUR, NOW - NOW % 60 + 4 * HOUR);
    let text = made(&grant(Services::All, None, Term::Custom(Window::new(start, end).unwrap())));
    assert_eq!(text.len(), 23);
    for (now, expected) in [
        (start - 1, Err(Refusal::Early { start })),
        (start, Ok(end)),
        (end - 1, Ok(end)),
        (end, Err(Refusal::Late { end })),
        (start - 120 * 24 * HOUR, Err(Refusal::Early { start })),
        (end + 40 * 24 * HOUR, Err(Refusal::Late { end })),
        (start + (1 << 18) * 60, Err(Refusal::Foreign)),
        (0, Err(Refusal::Foreign)),
    ] {
        let found = check(1, &text, &sshd("bob", now)).map(|redemption| redemption.until);
        assert_eq!(found, expected, "{now}");
    }
    let longest = Window::new(start, start + 60 * u64::from(u16::MAX)).unwrap();
    let text = made(&grant(Services::All, None, Term::Custom(longest)));
    assert_eq!(check(1, &text, &sshd("bob", longest.end() - 1)).unwrap().until, longest.end());
}

// covers: N2, N3, N13, D01
#[test]
fn a_password_is_for_its_host_user_and_service_alone() {
    let (one, all) = (Services::One("sshd".into()), Services::All);
    let term = preset(Duration::Hours1);
    for (services, user) in [(&one, Some("alice")), (&one, None), (&all, Some("alice")), (&all, None)] {
        let text = made(&grant(services.clone(), user, term));
        for host in [1, 2] {
            for who in ["alice", "bob", "Alice", ""] {
                for service in ["sshd", "login", "ssh"] {
                    let asked = Asked { service, ..sshd(who, NOW) };
                    let fits = host == 1
                        && user.is_none_or(|user| user == who)
                        && (*services == all || service == "sshd");
                    let found = check(host, &text, &asked);
                    assert_eq!(found.is_ok(), fits, "{services:?} {user:?}: {host} {asked:?}");
                    assert!(fits || found == Err(Refusal::Foreign));
                }
            }
        }
    }
    let next = HostKey::derive(&[1; 32], &[2; 16], &[1; 16], 1);
    let text = made(&grant(all, None, term));
    let typed = Typed::read(&text).unwrap();
    let found = typed.check(&next, &sshd("alice", NOW), &Redeemed::default());
    assert_eq!(found, Err(Refusal::Foreign), "the host was set up anew");
}

// covers: N2
#[test]
fn a_password_for_file_transfers_opens_no_shell() {
    let text = made(&grant(Services::FileTransfers, None, preset(Duration::Hours1)));
    let files = Asked { service: "sftp", is_file_transfer: true, ..sshd("alice", NOW) };
    assert!(check(1, &text, &files).is_ok());
    assert_eq!(check(1, &text, &sshd("alice", NOW)), Err(Refusal::FileTransfersOnly));
}

// covers: N11
#[test]
fn a_lockout_reset_says_that_it_is_one() {
    let term = preset(Duration::Minutes15);
    let reset = Grant { purpose: Purpose::LockoutReset, user: None, term, counter: 9 };
    let redemption = check(1, &made(&reset), &sshd("alice", NOW)).unwrap();
    assert_eq!(redemption.grant, reset);
}

// covers: N3, D02
#[test]
fn a_password_is_redeemed_once() {
    let text = made(&grant(Services::All, None, preset(Duration::Days30)));
    let typed = Typed::read(&text).unwrap();
    let asked = sshd("alice", NOW);
    let mut redeemed = Redeemed::default();
    let redemption = typed.check(&key(1), &asked, &redeemed).unwrap();
    redeemed = redeemed.with(redemption.grant.counter);
    assert_eq!(typed.check(&key(1), &asked, &redeemed), Err(Refusal::Used { counter: 7 }));
    for counter in [100, 134] {
        redeemed = redeemed.with(counter);
        assert_eq!(typed.check(&key(1), &asked, &redeemed), Err(Refusal::Used { counter: 7 }));
    }
    // Past the window its low bits mean a later one.
    assert_eq!(typed.check(&key(1), &asked, &redeemed.with(135)), Err(Refusal::Foreign));
}

// covers: D14
#[test]
fn every_other_character_at_every_place_is_refused() {
    let custom = Window::new(NOW - NOW % 60, NOW - NOW % 60 + HOUR).unwrap();
    for term in [preset(Duration::Minutes15), Term::Custom(custom)] {
        let right = made(&grant(Services::All, None, term)).replace('-', "");
        let bits = Typed::read(&right).unwrap().bits();
        let characters = right.len();
        for place in 0..characters - 1 {
            for other in 1..32_u128 {
                // With the check character that a forger would give it.
                let forged = written(bits ^ other << (5 * place), characters);
                let found = check(1, &forged, &sshd("alice", NOW));
                assert_eq!(found, Err(Refusal::Foreign), "{place} {other}");
            }
        }
        for place in 0..characters {
            for digit in DIGITS.chars().filter(|digit| !right[place..].starts_with(*digit)) {
                let mut typo = right.clone();
                typo.replace_range(place..=place, &digit.to_string());
                assert!(Typed::read(&typo).is_err(), "{place} {digit}");
            }
        }
    }
}

// covers: D07
#[test]
fn a_clock_that_was_never_set_opens_nothing_and_no_time_panics() {
    let text = made(&grant(Services::All, None, preset(Duration::Days30)));
    for now in [0, 1, 899, u64::MAX, u64::MAX / 900, i64::MAX.unsigned_abs()] {
        assert_eq!(check(1, &text, &sshd("alice", now)), Err(Refusal::Foreign), "{now}");
    }
}

fn any_grant() -> impl Strategy<Value = Grant> {
    let services = prop_oneof![
        Just(Purpose::Access(Services::One("sshd".into()))),
        Just(Purpose::Access(Services::All)),
        Just(Purpose::Access(Services::FileTransfers)),
        Just(Purpose::LockoutReset),
    ];
    let term = prop_oneof![
        (0..11_usize).prop_map(|number| preset(Duration::ALL[number])),
        (0..60_u64, 1..=u16::MAX).prop_map(|(back, length)| {
            let start = NOW - NOW % 60 - back * 60;
            let end = (start + 60 * u64::from(length)).max(NOW - NOW % 60 + 60);
            Term::Custom(Window::new(start, end).unwrap())
        }),
    ];
    (services, prop::option::of("[a-z][a-z0-9-]{0,30}"), term, 1..=128_u64)
        .prop_map(|(purpose, user, term, counter)| Grant { purpose, user, term, counter })
}

proptest! {
    // covers: N3, N13
    #[test]
    fn what_was_made_is_what_is_redeemed(grant in any_grant()) {
        let text = made(&grant);
        let user = grant.user.clone().unwrap_or_else(|| "anybody".into());
        let asked = Asked { user: &user, service: "sshd", is_file_transfer: true, now: NOW };
        let redemption = check(1, &text, &asked).unwrap();
        prop_assert_eq!(redemption.grant, grant);
    }

    // covers: N3
    #[test]
    fn no_two_grants_have_one_password(grants in prop::collection::vec(any_grant(), 2..20)) {
        let different: BTreeSet<String> = grants.iter().map(|grant| format!("{grant:?}")).collect();
        let texts: BTreeSet<String> = grants.iter().map(made).collect();
        prop_assert_eq!(texts.len(), different.len());
    }
}
