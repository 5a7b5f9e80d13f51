//! The same random inputs to this crate and to `oathtool` (Debian package `oathtool`): both must show the
//! same values.

use std::process::Command;

use otp_core::{Algorithm, Digits, OtpKey, SharedSecret, TimeInterval, TimeSteps};
use proptest::prelude::*;

/// How many values one call of `oathtool` prints; many in one call, because a call costs more than a value.
const VALUES: u64 = 50;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_counters_give_the_values_that_oathtool_gives(
        secret in secret(),
        digits in digits(),
        counter in prop_oneof![0..1_000_000_u64, 0..=u64::MAX - VALUES],
    ) {
        // covers: A1
        let arguments = ["--hotp".to_owned(), format!("--counter={counter}")];
        check(&secret, Algorithm::Sha1, digits, counter, &arguments);
    }

    #[test]
    fn random_times_give_the_values_that_oathtool_gives(
        secret in secret(),
        algorithm in algorithm(),
        digits in digits(),
        seconds in prop_oneof![Just(30), Just(60), 1..=86_400_u32],
        initial_time in prop_oneof![Just(0), 0..2_000_000_000_u64],
        since in 0..250_000_000_000_u64,
    ) {
        // covers: A1, A17
        check_totp(&secret, algorithm, digits, steps(initial_time, seconds), initial_time + since);
    }
}

#[test]
fn dates_past_32_bits_give_the_values_that_oathtool_gives() {
    // covers: A17
    // 2038-01-19 03:14:08, 2106-02-07 06:28:16 and 9999-12-31 00:00:00, and the seconds before.
    for now in [2_147_483_647, 2_147_483_648, 4_294_967_295, 4_294_967_296, 253_402_214_399, 253_402_214_400]
    {
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512] {
            check_totp(b"12345678901234567890", algorithm, Digits::SIX, TimeSteps::default(), now);
        }
    }
}

fn check_totp(secret: &[u8], algorithm: Algorithm, digits: Digits, steps: TimeSteps, now: u64) {
    let arguments = [
        format!("--totp={}", algorithm.name().to_lowercase()),
        format!("--now=@{now}"),
        format!("--start-time=@{}", steps.initial_time),
        format!("--time-step-size={}s", steps.time_interval.seconds()),
    ];
    check(secret, algorithm, digits, steps.step_at(now).unwrap(), &arguments);
}

/// Compares the values of `VALUES` moving factors from `first_factor` on.
fn check(secret: &[u8], algorithm: Algorithm, digits: Digits, first_factor: u64, arguments: &[String]) {
    let key = OtpKey::new(&SharedSecret::from_bytes(secret).unwrap(), algorithm, digits);
    let ours: Vec<String> =
        (first_factor..first_factor + VALUES).map(|factor| key.value(factor).expose().to_string()).collect();
    assert_eq!(
        ours,
        oathtool(secret, digits, arguments),
        "{algorithm} from {first_factor} on, {arguments:?}"
    );
}

fn oathtool(secret: &[u8], digits: Digits, arguments: &[String]) -> Vec<String> {
    let hexadecimal: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let output = Command::new("oathtool")
        .args(arguments)
        .arg(format!("--digits={}", digits.count()))
        .arg(format!("--window={}", VALUES - 1))
        .arg(hexadecimal)
        .output()
        .expect("this test needs the program oathtool: install the Debian package oathtool");
    assert!(output.status.success(), "oathtool {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn secret() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), SharedSecret::BYTES_MIN..=SharedSecret::BYTES_MAX)
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(vec![Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512])
}

fn digits() -> impl Strategy<Value = Digits> {
    (6..=8_u8).prop_map(|count| Digits::new(count).unwrap())
}

fn steps(initial_time: u64, seconds: u32) -> TimeSteps {
    TimeSteps { initial_time, time_interval: TimeInterval::new(seconds).unwrap() }
}
