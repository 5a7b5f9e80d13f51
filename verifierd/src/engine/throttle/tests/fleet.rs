use super::*;

fn host(number: u8) -> HostId {
    HostId::from_random([number; 16])
}

impl Bench {
    fn admit_at(&self, number: u8, subject: Subject<'_>, rhost: Option<&str>) -> Result<Admission, Refused> {
        self.throttles.admit(subject, &Source::new(Some(host(number)), rhost), None, &self.clock)
    }

    /// Wrong codes, as fast as they are looked at, for so many hours; how many were.
    fn guess_at(
        &self,
        number: u8,
        subject: Subject<'_>,
        rhost: impl Fn(u32) -> Option<String>,
        hours: u64,
    ) -> u32 {
        let end = self.clock.elapsed() + Duration::from_secs(hours * 3600);
        let mut looked = 0;
        while self.clock.elapsed() < end {
            match self.admit_at(number, subject, rhost(looked).as_deref()) {
                Ok(admission) => {
                    admission.fail(&self.clock, |_| ());
                    looked += 1;
                }
                Err(refused) => {
                    self.clock.advance(refused.wait.min(end.saturating_sub(self.clock.elapsed())))
                }
            }
        }
        looked
    }
}

// covers: B09
#[test]
fn one_host_makes_nobody_wait_at_another() {
    let bench = bench();
    for _ in 0..1_000 {
        if let Ok(admission) = bench.admit_at(1, ALICE, Some("192.0.2.1")) {
            admission.fail(&bench.clock, |_| ());
        }
        bench.advance(1);
    }
    assert!(bench.admit_at(1, ALICE, Some("192.0.2.1")).is_err());
    for rhost in [None, Some("192.0.2.1"), Some("198.51.100.7")] {
        assert!(bench.admit_at(2, ALICE, rhost).is_ok(), "{rhost:?}");
    }
    assert_eq!(bench.wait(ALICE, "192.0.2.1"), 0, "nor at the verifier itself");
}

// covers: B09, B13
#[test]
fn a_host_that_makes_places_up_is_soon_not_listened_to() {
    let bench = bench();
    let looked =
        bench.guess_at(1, ALICE, |number| Some(format!("10.0.{}.{}", number / 256, number % 256)), 48);
    assert!((25..=27).contains(&looked), "{looked} codes were looked at in two days");
    assert!(bench.admit_at(2, ALICE, Some("10.0.0.0")).is_ok());
    let local = bench.guess_at(1, ALICE, |_| None, 48);
    assert!((25..=27).contains(&local), "{local} codes were looked at in two days");
}

// covers: P3
#[test]
fn many_hosts_together_slow_a_guesser_as_one_would() {
    let bench = bench();
    let looked: Vec<u8> = (1..=100)
        .filter(|number| {
            let admitted = bench.admit_at(*number, ALICE, Some("192.0.2.1"));
            admitted.map(|admission| admission.fail(&bench.clock, |_| ())).is_ok()
        })
        .collect();
    assert_eq!(looked, [1, 2, 3, 4, 5]);
}

// covers: B03, B09
#[test]
fn what_one_host_has_in_flight_keeps_nobody_from_another() {
    let bench = bench();
    let held: Vec<_> = (0..100).filter_map(|_| bench.admit_at(1, ALICE, Some("192.0.2.1")).ok()).collect();
    assert_eq!(held.len(), 5);
    assert!(bench.admit_at(2, ALICE, Some("198.51.100.7")).is_ok());
}

// covers: P3
#[test]
fn an_accepted_login_at_a_host_ends_its_row_and_a_usual_place_stays_free() {
    let bench = bench();
    let succeed = || bench.admit_at(1, ALICE, Some("192.0.2.1")).expect("admitted").succeed(&bench.clock);
    succeed();
    bench.guess_at(1, ALICE, |number| Some(format!("10.0.0.{number}")), 24);
    assert!(bench.admit_at(1, ALICE, Some("10.0.1.1")).is_err(), "closed for strangers");
    succeed();
}

// covers: B13, P3
#[test]
fn a_source_that_sprays_is_slowed_at_hosts_that_it_has_not_reached_yet() {
    let bench = bench();
    let spray = |number: u8, user: u128| {
        let admitted = bench.admit_at(number, Subject::User(UserId(user)), Some("192.0.2.66"));
        admitted.map(|admission| admission.named(Whose::default()).fail(&bench.clock, |_| ())).is_ok()
    };
    for number in 1..=5 {
        assert_eq!((0..10).filter(|user| spray(number, 100 * u128::from(number) + user)).count(), 10);
    }
    assert!(bench.throttles.take_sprayed().is_empty());
    assert!(spray(6, 600));
    assert_eq!(bench.throttles.take_sprayed().len(), 1);
    assert!(!spray(7, 700) && !spray(8, 800));
    let other = bench.admit_at(7, Subject::User(UserId(700)), Some("198.51.100.1"));
    assert!(other.is_ok(), "nobody else is slowed");
}

// covers: B09
#[test]
fn one_host_slows_no_address_at_another() {
    let bench = bench();
    for user in 0..1_000 {
        if let Ok(admission) = bench.admit_at(1, Subject::User(UserId(user)), Some("192.0.2.1")) {
            admission.fail(&bench.clock, |_| ());
        }
    }
    assert!(bench.admit_at(1, Subject::User(UserId(5_000)), Some("192.0.2.1")).is_err());
    assert!(bench.admit_at(2, Subject::User(UserId(5_000)), Some("192.0.2.1")).is_ok());
}

// covers: B09
#[test]
fn a_place_that_is_usual_at_one_host_is_new_at_another() {
    let bench = bench();
    bench.admit_at(1, ALICE, Some("192.0.2.1")).expect("admitted").succeed(&bench.clock);
    let lanes = |number| {
        let admission = bench.admit_at(number, ALICE, Some("192.0.2.1")).expect("admitted");
        admission.fail(&bench.clock, |changes| changes.len())
    };
    assert_eq!(lanes(1), 2, "her place, and what counts the host");
    assert_eq!(lanes(2), 6, "all that count strangers too");
}

// covers: B09
#[test]
fn of_one_hosts_failures_a_quarter_of_a_hundred_count_wherever_it_says_they_come_from() {
    let bench = bench();
    // Real logins, from places that the host makes up: each is a usual one from then on.
    for number in 0..40 {
        let place = format!("10.9.0.{number}");
        bench.admit_at(1, ALICE, Some(&place)).expect("admitted").succeed(&bench.clock);
    }
    let mut charged = 0;
    for number in 0..40 {
        let place = format!("10.9.0.{number}");
        for _ in 0..4 {
            let admission = bench.admit_at(1, ALICE, Some(&place)).expect("free");
            charged += usize::from(admission.is_charged());
            admission.fail(&bench.clock, |_| ());
        }
    }
    assert_eq!(charged, 25);
    assert!(bench.admit_at(2, ALICE, Some("192.0.2.1")).expect("admitted").is_charged(), "at another host");
    assert!(bench.admit(ALICE, "local").expect("admitted").is_charged(), "at the verifier's own machine");
}

// covers: B06, B08, B09
#[test]
fn a_host_that_makes_names_and_places_up_fills_the_table_for_nobody_else() {
    let bench = bench();
    for number in 0..60_000_u32 {
        let (name, place) =
            (format!("user{number}"), format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255));
        if let Ok(admission) = bench.admit_at(1, Subject::Unknown(&name), Some(&place)) {
            admission.fail(&bench.clock, |_| ());
        }
    }
    assert!(bench.throttles.counts.len() <= 6 * 20_000 + 2 * 256, "{} counts", bench.throttles.counts.len());
    let looked =
        bench.guess_at(1, ALICE, |number| Some(format!("172.16.{}.{}", number / 256, number % 256)), 20);
    assert_eq!(looked, 25, "nor has it more guesses for one user than it had");
    bench.advance(24 * 3600);
    let more = bench.admit_at(1, ALICE, Some("172.17.0.1")).expect("one more the next day");
    assert!(!more.is_charged());
    for user in 0..500 {
        assert!(bench.admit_at(2, Subject::User(UserId(user)), Some("192.0.2.1")).is_ok());
        assert!(bench.admit_at(2, Subject::User(UserId(user)), None).is_ok());
    }
}
