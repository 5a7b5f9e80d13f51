use crate::fake::{Fake, Fault};
use crate::{loadtest, read_json};

const RACE: &str =
    "race --socket {}/socket --secrets {}/secrets --rounds 8 --connections 40 --json {}/report --commit abc";

#[test]
fn exactly_one_accept_in_every_round_is_right() {
    let fake = Fake::start(8, Fault::None);
    loadtest(fake.path(), RACE).with_code(0).saying("8 of 8").saying("all as it must be");
    let report = read_json(fake.path().join("report"));
    assert_eq!(report["conclusion"], "right");
    assert_eq!(report["commit"], "abc");
    assert_eq!(report["settings"]["connections"], 40);
    assert_eq!(report["result"]["total"]["allowed"], 8);
    assert_eq!(report["result"]["total"]["denied"], 8 * 39);
    assert_eq!(report["result"]["latency"]["count"], 8 * 40);
    assert!(report["machine"]["cores"].as_u64().is_some_and(|cores| cores > 0));
}

#[test]
fn a_verifier_that_accepts_a_code_twice_is_caught() {
    let fake = Fake::start(8, Fault::AcceptsTwice);
    loadtest(fake.path(), RACE).with_code(1).saying("2 allowed, 38 denied").saying("MISCOUNTED");
    let report = read_json(fake.path().join("report"));
    assert_eq!(report["conclusion"], "miscounted");
    assert_eq!(report["result"]["right_rounds"], 0);
}

#[test]
fn a_verifier_that_refuses_everybody_is_caught() {
    let fake = Fake::start(8, Fault::RefusesValid);
    loadtest(fake.path(), RACE).with_code(1).saying("0 allowed, 40 denied");
}

#[test]
fn a_reply_that_is_lost_or_for_another_login_is_no_refusal() {
    let lossy = Fake::start(8, Fault::LosesReplies);
    loadtest(lossy.path(), RACE).with_code(1).saying("the connection broke");
    let mixing = Fake::start(8, Fault::MixesUp);
    loadtest(mixing.path(), RACE).with_code(1).saying("the reply is for another login");
}

#[test]
fn one_user_races_with_the_secret_of_his_file() {
    let fake = Fake::start(1, Fault::None);
    let secrets = std::fs::read_to_string(fake.path().join("secrets")).unwrap();
    std::fs::write(fake.path().join("secret"), secrets.strip_prefix("user0 ").unwrap()).unwrap();
    let race = "race --socket {}/socket --user user0 --secret-file {}/secret --rounds 1 --connections 5";
    loadtest(fake.path(), race).with_code(0).saying("1 of 1");
}

#[test]
fn a_race_without_a_verifier_or_without_users_cannot_be_made() {
    let fake = Fake::start(0, Fault::None);
    loadtest(fake.path(), RACE).with_code(2).saying("no user in it");
    std::fs::write(fake.path().join("secrets"), "alice GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n").unwrap();
    let nobody = RACE.replace("socket {}/socket", "socket {}/nobody");
    loadtest(fake.path(), &nobody).with_code(2).saying("cannot connect to");
}
