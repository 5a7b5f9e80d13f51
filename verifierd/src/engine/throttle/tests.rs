mod bans;
mod fleet;

use super::*;
use crate::clock::ManualClock;
use crate::keys::MasterKey;

const ALICE: Subject<'_> = Subject::User(UserId(1));
const BOB: Subject<'_> = Subject::User(UserId(2));

struct Bench {
    throttles: Arc<Throttles>,
    clock: ManualClock,
}

fn bench() -> Bench {
    let master = MasterKey::generate().unwrap();
    Bench {
        throttles: Arc::new(Throttles::new(IndexHasher::new(&master, "throttles"))),
        clock: ManualClock::at(1_800_000_000),
    }
}

impl Bench {
    fn admit(&self, subject: Subject<'_>, source: &str) -> Result<Admission, Refused> {
        let source = Source::new(None, (source != "local").then_some(source));
        self.throttles.admit(subject, &source, None, &self.clock)
    }

    fn fail(&self, subject: Subject<'_>, source: &str) -> Vec<Change> {
        self.admit(subject, source).expect("admitted").fail(&self.clock, |changes| changes)
    }

    fn succeed(&self, subject: Subject<'_>, source: &str) {
        self.admit(subject, source).expect("admitted").succeed(&self.clock);
    }

    fn wait(&self, subject: Subject<'_>, source: &str) -> u64 {
        self.admit(subject, source).err().map_or(0, |refused| refused.wait.as_secs())
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

// covers: B01, P3
#[test]
fn the_fifth_failure_in_a_row_starts_waits_that_double() {
    let bench = bench();
    (0..4).for_each(|_| drop(bench.fail(ALICE, "local")));
    assert_eq!(bench.wait(ALICE, "local"), 0);
    for wait in [1, 2, 4, 8] {
        bench.fail(ALICE, "local");
        assert_eq!(bench.wait(ALICE, "local"), wait);
        bench.advance(wait);
    }
    assert_eq!(bench.wait(BOB, "local"), 0);
}

// covers: B03
#[test]
fn many_tries_at_once_cannot_outrun_the_count() {
    let bench = bench();
    let admitted: Vec<_> = (0..1_000).filter_map(|_| bench.admit(ALICE, "local").ok()).collect();
    assert_eq!(admitted.len(), 5);
    admitted.into_iter().for_each(|admission| drop(admission.fail(&bench.clock, |changes| changes)));
    assert_eq!(bench.wait(ALICE, "local"), 1);
    assert_eq!(bench.wait(BOB, "local"), 0);
}

// covers: B03
#[test]
fn a_look_that_is_not_counted_counts_while_it_lasts() {
    let bench = bench();
    let (gate, local) = (Gate::default(), Source::new(None, None));
    let glance = || bench.throttles.glance(UserId(1), &gate, &local, &bench.clock);
    let admit = || bench.throttles.admit(ALICE, &local, Some(&gate), &bench.clock).ok();
    let look = glance().expect("nothing speaks against her");
    assert!(glance().is_none(), "one at a time");
    let mut admitted: Vec<_> = (0..100).filter_map(|_| admit()).collect();
    assert_eq!(admitted.len(), 4);
    admitted.push(look.admitted(&bench.clock));
    assert!(admit().is_none());
    admitted.into_iter().for_each(|admission| drop(admission.fail(&bench.clock, |changes| changes)));
    assert_eq!(bench.wait(ALICE, "local"), 1);
    assert!(glance().is_none(), "her failures are to be counted");
}

// covers: B03, B13
#[test]
fn only_at_a_usual_place_a_look_may_go_uncounted() {
    let bench = bench();
    let (gate, office) = (Gate::default(), Source::new(None, Some("192.0.2.1")));
    let is_free = || bench.throttles.glance(UserId(1), &gate, &office, &bench.clock).is_some();
    assert!(!is_free());
    bench.succeed(ALICE, "192.0.2.1");
    assert!(is_free());
    let admit = || bench.throttles.admit(ALICE, &office, Some(&gate), &bench.clock).expect("admitted");
    let admission = admit();
    assert!(!is_free(), "another try is in flight");
    drop(admission);
    assert!(is_free());
    admit().fail(&bench.clock, |_| ());
    assert!(!is_free(), "a failure is counted");
    admit().succeed(&bench.clock);
    assert!(is_free());
    bench.advance(25 * 3600);
    assert!(!is_free(), "her place is to be written down anew");
}

// covers: B03
#[test]
fn threads_that_look_and_threads_that_are_admitted_do_not_outrun_the_count() {
    const THREADS: usize = 8;
    let (bench, local) = (bench(), Source::new(None, None));
    for round in 0..500 {
        let (user, gate) = (UserId(10_000 + round), Gate::default());
        let start = std::sync::Barrier::new(THREADS);
        let guess = || {
            start.wait();
            let looked = bench.throttles.glance(user, &gate, &local, &bench.clock);
            let admission = match looked {
                Some(glance) => Some(glance.admitted(&bench.clock)),
                None => bench.throttles.admit(Subject::User(user), &local, Some(&gate), &bench.clock).ok(),
            };
            // Held until all have tried: none of them is counted as failed yet.
            start.wait();
            usize::from(admission.is_some())
        };
        let looked: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(guess)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!((4..=5).contains(&looked), "{looked} codes were compared");
    }
}

// covers: B03
#[test]
fn many_may_log_in_at_once_from_one_new_address() {
    let bench = bench();
    let user = |id: u128| Subject::User(UserId(1_000 + id));
    let matched = |id| {
        let mut admission = bench.admit(user(id), "192.0.2.1").expect("a right code is no guess");
        admission.matched();
        admission
    };
    let mut logins: Vec<_> = (0..1_000).map(matched).collect();
    let guesses: Vec<_> = (5_000..6_000).filter_map(|id| bench.admit(user(id), "192.0.2.1").ok()).collect();
    assert_eq!(guesses.len(), 51);
    logins.pop().unwrap().fail(&bench.clock, |_| ());
    logins.into_iter().for_each(|admission| admission.succeed(&bench.clock));
    assert!(bench.admit(user(9_000), "192.0.2.1").is_err(), "the guesses are still in flight");
    drop(guesses);
    assert!(bench.admit(user(9_000), "192.0.2.1").is_ok());
}

#[test]
fn refused_tries_lengthen_no_wait() {
    let bench = bench();
    (0..5).for_each(|_| drop(bench.fail(ALICE, "local")));
    (0..100).for_each(|_| assert_eq!(bench.wait(ALICE, "local"), 1));
    bench.advance(1);
    assert_eq!(bench.wait(ALICE, "local"), 0);
}

// covers: P3
#[test]
fn strangers_elsewhere_do_not_slow_the_owner_at_his_usual_place() {
    let bench = bench();
    bench.succeed(ALICE, "192.0.2.1");
    for stranger in 0..20 {
        let source = format!("198.51.100.{stranger}");
        if let Ok(admission) = bench.admit(ALICE, &source) {
            admission.fail(&bench.clock, |changes| changes);
        }
    }
    assert!(bench.wait(ALICE, "203.0.113.9") > 0, "anywhere new is slowed");
    assert_eq!(bench.wait(ALICE, "192.0.2.1"), 0);
    assert_eq!(bench.wait(ALICE, "local"), 0);
}

// covers: P3
#[test]
fn a_source_that_fails_for_many_users_is_slowed_for_users_new_to_it() {
    let bench = bench();
    let user = |id: u128| Subject::User(UserId(1_000 + id));
    bench.succeed(ALICE, "192.0.2.1");
    (0..51).for_each(|id| drop(bench.fail(user(id), "192.0.2.1")));
    assert!(bench.wait(BOB, "192.0.2.1") > 0);
    assert_eq!(bench.wait(ALICE, "192.0.2.1"), 0);
}

// covers: B02
#[test]
fn counts_survive_a_restart_and_waits_begin_anew() {
    let first = bench();
    let mut records = std::collections::HashMap::new();
    for _ in 0..6 {
        for change in first.fail(ALICE, "192.0.2.1") {
            let Change::Put { kind, key, value } = change else { panic!("a failure only adds") };
            records.insert(key.clone(), Record { kind, key, value });
        }
        first.advance(3);
    }
    let second = Throttles {
        hasher: IndexHasher::new(&MasterKey::generate().unwrap(), "x"),
        ..Throttles::new(IndexHasher::new(&MasterKey::generate().unwrap(), "y"))
    };
    records.into_values().for_each(|record| second.take(&record, &first.clock));
    let (mut counts, mut pair) = (Vec::new(), None);
    second.counts.each(|_, count| {
        counts.push((count.lane, count.failures));
        pair = pair.or((count.lane == Lane::Pair).then_some(count.wait_until));
    });
    counts.sort_by_key(|(lane, _)| *lane as u8);
    assert_eq!(counts, [(Lane::Pair, 6), (Lane::Elsewhere, 6), (Lane::Source, 6)]);
    assert_eq!(pair, Some(first.clock.elapsed() + Duration::from_secs(2)));
}

// covers: B12
#[test]
fn a_step_of_the_wall_clock_does_not_shorten_a_wait() {
    let bench = bench();
    (0..6).for_each(|_| {
        drop(bench.fail(ALICE, "local"));
        bench.advance(1);
    });
    let wait = bench.wait(ALICE, "local");
    bench.clock.set_wall(4_000_000_000);
    assert_eq!(bench.wait(ALICE, "local"), wait);
    bench.clock.set_wall(0);
    assert_eq!(bench.wait(ALICE, "local"), wait);
}

#[test]
fn an_admission_that_is_dropped_counts_as_not_made() {
    let bench = bench();
    (0..100).for_each(|_| drop(bench.admit(ALICE, "local").unwrap()));
    assert_eq!(bench.wait(ALICE, "local"), 0);
    assert_eq!(bench.admit(ALICE, "192.0.2.1").unwrap().success_changes(&bench.clock).len(), 1);
}

#[test]
fn a_login_inside_leaves_nothing_behind() {
    let bench = bench();
    let admission = bench.admit(ALICE, "local").unwrap();
    assert!(admission.success_changes(&bench.clock).is_empty());
    admission.succeed(&bench.clock);
    assert_eq!(bench.throttles.counts.len(), 0);
    bench.fail(ALICE, "local");
    let admission = bench.admit(ALICE, "local").unwrap();
    assert!(matches!(admission.success_changes(&bench.clock)[..], [Change::Delete { .. }]));
    admission.succeed(&bench.clock);
    assert_eq!(bench.throttles.counts.len(), 0);
}

#[test]
fn a_second_login_from_a_usual_source_writes_nothing() {
    let bench = bench();
    bench.succeed(ALICE, "192.0.2.1");
    assert!(bench.admit(ALICE, "192.0.2.1").unwrap().success_changes(&bench.clock).is_empty());
}

#[test]
fn a_sweep_forgets_what_is_old_and_keeps_what_is_not() {
    let bench = bench();
    bench.fail(ALICE, "local");
    bench.succeed(BOB, "192.0.2.1");
    let sweep = || bench.throttles.sweep(&bench.clock, usize::MAX, |changes| changes).1.len();
    bench.advance(2);
    // Nothing is kept of the source itself, nor of where else Bob may come from.
    assert_eq!(sweep(), 0);
    assert_eq!(bench.throttles.counts.len(), 2);
    bench.advance(25 * 3600);
    assert_eq!(sweep(), 1);
    assert_eq!(bench.throttles.counts.len(), 1);
}

// covers: A20, B07
#[test]
fn names_that_are_unknown_are_slowed_like_known_ones_and_only_for_themselves() {
    let bench = bench();
    for invented in 0..2_000 {
        bench.fail(
            Subject::Unknown(&format!("user{invented}")),
            &format!("198.51.{}.{}", invented / 250, invented % 250),
        );
    }
    for subject in [Subject::Unknown("mallory"), ALICE] {
        (0..5).for_each(|_| drop(bench.fail(subject, "192.0.2.1")));
        assert_eq!((bench.wait(subject, "192.0.2.1"), bench.wait(subject, "192.0.2.2")), (1, 1));
    }
}

#[test]
fn a_full_table_shares_counts_and_grows_no_further_than_them() {
    let bench = bench();
    for number in 0..ENTRIES_MAX {
        let key = bench.throttles.hasher.key(&[&number.to_be_bytes()]);
        bench.throttles.counts.enter(key, Duration::ZERO, Count::default, |_| ());
    }
    for invented in 0..70_000 {
        if let Ok(admission) = bench.admit(Subject::Unknown(&format!("user{invented}")), "local") {
            admission.fail(&bench.clock, |changes| changes);
        }
    }
    assert!(bench.throttles.counts.len() <= ENTRIES_MAX + 65_536);
}

#[test]
fn places_where_users_log_in_fill_the_table_for_nobody_else() {
    let bench = bench();
    for user in 0..20 {
        bench.succeed(Subject::User(UserId(user)), "192.0.2.1");
    }
    assert_eq!(bench.throttles.usual.load(Ordering::Relaxed), 20);
    bench.succeed(ALICE, "192.0.2.1");
    assert_eq!(bench.throttles.usual.load(Ordering::Relaxed), 20);
    bench.clock.set_wall(1_800_000_000 + 91 * 24 * 3600);
    bench.advance(3_601);
    bench.throttles.sweep(&bench.clock, usize::MAX, |_| ());
    assert_eq!((bench.throttles.usual.load(Ordering::Relaxed), bench.throttles.counts.len()), (0, 0));
}
