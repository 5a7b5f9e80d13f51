use serde_json::Value;

use crate::fake::{Fake, Fault};
use crate::{Ended, loadtest, read_json};

/// Three hundred requests, evenly spaced.
const OPEN: &str = "run --secrets {}/secrets --rate 300 --seconds 1 --arrivals constant --connections 8 --seed 7 \
                    --json {}/report";

/// The same, asked over the Unix socket.
fn run(fault: Fault, more: &str) -> (Fake, Ended) {
    let fake = Fake::start_with(200, 50, fault);
    let ended = loadtest(fake.path(), &format!("{OPEN} --to unix:{{}}/socket {more}"));
    (fake, ended)
}

fn report(fake: &Fake) -> Value {
    read_json(fake.path().join("report"))
}

fn count(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or_else(|| panic!("no {name} in {of}"))
}

/// All that was intended was sent and answered, and rightly.
#[track_caller]
fn check_right(fake: &Fake, ended: Ended, intended: u64) -> Value {
    ended.with_code(0).saying("all as it must be");
    let report = report(fake);
    let correctness = &report["correctness"];
    assert_eq!(report["verdict"], "right");
    assert_eq!(correctness["valid_sent"], correctness["valid_accepted"], "{correctness}");
    assert!(count(correctness, "valid_accepted") > 0, "{correctness}");
    let none = ["accepted_twice", "replays_accepted", "guesses_accepted"];
    assert!(none.iter().all(|name| correctness[name] == 0), "{correctness}");
    let sent = ["valid_sent", "replays_sent", "guesses_sent"].map(|name| count(correctness, name));
    assert_eq!(sent.iter().sum::<u64>(), intended, "{correctness}");
    let intervals = report["intervals"].as_array().unwrap();
    for name in ["intended", "sent"] {
        assert_eq!(intervals.iter().map(|interval| count(interval, name)).sum::<u64>(), intended, "{name}");
    }
    report
}

// covers: P15
#[test]
fn what_cannot_be_asked_or_written_is_said_before_the_load() {
    let fake = Fake::start_with(0, 50, Fault::None);
    let without_key = loadtest(fake.path(), &format!("{OPEN} --to http://{}", fake.tcp));
    without_key.with_code(2).saying("does not take our key: --key-file");
    let nowhere = OPEN.replace("{}/report", "{}/missing/report");
    loadtest(fake.path(), &format!("{nowhere} --to unix:{{}}/socket")).with_code(2).saying("cannot write");
    assert!(!fake.path().join("missing").exists());
}

// covers: P15
#[test]
fn everything_that_is_intended_is_sent_and_judged_over_every_transport() {
    // Who presses has a code at any time, also after the run before.
    let fake = Fake::start_with(0, 50, Fault::None);
    let (tcp, tls) = (fake.tcp, fake.tls.port());
    let ways = [
        "--to unix:{}/socket".to_owned(),
        "--to unix:{}/socket --dialogue".to_owned(),
        "--to unix:{}/socket --batch 10".to_owned(),
        "--to unix:{}/socket2 --http2 --in-flight 4".to_owned(),
        format!("--to http://{tcp} --key-file {{}}/key"),
        format!("--to https://localhost:{tls} --key-file {{}}/key --ca {{}}/ca.pem --http2 --in-flight 2"),
    ];
    for way in ways {
        let report = check_right(&fake, loadtest(fake.path(), &format!("{OPEN} {way}")), 300);
        assert_eq!(report["rate"]["intended"], 300.0, "{way}");
    }
}

#[test]
fn users_of_both_kinds_log_in_replay_and_mistype() {
    let (fake, ended) = run(Fault::None, "");
    let report = check_right(&fake, ended, 300);
    let correctness = &report["correctness"];
    assert!(count(correctness, "replays_sent") > 0, "{correctness}");
    assert!(count(correctness, "guesses_sent") > 0, "{correctness}");
    let by_presses = count(&correctness["counts"], "valid_hotp");
    assert!(by_presses > 0 && by_presses < count(correctness, "valid_sent"), "{correctness}");
    assert_eq!(report["settings"]["users"], 250);
    assert_eq!(report["settings"]["hotp_users"], 50);
    assert_eq!(report["tool"], "loadtest");
    assert!(count(&report["machine"], "cores") > 0);
    assert!(count(&report["latency_us"], "p50") <= count(&report["latency_us"], "p99"));
}

// covers: P15
#[test]
fn a_verifier_that_accepts_a_code_twice_is_caught() {
    for profile in ["steady", "replay-attack"] {
        let (fake, ended) = run(Fault::AcceptsTwice, profile);
        ended.with_code(1).saying("AcceptedTwice").saying("MISCOUNTED");
        let report = report(&fake);
        assert_eq!(report["verdict"], "miscounted");
        assert!(count(&report["correctness"], "replays_accepted") > 0);
        assert!(!report["correctness"]["unexpected"].as_array().unwrap().is_empty());
    }
}

#[test]
fn a_verifier_that_accepts_guesses_is_caught() {
    for profile in ["steady", "guessing-attack"] {
        let (fake, ended) = run(Fault::AcceptsWrong, profile);
        ended.with_code(1).saying("WrongAccepted");
        assert!(count(&report(&fake)["correctness"], "guesses_accepted") > 0);
    }
}

#[test]
fn a_verifier_that_refuses_valid_codes_is_caught() {
    let (fake, ended) = run(Fault::RefusesValid, "--replay-percent 0 --wrong-percent 0");
    ended.with_code(1).saying("ValidRefused");
    let correctness = &report(&fake)["correctness"];
    assert_eq!(correctness["miscounts"]["valid_refused"], correctness["valid_sent"]);
}

#[test]
fn a_reply_for_somebody_else_is_a_miscount_whatever_is_stated() {
    for more in ["", "--batch 5", "--dialogue", "--outage 0-60"] {
        run(Fault::MixesUp, more)
            .1
            .with_code(1)
            .saying("ForeignReply")
            .saying("the reply is for another login");
    }
    run(Fault::SwapsVerdicts, "--batch 5").1.with_code(1).saying("ForeignReply");
}

#[test]
fn lost_replies_and_undecided_logins_are_miscounts_unless_an_outage_is_stated() {
    run(Fault::LosesReplies, "").1.with_code(1).saying("NoAnswer: ");
    run(Fault::Unavailable, "").1.with_code(1).saying("Undecided: 300");
    let (fake, ended) = run(Fault::LosesReplies, "--outage 0-60");
    ended.with_code(0).saying("excused");
    let correctness = &report(&fake)["correctness"];
    let (lost, unknown) =
        (count(&correctness["excused"], "no_answer"), &correctness["counts"]["valid_unknown"]);
    assert!(lost > 0, "{correctness}");
    assert_eq!(
        count(correctness, "valid_sent") - count(correctness, "valid_accepted"),
        unknown.as_u64().unwrap(),
        "every valid code was accepted, or its reply was lost: {correctness}"
    );
    run(Fault::AcceptsTwice, "--outage 0-60").1.with_code(1).saying("AcceptedTwice");
}

// covers: P15
#[test]
fn a_stall_makes_no_request_fewer_and_every_late_one_longer() {
    let fake = Fake::start_with(200, 50, Fault::Stalls);
    let two = OPEN.replace("--connections 8", "--connections 2");
    let args = format!("{two} --to unix:{{}}/socket --replay-percent 0 --wrong-percent 0");
    let report = check_right(&fake, loadtest(fake.path(), &args), 300);
    let buckets = report["latency_us"]["buckets"].as_array().unwrap();
    let late = buckets.iter().filter(|bucket| bucket[0].as_u64() >= Some(100_000));
    let late: u64 = late.map(|bucket| bucket[1].as_u64().unwrap()).sum();
    // Two connections wait for 400 ms; the 90 requests meant to start in the first 300 ms of it are late by 100 ms.
    assert!(late >= 85, "{late} of 300 were late by 100 ms");
}

#[test]
fn a_request_waits_for_a_user_when_all_are_busy() {
    let fake = Fake::start_with(0, 4, Fault::Stalls);
    let args = format!("{OPEN} --to unix:{{}}/socket --batch 10 --replay-percent 0 --wrong-percent 0");
    check_right(&fake, loadtest(fake.path(), &args), 300);
}

#[test]
fn a_closed_loop_intends_nothing() {
    let fake = Fake::start_with(50, 50, Fault::None);
    let closed =
        "run --to unix:{}/socket --secrets {}/secrets --closed --seconds 1 --connections 4 --json {}/report";
    loadtest(fake.path(), closed).with_code(0);
    let report = report(&fake);
    assert_eq!(report["rate"]["intended"], Value::Null);
    assert!(report["rate"]["achieved"].as_f64() > Some(0.0));
    assert_eq!(report["settings"]["loop"], "closed");
}

#[test]
fn too_few_users_are_said() {
    let fake = Fake::start(2, Fault::None);
    let args = format!("{OPEN} --to unix:{{}}/socket --replay-percent 0 --wrong-percent 0");
    loadtest(fake.path(), &args).with_code(0).saying("when no user had a code to send: take more users");
    let correctness = &report(&fake)["correctness"];
    let without = count(&correctness["counts"], "without_code");
    assert_eq!(without + count(correctness, "valid_sent"), 300);
}

#[test]
fn a_process_for_each_login_goes_through_pam() {
    let fake = Fake::start_with(0, 20, Fault::None);
    // Knows nothing of codes: accepts users by their names.
    let program = fake.path().join("pam-program");
    let script = "#!/bin/sh\nread code\ncase \"$1 $2 $3 $code\" in\n'sshd press'*' authenticate '??????) exit 0;;\nesac\n\
                  echo 'Authentication failure' >&2\nexit 1\n";
    std::fs::write(&program, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    let pam = "run --pam --pam-program {}/pam-program --secrets {}/secrets --rate 40 --seconds 1 --arrivals constant \
               --connections 4 --replay-percent 0 --wrong-percent 0 --json {}/report";
    let ended = loadtest(fake.path(), pam);
    check_right(&fake, ended, 40);
    let replaying = pam.replace("--replay-percent 0", "--replay-percent 50");
    loadtest(fake.path(), &replaying).with_code(1).saying("AcceptedTwice");
    let other = pam.replace("--json", "--service other --json");
    loadtest(fake.path(), &other).with_code(1).saying("ValidRefused");
    let missing = pam.replace("{}/pam-program", "{}/nothing");
    loadtest(fake.path(), &missing).with_code(2).saying("install the package pamtester");
}

#[test]
fn a_run_that_cannot_be_made_says_why() {
    let fake = Fake::start(1, Fault::None);
    let run = |more: &str| loadtest(fake.path(), &format!("{OPEN} {more}")).with_code(2);
    run("--to unix:{}/nobody").saying("cannot connect to");
    run("--to nonsense").saying("is no address");
    run("--to unix:{}/socket --in-flight 2").saying("add --http2");
    run("--to unix:{}/socket outage-and-return").saying("state --outage");
    loadtest(fake.path(), "run --embedded --verifierd {}/nothing").with_code(2).saying("is not there");
}
