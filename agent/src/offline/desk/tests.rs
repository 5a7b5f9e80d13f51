use std::sync::Barrier;

use offline_password::universal::Chain;
use offline_password::{Deadline, Duration as For, Grant, OfflinePassword, Services, Term, Window};

use super::super::moment::moment;
use super::super::store::tests::{Host, key};
use super::*;

/// Noon of a day in 2027, and the end of that day.
const NOON: u64 = 1_800_014_400;
const MIDNIGHT: u64 = NOON + 12 * HOUR;

const SSH: Login<'static> = Login { user: "alice", service: "sshd", is_file_transfer: false };

fn password_of(host_key: u8, purpose: Purpose, term: Term, counter: u64) -> String {
    let grant = Grant { purpose, user: None, term, counter };
    OfflinePassword::make(&key(host_key), &grant).expose().to_owned()
}

fn access(duration: For, counter: u64) -> String {
    let term = Term::Preset { duration, before: Deadline::new(MIDNIGHT).unwrap() };
    password_of(1, Purpose::Access(Services::All), term, counter)
}

fn reset(counter: u64) -> String {
    let term = Term::Preset { duration: For::Minutes15, before: Deadline::new(MIDNIGHT).unwrap() };
    password_of(1, Purpose::LockoutReset, term, counter)
}

/// One without a typing error, of another host.
fn foreign() -> String {
    let term = Term::Preset { duration: For::Hours1, before: Deadline::new(MIDNIGHT).unwrap() };
    password_of(2, Purpose::Access(Services::All), term, 1)
}

fn at(seconds: u64) -> Moment {
    moment(NOON + seconds, "a", seconds)
}

fn desk(host: &Host) -> Desk {
    Desk::new(host.open().unwrap(), Terms::default())
}

fn granted(desk: &Desk, moment: &Moment) -> Option<UnixTime> {
    desk.granted(&SSH, moment).unwrap()
}

fn begun() -> (Host, Desk) {
    let host = Host::new();
    host.begin();
    let desk = desk(&host);
    (host, desk)
}

fn give(desk: &Desk, typed: &str, moment: &Moment) -> Result<Opened, Refused> {
    desk.redeem(&SSH, Place::Elsewhere, typed, moment)
}

// covers: D02, N3, N7
#[test]
fn a_password_opens_once_also_after_a_kill_and_its_grant_holds_for_its_time() {
    let (host, desk) = begun();
    let password = access(For::Hours2, 1);
    assert_eq!(granted(&desk, &at(0)), None);
    assert_eq!(give(&desk, &password, &at(0)).unwrap(), Opened::Access { until: NOON + 2 * HOUR });
    for desk in [desk, self::desk(&host)] {
        let again = give(&desk, &password, &at(1)).unwrap_err();
        assert!(matches!(again, Refused::Password(Refusal::Used { counter: 1 })), "{again}");
        assert_eq!(granted(&desk, &at(2 * HOUR - 1)), Some(NOON + 2 * HOUR));
        assert_eq!(granted(&desk, &at(2 * HOUR)), None);
    }
    let store = host.open().unwrap();
    let [used] = store.kept().uses.as_slice() else { panic!("one use is to be told") };
    assert_eq!((used.counter, used.user.as_str(), used.at), (1, "alice", NOON));
}

// covers: D01
#[test]
fn a_password_of_another_host_opens_nothing() {
    let (_host, desk) = begun();
    let refused = give(&desk, &foreign(), &at(0)).unwrap_err();
    assert!(matches!(refused, Refused::Password(Refusal::Foreign)), "{refused}");
}

// covers: D03
#[test]
fn of_two_hundred_guesses_at_once_twenty_are_compared_and_of_two_hundred_uses_one_opens() {
    let (_host, desk) = begun();
    let barrier = Barrier::new(200);
    let count = |typed: &str, is: fn(&Result<Opened, Refused>) -> bool| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..200)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        is(&give(&desk, typed, &at(0)))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|is| *is).count()
        })
    };
    let right = access(For::Hours1, 2);
    assert_eq!(count(&right, |given| given.is_ok()), 1);
    let compared = |given: &Result<Opened, Refused>| {
        matches!(given, Err(Refused::Password(Refusal::Foreign | Refusal::Used { .. })))
    };
    assert!(count(&foreign(), compared) <= 20, "what was used already counts too");
    assert!(matches!(give(&desk, &access(For::Hours1, 4), &at(9)), Err(Refused::TooMany { .. })));
    let console = desk.redeem(&SSH, Place::Console, &access(For::Hours1, 4), &at(9));
    assert!(console.is_ok(), "whoever is at the machine is heard");
}

// covers: D02, D03
#[test]
fn a_service_that_is_killed_between_tries_has_no_more_of_them() {
    let (host, _) = begun();
    let term = Term::Preset { duration: For::Hours1, before: Deadline::new(MIDNIGHT).unwrap() };
    let foreign = password_of(9, Purpose::Access(Services::All), term, 3);
    let compared = (0..60)
        .filter(|_| matches!(give(&desk(&host), &foreign, &at(0)), Err(Refused::Password(Refusal::Foreign))));
    assert_eq!(compared.count(), 20);
}

// covers: D12
#[test]
fn a_typing_error_costs_no_try() {
    let (_host, desk) = begun();
    let password = access(For::Hours1, 1);
    for _ in 0..20 {
        assert!(matches!(give(&desk, &password[1..], &at(0)), Err(Refused::Typing(TypingError::Length))));
    }
    assert!(matches!(give(&desk, "?", &at(0)), Err(Refused::TooMany { .. })), "not without end");
    assert!(give(&desk, &password.to_lowercase().replace('-', " "), &at(0)).is_ok());
}

// covers: D04, D06
#[test]
fn a_clock_that_is_put_back_brings_no_time_back() {
    let (host, desk) = begun();
    let window = |start, end| Term::Custom(Window::new(start, end).unwrap());
    let custom = |counter, term| password_of(1, Purpose::Access(Services::All), term, counter);
    let before = custom(1, window(NOON + 4 * HOUR, NOON + 6 * HOUR));
    assert!(matches!(give(&desk, &before, &at(0)), Err(Refused::Password(Refusal::Early { .. }))));
    assert_eq!(give(&desk, &before, &at(4 * HOUR)).unwrap(), Opened::Access { until: NOON + 6 * HOUR });
    // Somebody puts the clock back by three hours.
    let back = moment(NOON + HOUR, "a", 4 * HOUR + 60);
    let over = custom(2, window(NOON, NOON + 2 * HOUR));
    for desk in [desk, self::desk(&host)] {
        assert!(matches!(give(&desk, &over, &back), Err(Refused::Password(Refusal::Late { .. }))));
        assert!(granted(&desk, &back).is_some());
        assert_eq!(granted(&desk, &moment(NOON + HOUR, "a", 6 * HOUR)), None, "the boot clock goes on");
    }
}

// covers: D06
#[test]
fn a_machine_without_a_clock_gains_no_time_by_being_started_again() {
    let (host, desk) = begun();
    give(&desk, &access(For::Hours1, 1), &at(0)).unwrap();
    drop(desk);
    // Each start of the machine is in 1970 again: nobody can tell how late it is.
    for start in 0..9 {
        let desk = self::desk(&host);
        for elapsed in [20, 600] {
            assert_eq!(
                granted(&desk, &moment(elapsed, &start.to_string(), elapsed)),
                None,
                "{start} {elapsed}"
            );
        }
    }
    // A clock that is right again, in time.
    assert_eq!(
        granted(&self::desk(&host), &moment(NOON + 3_000, "right", 9)),
        None,
        "two starts of ten minutes each and more"
    );
}

// covers: D07
#[test]
fn a_clock_of_1970_opens_nothing_and_says_so() {
    let (_host, desk) = begun();
    assert!(matches!(give(&desk, "?", &at(0)), Err(Refused::Typing(_))));
    for wall in [0, NOON - 25 * HOUR] {
        let refused = give(&desk, &access(For::Hours1, 1), &moment(wall, "b", 60)).unwrap_err();
        assert!(matches!(refused, Refused::ClockBehind { .. }), "{refused}");
    }
    assert!(give(&desk, &access(For::Hours1, 1), &moment(NOON - HOUR, "b", 60)).is_ok(), "an hour is none");
}

// covers: N11
#[test]
fn a_password_that_ends_a_wait_does_nothing_else_and_only_where_it_is_enabled() {
    let hosts = [Host::new(), Host::new()];
    let [without, with] = [(&hosts[0], false), (&hosts[1], true)].map(|(host, has_resets)| {
        let desk = Desk::new(host.begin(), Terms { has_resets, ..Terms::default() });
        (0..20).for_each(|_| assert!(give(&desk, &foreign(), &at(0)).is_err()));
        desk
    });
    assert!(matches!(give(&without, &reset(1), &at(1)), Err(Refused::TooMany { .. })));
    assert!(matches!(give(&without, &reset(1), &at(HOUR)), Err(Refused::NoResets)));
    let kept_out = give(&with, &access(For::Hours1, 2), &at(1)).unwrap_err();
    assert!(matches!(kept_out, Refused::TooMany { .. }), "{kept_out}");
    assert_eq!(give(&with, &reset(1), &at(1)).unwrap(), Opened::Again);
    assert_eq!(granted(&with, &at(1)), None);
    assert!(give(&with, &access(For::Hours1, 2), &at(1)).is_ok(), "it was not used up");
    assert!(matches!(give(&with, &reset(1), &at(2)), Err(Refused::Password(Refusal::Used { counter: 1 }))));
}

// covers: N8
#[test]
fn a_universal_password_opens_within_its_hour_again_and_again() {
    let host = Host::new();
    host.begin();
    let hour = NOON / HOUR;
    let chain = Chain::new([3; 16], 0x1234_5678_9abc, hour + 1_000);
    let with = |anchor| Desk::new(host.open().unwrap(), Terms { anchor, ..Terms::default() });
    let password = chain.password(hour).unwrap();
    let enabled = with(chain.anchor(hour - 1));
    for second in [0, 5, HOUR - 1] {
        assert_eq!(give(&enabled, &password, &at(second)).unwrap(), Opened::Access { until: NOON + HOUR });
    }
    assert!(give(&enabled, &password, &at(HOUR)).is_err());
    // Each use is told under a number of its own, rising.
    let numbers: Vec<_> = enabled.told().2.iter().map(|used| used.counter).collect();
    assert!(
        numbers.len() == 3 && numbers.is_sorted() && numbers[0] >= UNIVERSAL_FROM && numbers[0] != numbers[1],
        "{numbers:?}"
    );
    assert!(give(&with(None), &password, &at(0)).is_err(), "not enabled");
}
