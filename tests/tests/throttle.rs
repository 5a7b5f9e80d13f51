//! Guessing gets slower and then ends; strangers do not lock the owner out; nothing resets the count.

use std::sync::Barrier;
use std::thread;

use system_tests::api::{self, KEY, Transport, item, verify, verify_all};
use system_tests::authenticator::Authenticator;
use system_tests::flows::{QUESTION, activated, reference_in, ssh_login, sudo};
use system_tests::login_socket::{Login, verdict};
use system_tests::machine::{ALICE, Machine, run};
use system_tests::sshd::{self, Sshd};
use system_tests::terminal::Terminal;
use system_tests::verifier::{Verifier, config};
use system_tests::{metrics, postern};
use wire::admin::TokenState;
use wire::login::Verdict;
use wire::verify::BATCH_ITEMS_MAX;

/// A daemon whose waits run on the clock that the test steps, and alice's phone.
fn start() -> (Machine, Verifier, Authenticator) {
    let machine = Machine::new();
    let mut verifier = Verifier::prepare(&config("")).with_stepped_waits();
    verifier.initialise();
    verifier.launch();
    let phone = activated(&verifier, "alice");
    (machine, verifier, phone)
}

fn failures(user: &str) -> u32 {
    postern::only_token(user).failures
}

// covers: B01, P3
#[test]
fn the_hundredth_failure_disables_the_token_on_every_surface() {
    let (machine, verifier, phone) = start();
    for guess in 1..=100 {
        let login = Login::by_ssh("alice").from(&format!("198.51.100.{guess}"));
        assert_eq!(login.verdict(&verifier.wrong_code(&phone)), Verdict::Deny, "guess {guess}");
        assert_eq!(failures("alice"), guess, "every guess was looked at");
        verifier.clock.advance(3_700);
    }
    assert_eq!(postern::only_token("alice").state, TokenState::Disabled);
    let _sshd = Sshd::start();
    let shown = ssh_login(ALICE, &verifier.next_code(&phone)).refused();
    assert!(shown.contains("Access denied."), "{shown}");
    assert_eq!(postern::explain(&reference_in(&shown)).reason, "token_disabled");
    sudo(&machine, ALICE, &verifier.next_code(&phone)).refused();
    let hundredth =
        postern::audit().into_iter().rfind(|record| record.reason == "wrong_code").expect("a record");
    assert!(
        hundredth.detail.is_some_and(|detail| detail.contains("disabled")),
        "the record says what it did"
    );
}

// covers: B03
#[test]
fn of_a_thousand_wrong_codes_at_once_a_handful_is_looked_at() {
    let machine = Machine::new();
    let verifier = Verifier::start_in_real_time();
    let phone = activated(&verifier, "alice");
    let users = machine.add_bare_users("user", 20);
    let phones: Vec<Authenticator> = users.iter().map(|user| activated(&verifier, user)).collect();
    let wrong = verifier.wrong_code(&phone);
    let before = postern::status().codes_evaluated;
    // 100 at a time: the connections, not the guesses, are what the machine can hold.
    for _ in 0..10 {
        let dialogues: Vec<_> =
            (0..100).map(|_| Login::by_ssh("alice").begin().expect("a question")).collect();
        let barrier = Barrier::new(dialogues.len());
        thread::scope(|scope| {
            for dialogue in &dialogues {
                scope.spawn(|| {
                    barrier.wait();
                    let reply = dialogue.answer(&wrong).expect("an answer");
                    assert_eq!(verdict(&reply), Verdict::Deny);
                });
            }
        });
    }
    let evaluated = postern::status().codes_evaluated - before;
    assert!(evaluated <= 10, "{evaluated} of 1,000 guesses were looked at");

    thread::scope(|scope| {
        for (user, phone) in users.iter().zip(&phones) {
            let code = verifier.code(phone);
            scope.spawn(move || {
                assert_eq!(Login::by_ssh(user).from("203.0.113.9").verdict(&code), Verdict::Allow)
            });
        }
    });
}

// covers: B04, B14
#[test]
fn nothing_but_a_right_code_clears_the_count() {
    let (machine, verifier, phone) = start();
    let _sshd = Sshd::start();
    ssh_login(ALICE, &verifier.wrong_code(&phone)).refused();
    assert_eq!(failures("alice"), 1);
    sudo(&machine, ALICE, &verifier.wrong_code(&phone)).refused();
    assert_eq!(failures("alice"), 2);
    drop(_sshd);

    // A key that skips the authentication stack.
    let _sshd = Sshd::start_with(&[("AuthenticationMethods", "publickey")]);
    assert!(Terminal::start(sshd::key_client(ALICE, &["true"])).finish().status.success());
    assert_eq!(failures("alice"), 2, "a login that asked for no code proves nothing");

    // A password change, a dialogue that is dropped, another user's login.
    run("usermod", &["--password", "x", "alice"]);
    Login::by_ssh("alice").begin().expect("a question");
    let bob = activated(&verifier, "bob");
    assert_eq!(Login::by_ssh("bob").verdict(&verifier.next_code(&bob)), Verdict::Allow);
    assert_eq!(failures("alice"), 2);

    assert_eq!(Login::by_ssh("alice").verdict(&verifier.next_code(&phone)), Verdict::Allow);
    assert_eq!(failures("alice"), 0);
}

// covers: B05
#[test]
fn another_spelling_of_a_name_is_not_another_try() {
    let machine = Machine::new();
    let text = config("").replace("\"ignore\"", "\"deny\"");
    let verifier = Verifier::start_with(&text);
    let phone = activated(&verifier, "alice");
    let spellings = [
        "Alice",
        "ALICE",
        "alice ",
        " alice",
        "alice@corp",
        "CORP\\alice",
        "alice\u{200b}",
        "\u{430}lice",
        "al\u{131}ce",
        "1000",
        "alice\u{301}",
    ];
    for name in spellings {
        // A name that cannot be one may be refused as a malformed request too.
        if let Ok(reply) = Login::by_ssh(name).attempt(&verifier.code(&phone)) {
            assert_eq!(verdict(&reply), Verdict::Deny, "{name:?}");
        }
    }
    let names: Vec<String> = postern::ask::<wire::admin::UserList>(&["user", "list"])
        .items
        .into_iter()
        .map(|user| user.name)
        .collect();
    assert_eq!(names, ["alice"], "no spelling became an account");
    assert_eq!(Login::by_ssh("alice").verdict(&verifier.code(&phone)), Verdict::Allow, "none used the code");
    drop(machine);
}

// covers: B10
#[test]
fn while_throttled_right_wrong_and_used_codes_get_the_same_answer_and_the_right_one_is_kept() {
    let (_machine, verifier, phone) = start();
    let login = Login::by_ssh("alice");
    let used = verifier.code(&phone);
    assert_eq!(login.verdict(&used), Verdict::Allow);
    verifier.clock.advance(30);
    let wrong = verifier.wrong_code(&phone);
    for _ in 0..9 {
        assert_eq!(login.verdict(&wrong), Verdict::Deny);
        verifier.clock.advance(300);
    }
    assert_eq!(login.verdict(&wrong), Verdict::Deny);
    let right = verifier.code(&phone);
    let evaluated = postern::status().codes_evaluated;
    let texts: Vec<String> = [&right, &wrong, &used]
        .into_iter()
        .map(|code| {
            let reply = login.attempt(code).expect("an answer");
            assert_eq!(verdict(&reply), Verdict::Deny);
            let text = reply.show.concat();
            text.split(" Reference ").next().unwrap_or_default().to_owned()
        })
        .collect();
    let plain = |text: &String| text.replace(|it: char| it.is_ascii_digit(), "");
    assert!(texts[0].starts_with("Too many attempts. Try again in "), "{texts:?}");
    assert!(texts.iter().all(|text| plain(text) == plain(&texts[0])), "{texts:?}");
    assert_eq!(postern::status().codes_evaluated, evaluated, "none was looked at");
    verifier.clock.advance(25 * 3_600);
    assert_eq!(login.verdict(&verifier.code(&phone)), Verdict::Allow);
}

// covers: B15
#[test]
fn ten_thousand_throttled_tries_cost_no_comparison_and_hinder_nobody() {
    let _machine = Machine::new();
    let mut verifier = Verifier::prepare(&api::plain()).with_stepped_waits();
    api::write_key(KEY);
    verifier.initialise();
    verifier.launch();
    let [alice, bob] = ["alice", "bob"].map(|user| activated(&verifier, user));
    // Until a wait is a quarter of an hour.
    for _ in 0..15 {
        verifier.clock.advance(1_000);
        let wrong = verifier.wrong_code(&alice);
        assert_eq!(verify(Transport::Tcp, &item("alice", &wrong)).verdict(), "deny");
    }
    let (right, bobs) = (verifier.code(&alice), verifier.code(&bob));
    let (evaluated, refused) = (metrics::codes_evaluated(), metrics::refused());
    let batches = 10_000_u64.div_ceil(BATCH_ITEMS_MAX as u64);
    for _ in 0..batches {
        let items: Vec<_> = (0..BATCH_ITEMS_MAX).map(|_| item("alice", &right)).collect();
        let verdicts = verify_all(Transport::Tcp, &items).verdicts().join(" ");
        assert_eq!(verdicts, ["deny"; BATCH_ITEMS_MAX].join(" "));
    }
    assert_eq!(metrics::refused() - refused, batches * BATCH_ITEMS_MAX as u64, "each is told and counted");
    assert_eq!(metrics::codes_evaluated(), evaluated, "none is compared with anything");
    assert_eq!(verify(Transport::Tcp, &item("bob", &bobs)).verdict(), "allow");
    verifier.clock.advance(25 * 3_600);
    assert_eq!(verify(Transport::Tcp, &item("alice", &verifier.code(&alice))).verdict(), "allow");
}

// covers: B03, P3
#[test]
fn failures_from_elsewhere_do_not_slow_the_owner_at_his_usual_place() {
    let (_machine, verifier, phone) = start();
    let home = Login::by_ssh("alice").from("192.0.2.7");
    assert_eq!(home.verdict(&verifier.code(&phone)), Verdict::Allow);
    verifier.clock.advance(30);
    for guess in 0..40 {
        let stranger = Login::by_ssh("alice").from(&format!("203.0.113.{guess}"));
        assert_eq!(stranger.verdict(&verifier.wrong_code(&phone)), Verdict::Deny);
    }
    assert_eq!(home.verdict(&verifier.code(&phone)), Verdict::Allow, "the owner's usual source is free");
}

// covers: E13
#[test]
fn many_tries_in_one_connection_are_counted_like_any_others() {
    let (machine, verifier, phone) = start();
    machine.protect_without_password("sshd");
    let _sshd = Sshd::start_with(&[("MaxAuthTries", "20")]);
    let before = postern::status().codes_evaluated;
    let devices = format!("KbdInteractiveDevices={}", "pam,".repeat(10_000).trim_end_matches(','));
    for _ in 0..3 {
        let mut client = sshd::bare_client("ssh");
        client.args(["-o", &devices, "-o", "NumberOfPasswordPrompts=6", "-o", "PubkeyAuthentication=no"]);
        client.args(["alice@127.0.0.1", "true"]);
        let mut terminal = Terminal::start(client);
        loop {
            let marks = [
                QUESTION,
                "Press Enter to continue: ",
                "Permission denied",
                "Too many",
                "Disconnected",
                "closed",
            ];
            match terminal.expect_any(&marks).0 {
                0 => terminal.type_line(&verifier.wrong_code(&phone)),
                1 => terminal.type_line(""),
                _ => break,
            }
        }
        assert!(!terminal.finish().status.success());
    }
    let evaluated = postern::status().codes_evaluated - before;
    assert!(evaluated <= 6, "{evaluated} guesses were looked at within one wait");
    assert!(evaluated > 0, "the tries reached the daemon");
    assert_eq!(u64::from(failures("alice")), evaluated, "each of them counts");
}
