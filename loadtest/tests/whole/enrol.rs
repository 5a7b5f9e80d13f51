use std::os::unix::fs::PermissionsExt as _;

use crate::fake::{Fake, Fault};
use crate::loadtest;

const ENROL: &str = "enrol --users 3 --socket {}/socket --admin-socket {}/socket --secrets {}/new";

#[test]
fn enrolled_users_can_race() {
    let fake = Fake::start(0, Fault::None);
    loadtest(fake.path(), ENROL).with_code(0).saying("enrolled 3 users");
    let file = fake.path().join("new");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 3);
    let race = "race --socket {}/socket --secrets {}/new --rounds 3 --connections 5";
    loadtest(fake.path(), race).with_code(0).saying("3 of 3");
}

#[test]
fn a_file_of_secrets_is_never_overwritten() {
    let fake = Fake::start(1, Fault::None);
    let over = ENROL.replace("{}/new", "{}/secrets");
    loadtest(fake.path(), &over).with_code(2).saying("cannot make");
    assert!(std::fs::read_to_string(fake.path().join("secrets")).unwrap().starts_with("user0 "));
}

#[test]
fn a_share_of_the_users_gets_tokens_that_count_presses() {
    let fake = Fake::start(0, Fault::None);
    let enrol = ENROL.replace("--users 3", "--users 8 --hotp-percent 50");
    loadtest(fake.path(), &enrol).with_code(0);
    let file = std::fs::read_to_string(fake.path().join("new")).unwrap();
    assert_eq!(file.lines().filter(|line| line.ends_with(" 0")).count(), 4, "{file}");
    let run = "run --to unix:{}/socket --secrets {}/new --closed --seconds 1 --connections 4";
    loadtest(fake.path(), run).with_code(0);
    let file = std::fs::read_to_string(fake.path().join("new")).unwrap();
    assert_eq!(file.lines().filter(|line| line.split(' ').count() == 3).count(), 4, "{file}");
    assert!(!file.contains(" 0\n"), "the counters went on: {file}");
}
