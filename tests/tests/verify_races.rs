//! `POST /v1/verify` at a barrier: single use, counters, throttles, without a dialogue between.

use std::fs;
use std::sync::Barrier;
use std::thread;

use system_tests::authenticator::Authenticator;
use system_tests::flows::{activated, associated};
use system_tests::fob::Fob;
use system_tests::history::{Answer, Evidence, SharedHistory};
use system_tests::login_socket::{Login, random_id};
use system_tests::machine::Machine;
use system_tests::verifier::Verifier;
use system_tests::verify_socket::VerifyConnection;
use system_tests::{postern, rounds, time};
use wire::login::Verdict;

/// How many connections offer a code at once.
const CONNECTIONS: usize = 200;

/// Sends each code on a connection of its own, all at one instant.
fn at_once<'a>(tries: impl IntoIterator<Item = (Login, &'a str)>) -> Vec<Answer> {
    let tries: Vec<_> = tries.into_iter().collect();
    let barrier = Barrier::new(tries.len());
    thread::scope(|scope| {
        let answers: Vec<_> = tries
            .iter()
            .map(|(login, code)| {
                let mut connection = VerifyConnection::open().expect("a connection");
                let (barrier, id) = (&barrier, random_id().expect("an id"));
                scope.spawn(move || {
                    barrier.wait();
                    connection.ask(login, code, &id).expect("it takes the request");
                    connection.answer(login, code, &id).expect("a verdict")
                })
            })
            .collect();
        answers.into_iter().map(|answer| answer.join().expect("no panic")).collect()
    })
}

/// From several addresses and for several services, so that no limit but single use decides.
fn from_everywhere(user: &str, number: usize) -> Login {
    let service = ["sshd", "sudo", "su", "login"][number % 4];
    Login::by_ssh(user).from(&format!("192.0.2.{}", number % 250)).to(service)
}

// covers: A05, A13
#[test]
fn of_200_verifications_of_one_valid_code_exactly_one_is_allowed() {
    let machine = Machine::new();
    let verifier = Verifier::start_in_real_time();
    let history = SharedHistory::default();
    let rounds = rounds("POSTERN_RACE_ROUNDS", 20);
    // A user for each round: a token has one password in 30 s, and the clock is real.
    for (round, user) in machine.add_bare_users("racer", rounds).iter().enumerate() {
        let phone = activated(&verifier, user);
        let code = verifier.code(&phone);
        let answers = at_once((0..CONNECTIONS).map(|number| (from_everywhere(user, number), code.as_str())));
        let allowed = answers.iter().filter(|answer| answer.verdict == Verdict::Allow).count();
        assert_eq!(allowed, 1, "round {round} of {rounds}");
        answers.into_iter().for_each(|answer| history.push(answer));
    }
    history.with(|history| history.judge(&Evidence::of_daemon()));
    println!("{rounds} rounds of {CONNECTIONS} verifications, one accept each");
}

// covers: A08
#[test]
fn of_three_counters_verified_at_once_none_is_accepted_twice_and_none_falls() {
    let _machine = Machine::new();
    let _verifier = Verifier::start();
    let mut fob = Fob::with_button("2600123456789").shaped(otp_core::Algorithm::Sha1, 8);
    associated(&mut fob, "alice");
    let history = SharedHistory::default();
    let rounds = rounds("POSTERN_COUNTER_ROUNDS", 100);
    for round in 0..rounds {
        let codes = [fob.press(), fob.press(), fob.press()];
        let order = [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1], [0, 2, 1], [1, 0, 2]][round % 6];
        for _ in 0..2 {
            let tries = order.map(|index| (Login::by_ssh("alice"), codes[index].as_str()));
            at_once(tries).into_iter().for_each(|answer| history.push(answer));
        }
        // The newest is right whatever came before it, so all three are used up or skipped.
        assert_eq!(postern::token(&fob.serial).counter, Some(fob.counter()), "round {round}");
        history.with(|history| history.saw(&Evidence::of_tokens()));
    }
    history.with(|history| {
        history.judge(&Evidence::of_daemon());
        assert!((rounds..=3 * rounds).contains(&history.accepted()), "{} accepts", history.accepted());
    });
}

/// A user for guesses, and twenty others with their phones.
fn victims(machine: &Machine, verifier: &Verifier) -> (Authenticator, Vec<(String, Authenticator)>) {
    let phone = activated(verifier, "alice");
    let users = machine.add_bare_users("user", 20);
    (phone, users.into_iter().map(|user| (user.clone(), activated(verifier, &user))).collect())
}

/// All of them at one instant; everybody gets in.
fn all_get_in(verifier: &Verifier, others: &[(String, Authenticator)]) {
    let codes: Vec<String> = others.iter().map(|(_, phone)| verifier.code(phone)).collect();
    let tries = others.iter().zip(&codes);
    let answers =
        at_once(tries.map(|((user, _), code)| (Login::by_ssh(user).from("203.0.113.9"), code.as_str())));
    for answer in answers {
        assert_eq!(answer.verdict, Verdict::Allow, "{answer:?}");
    }
}

// covers: B03
#[test]
fn of_a_thousand_wrong_codes_verified_at_once_a_handful_is_looked_at_and_others_get_in() {
    let machine = Machine::new();
    let verifier = Verifier::start_in_real_time();
    let (phone, others) = victims(&machine, &verifier);
    let wrong = verifier.wrong_code(&phone);
    let before = postern::status().codes_evaluated;
    let answers = at_once((0..1_000).map(|_| (Login::by_ssh("alice"), wrong.as_str())));
    assert!(answers.iter().all(|answer| answer.verdict == Verdict::Deny));
    let evaluated = postern::status().codes_evaluated - before;
    assert!(evaluated <= 10, "{evaluated} of 1,000 guesses were looked at");
    all_get_in(&verifier, &others);
}

// covers: B15
#[test]
fn ten_thousand_throttled_tries_are_not_looked_at_and_others_get_in_meanwhile() {
    const CLIENTS: usize = 100;
    const TRIES: usize = 100;
    let machine = Machine::new();
    let verifier = Verifier::start_in_real_time();
    let (phone, others) = victims(&machine, &verifier);
    let wrong = verifier.wrong_code(&phone);
    // Five wrong codes from one place, and one more is throttled.
    at_once((0..10).map(|_| (Login::by_ssh("alice"), wrong.as_str())));
    let before = postern::status().codes_evaluated;
    let (begun, cpu) = (time::now(), processor_seconds(&verifier));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut connection = VerifyConnection::open().expect("a connection");
                for _ in 0..TRIES {
                    let answer = connection.verify(&Login::by_ssh("alice"), &wrong).expect("a verdict");
                    assert_eq!(answer.verdict, Verdict::Deny);
                }
            });
        }
        all_get_in(&verifier, &others);
    });
    let (took, cpu) = ((time::now() - begun).as_secs_f64(), processor_seconds(&verifier) - cpu);
    let evaluated = postern::status().codes_evaluated - before - others.len() as u64;
    assert!(evaluated <= 10, "{evaluated} of the throttled tries were looked at");
    let (tries, share) = ((CLIENTS * TRIES) as f64 / took, cpu / took);
    println!(
        "{tries:.0} throttled tries a second took {share:.2} processors, {:.0} us each",
        1e6 * cpu / 1e4
    );
}

/// Processor time that the daemon has used, in seconds.
fn processor_seconds(verifier: &Verifier) -> f64 {
    const TICKS_EACH_SECOND: f64 = 100.0;
    let stat = format!("/proc/{}/stat", verifier.id().as_raw_nonzero());
    let text = fs::read_to_string(stat).expect("its times");
    // Behind the name, which may hold anything: the 12th and 13th fields are user and system time.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().expect("a number")).sum();
    ticks / TICKS_EACH_SECOND
}
