//! The daemon dies at any moment: what was accepted is in the store, and nothing is accepted again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use system_tests::authenticator::Authenticator;
use system_tests::flows::{activated, associated, ssh_login};
use system_tests::fob::Fob;
use system_tests::history::{Answer, History};
use system_tests::login_socket::{Dialogue, Login, reference, verdict};
use system_tests::machine::{ALICE, Machine};
use system_tests::sshd::Sshd;
use system_tests::verifier::{Verifier, config};
use system_tests::{postern, rounds, time};
use wire::login::{Next, Verdict};

/// How many users log in at once while the daemon is killed.
const USERS: usize = 8;

/// Seconds in a time step of the rig's tokens.
const STEP_SECONDS: u64 = 30;

/// A one-time password that was sent, whatever became of it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Sent {
    step: u64,
    user: String,
    code: String,
}

// covers: A05, B02
#[test]
fn a_killed_daemon_still_refuses_what_it_accepted_before() {
    let _machine = Machine::new();
    let mut verifier = Verifier::start();
    let _sshd = Sshd::start();
    let phone = activated(&verifier, "alice");
    let code = verifier.code(&phone);
    ssh_login(ALICE, &code).logged_in();
    verifier.kill();
    verifier.launch();
    let shown = ssh_login(ALICE, &code).refused();
    assert!(shown.contains("already used") || shown.contains("just started"), "{shown}");
    verifier.clock.advance(120);
    ssh_login(ALICE, &verifier.code(&phone)).logged_in();
}

// covers: B02
#[test]
fn failures_are_counted_across_a_kill() {
    let _machine = Machine::new();
    let mut verifier = Verifier::prepare(&config("")).with_stepped_waits();
    verifier.initialise();
    verifier.launch();
    let phone = activated(&verifier, "alice");
    let login = Login::by_ssh("alice");
    for _ in 0..7 {
        assert_eq!(login.verdict(&verifier.wrong_code(&phone)), Verdict::Deny);
        verifier.clock.advance(10);
    }
    let serial = postern::only_token("alice").serial;
    assert_eq!(postern::token(&serial).failures, 7);

    verifier.crash_and_return();
    assert_eq!(postern::token(&serial).failures, 7, "counts are durable");
    assert_eq!(login.verdict(&verifier.wrong_code(&phone)), Verdict::Deny);
    let reply = login.attempt(&verifier.code(&phone)).expect("an answer");
    assert_eq!(verdict(&reply), Verdict::Deny, "the 8th failure in a row costs 8 s");
    assert!(reply.show.concat().contains("Too many attempts. Try again in "), "{reply:?}");
    verifier.clock.advance(30);
    assert_eq!(login.verdict(&verifier.code(&phone)), Verdict::Allow);
}

// covers: G01, A05
#[test]
fn every_accept_outlives_a_kill_at_any_moment() {
    let machine = Machine::new();
    let mut verifier = Verifier::prepare(&config("")).with_stepped_waits();
    verifier.initialise();
    verifier.launch();
    let users = machine.add_bare_users("user", USERS);
    let phones: Vec<(String, Authenticator)> =
        users.iter().map(|user| (user.clone(), activated(&verifier, user))).collect();
    let history = Mutex::new(History::default());
    let kills = rounds("POSTERN_KILLS", 10);
    for kill in 0..kills {
        // 0 to 40 ms of load, spread over the kills in an order that looks random and is the same every time.
        let moment = Duration::from_micros((kill as u64 * 7919) % 40_000);
        let sent = load_until_kill(&mut verifier, &phones, moment, &history);
        verifier.launch();
        // At once, while their time steps may still be inside the window; older ones are wrong for any daemon.
        let oldest = verifier.now() / STEP_SECONDS - 2;
        for sent in sent.iter().filter(|sent| sent.step >= oldest) {
            submit(&sent.user, &sent.code, &history);
        }
        // Past the steps that an unclean end closes, and past any wait.
        verifier.clock.advance(4_000);
    }
    let history = history.into_inner().unwrap_or_else(PoisonError::into_inner);
    history.judge(&postern::audit());
    assert!(history.accepted() >= kills, "only {} accepts: this was no load", history.accepted());
    let output = postern::run(&["audit", "verify"]);
    assert!(output.status.success(), "{output:?}");
    println!("{kills} kills, {} accepts, all in the store and none twice", history.accepted());
}

// covers: A08, G01
#[test]
fn a_counter_never_falls_whenever_the_daemon_dies() {
    let _machine = Machine::new();
    let mut verifier = Verifier::start();
    let mut fob = Fob::with_button("2600123456789").shaped(otp_core::Algorithm::Sha1, 8);
    associated(&mut fob, "alice");
    let history = Mutex::new(History::default());
    let mut before = 0;
    let kills = rounds("POSTERN_KILLS", 10);
    for kill in 0..kills {
        let moment = Duration::from_micros(20_000 + (kill as u64 * 7919) % 40_000);
        let last_accepted = press_until_kill(&mut verifier, &mut fob, moment, &history);
        verifier.launch();
        let counter = postern::token(&fob.serial).counter.expect("a counter");
        assert!(counter >= before, "kill {kill}: the counter fell from {before} to {counter}");
        if let Some(accepted) = last_accepted {
            assert!(counter > accepted, "kill {kill}: {accepted} was accepted, and {counter} is next");
            submit("alice", &fob.value(accepted), &history);
        }
        before = counter;
        postern::unlock("alice");
    }
    let history = history.into_inner().unwrap_or_else(PoisonError::into_inner);
    let audit = postern::audit();
    history.judge(&audit);
    history.judge_counters(&audit);
    assert!(history.accepted() > kills, "only {} accepts: this was no load", history.accepted());
    println!("{} accepts and {kills} kills", history.accepted());
}

/// Logs in with one code after the other until the daemon is killed; returns the counter of the last accept.
fn press_until_kill(
    verifier: &mut Verifier,
    fob: &mut Fob,
    moment: Duration,
    history: &Mutex<History>,
) -> Option<u64> {
    let gone = AtomicBool::new(false);
    thread::scope(|scope| {
        let user = scope.spawn(|| {
            let mut last = None;
            while !gone.load(Ordering::Relaxed) {
                let Ok(prompt) = Login::by_ssh("alice").begin() else { continue };
                let Ok(mut reply) = prompt.answer(&fob.press()) else { continue };
                // After an unclean stop two codes are asked for, once.
                if matches!(reply.next, Next::Ask { .. }) {
                    let Ok(after) = (Dialogue { reply }).answer(&fob.press()) else { continue };
                    reply = after;
                }
                let (verdict, reference) = (verdict(&reply), reference(&reply));
                if verdict == Verdict::Allow {
                    last = Some(fob.counter() - 1);
                }
                let code = fob.value(fob.counter() - 1);
                let answer = Answer { user: "alice".into(), code, verdict, reference };
                history.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
            }
            last
        });
        time::wait_at_most(moment, || None::<()>);
        verifier.kill();
        gone.store(true, Ordering::Relaxed);
        user.join().expect("no panic")
    })
}

/// Everybody logs in again and again until the daemon is gone; returns every password that was sent.
fn load_until_kill(
    verifier: &mut Verifier,
    phones: &[(String, Authenticator)],
    moment: Duration,
    history: &Mutex<History>,
) -> BTreeSet<Sent> {
    let gone = AtomicBool::new(false);
    let clock = verifier.clock.clone();
    thread::scope(|scope| {
        let clients: Vec<_> = phones
            .iter()
            .map(|(user, phone)| {
                let (gone, clock) = (&gone, &clock);
                scope.spawn(move || {
                    let mut sent = BTreeSet::new();
                    while !gone.load(Ordering::Relaxed) {
                        let now = clock.unix_now();
                        let code = phone.code(now);
                        submit(user, &code, history);
                        sent.insert(Sent { step: now / STEP_SECONDS, user: user.clone(), code });
                    }
                    sent
                })
            })
            .collect();
        // Steps of the clock make fresh codes all the while.
        time::wait_at_most(moment, || {
            clock.advance(30);
            None::<()>
        });
        verifier.kill();
        gone.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect()
    })
}

/// One login; an answer that never came is none.
fn submit(user: &str, code: &str, history: &Mutex<History>) {
    let Ok(reply) = Login::by_ssh(user).attempt(code) else { return };
    if matches!(reply.next, Next::Ask { .. }) {
        return;
    }
    let answer = Answer {
        user: user.to_owned(),
        code: code.to_owned(),
        verdict: verdict(&reply),
        reference: reference(&reply),
    };
    history.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
}
