use super::*;

fn alice_at(place: &str) -> Whose {
    Whose { user: Some("alice".into()), host: None, place: Some(place.into()) }
}

// covers: P3
#[test]
fn who_has_to_wait_is_listed_and_let_go() {
    let bench = bench();
    let fail = || {
        let admission =
            bench.admit(ALICE, "192.0.2.1").expect("admitted").named(alice_at("address 192.0.2.1"));
        admission.fail(&bench.clock, |changes| changes)
    };
    (0..4).for_each(|_| drop(fail()));
    assert_eq!(bench.throttles.bans(&bench.clock), []);
    let written = fail();
    let bans = bench.throttles.bans(&bench.clock);
    let elsewhere = Whose { place: None, ..alice_at("") };
    let whose: Vec<_> =
        bans.iter().map(|ban| (ban.whose.clone(), ban.failures, ban.wait.as_secs())).collect();
    assert_eq!(bans.len(), 2);
    assert!(whose.contains(&(alice_at("address 192.0.2.1"), 5, 1)) && whose.contains(&(elsewhere, 5, 1)));

    // After a restart too.
    let newer = Throttles::new(IndexHasher::new(&MasterKey::generate().unwrap(), "throttles"));
    for change in written {
        let Change::Put { kind, key, value } = change else { panic!("a count was deleted") };
        newer.take(&Record { kind, key, value }, &bench.clock);
    }
    assert_eq!(newer.bans(&bench.clock), bans);

    let lifted: Vec<_> = bans.iter().map(|ban| bench.throttles.lift(&ban.id, |whose, _| whose)).collect();
    assert_eq!(lifted, bans.iter().map(|ban| Some(ban.whose.clone())).collect::<Vec<_>>());
    assert_eq!((bench.wait(ALICE, "192.0.2.1"), bench.throttles.bans(&bench.clock).len()), (0, 0));
    assert_eq!(bench.throttles.lift(&bans[0].id, |_, _| ()), None, "once");
}

// covers: P3
#[test]
fn a_ban_ends_with_an_accepted_login_and_with_its_time() {
    let bench = bench();
    let fail = |source: &str| {
        bench.admit(ALICE, source).expect("admitted").named(alice_at(source)).fail(&bench.clock, |_| ());
    };
    (0..5).for_each(|_| fail("local"));
    assert_eq!(bench.throttles.bans(&bench.clock).len(), 1);
    bench.advance(1);
    assert_eq!(bench.throttles.bans(&bench.clock).len(), 0);
    fail("local");
    bench.advance(2);
    bench.succeed(ALICE, "local");
    (0..4).for_each(|_| fail("local"));
    assert_eq!(bench.throttles.bans(&bench.clock).len(), 0, "the row began anew");
}
