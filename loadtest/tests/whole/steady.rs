use std::path::Path;

use crate::fake::{Fake, Fault};
use crate::{Ended, loadtest, read_json};

const STEADY: &str = "steady --socket {}/socket --secrets {}/secrets --seconds 1 --connections 8 --wrong-percent 10 \
                      --journal {}/journal --json {}/report --seed 7";

fn run(fault: Fault, more: &str) -> (Fake, Ended) {
    let fake = Fake::start(200, fault);
    let ended = loadtest(fake.path(), &format!("{STEADY} {more}"));
    (fake, ended)
}

fn journal_lines(folder: &Path, with: &str) -> usize {
    let journal = std::fs::read_to_string(folder.join("journal")).unwrap();
    journal.lines().filter(|line| line.contains(with)).count()
}

#[test]
fn valid_codes_are_accepted_once_and_replays_and_wrong_codes_refused() {
    let (fake, ended) = run(Fault::None, "");
    ended.with_code(0).saying("all as it must be");
    let report = read_json(fake.path().join("report"));
    let counts = &report["correctness"]["counts"];
    assert!(counts["valid_accepted"].as_u64() > Some(0), "{counts}");
    assert_eq!(counts["valid_accepted"], counts["valid_sent"]);
    assert_eq!(counts["replays_refused"], counts["replays_sent"]);
    assert!(counts["wrong_refused"].as_u64() > Some(0), "{counts}");
    assert_eq!(report["settings"]["seed"], 7);
    let sent = ["valid_sent", "replays_sent", "wrong_sent"].map(|count| counts[count].as_u64().unwrap());
    assert_eq!(journal_lines(fake.path(), "") as u64, sent.iter().sum::<u64>(), "a line for each reply");
}

#[test]
fn a_verifier_that_accepts_a_code_twice_is_caught() {
    run(Fault::AcceptsTwice, "").1.with_code(1).saying("AcceptedTwice");
}

#[test]
fn a_verifier_that_accepts_wrong_codes_is_caught() {
    run(Fault::AcceptsWrong, "").1.with_code(1).saying("WrongAccepted");
}

#[test]
fn a_verifier_that_refuses_valid_codes_is_caught() {
    run(Fault::RefusesValid, "").1.with_code(1).saying("ValidRefused");
}

#[test]
fn lost_replies_are_caught_unless_restarts_are_expected() {
    let (fake, ended) = run(Fault::LosesReplies, "");
    ended.with_code(1).saying("NoAnswer");
    assert!(journal_lines(fake.path(), r#""verdict":"unknown""#) > 0);
    run(Fault::LosesReplies, "--expect-restarts").1.with_code(0).saying("excused");
}

#[test]
fn restarts_excuse_no_second_accept() {
    run(Fault::AcceptsTwice, "--expect-restarts").1.with_code(1).saying("AcceptedTwice");
}

#[test]
fn a_mix_without_valid_codes_is_refused() {
    run(Fault::None, "--replay-percent 90").1.with_code(2).saying("leave nothing for valid codes");
}
