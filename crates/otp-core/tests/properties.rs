//! What must hold for every input: factors only rise, none is accepted twice, nothing panics, and what is
//! printed can be read again.

use std::collections::BTreeSet;

use otp_core::matching::{
    self, HotpWindow, Match, ResyncWindow, TotpWindow, match_hotp, match_totp, resynchronize_hotp,
    resynchronize_totp,
};
use otp_core::{
    Algorithm, Digits, KeyUri, KeyUriKind, OtpKey, OtpValue, SharedSecret, ThrottleRules, TimeInterval,
    TimeSteps,
};
use proptest::prelude::*;
use subtle::ConstantTimeEq;

/// The verifier's side of one token, as simple as can be: it remembers the newest accepted factor and all of
/// them.
#[derive(Default)]
struct Model {
    last_accepted: Option<u64>,
    accepted: BTreeSet<u64>,
}

impl Model {
    fn claim(&mut self, factor: u64) {
        assert!(
            self.last_accepted.is_none_or(|last| factor > last),
            "{factor} after {:?}",
            self.last_accepted
        );
        assert!(self.accepted.insert(factor), "{factor} accepted twice");
        self.last_accepted = Some(factor);
    }

    fn check_replay(&self, factor: u64) {
        assert!(self.last_accepted.is_some_and(|last| factor <= last), "{factor} called replayed");
    }

    fn next(&self) -> u64 {
        self.last_accepted.map_or(0, |last| last + 1)
    }
}

proptest! {
    #[test]
    fn accepted_time_steps_only_rise_and_none_is_accepted_twice(
        attempts in prop::collection::vec((0..40_u64, -3..=3_i64, -2..=2_i32), 1..60),
        drift_window in 0..4_u8,
    ) {
        // covers: A01, A02, A03
        let (key, mut model) = (key(), Model::default());
        for (current_step, offset, time_drift) in attempts {
            let typed = key.value(current_step.saturating_add_signed(offset));
            let last_accepted = model.last_accepted;
            let window = TotpWindow { current_step, drift_window, time_drift, last_accepted };
            match match_totp(&key, &typed, &window) {
                Match::Accepted { factor } => model.claim(factor),
                Match::Replayed { factor } => model.check_replay(factor),
                Match::NoMatch => {}
            }
        }
    }

    #[test]
    fn accepted_counters_only_rise_and_none_is_accepted_twice_resynchronisation_included(
        attempts in prop::collection::vec((0..60_u64, any::<bool>()), 1..60),
        look_ahead in 0..12_u32,
    ) {
        // covers: A08, A10, A21
        let (key, mut model) = (key(), Model::default());
        for (counter, is_resynchronisation) in attempts {
            let before = model.next();
            if is_resynchronisation {
                let [first, second] = [key.value(counter), key.value(counter + 1)];
                if let Some(second) = resynchronize_hotp(&key, &first, &second, before, 30) {
                    prop_assert!(counter >= before, "the first value was used up");
                    model.claim(second);
                }
                continue;
            }
            match match_hotp(&key, &key.value(counter), &HotpWindow { next_counter: before, look_ahead }) {
                Match::Accepted { factor } => model.claim(factor),
                Match::Replayed { factor } => model.check_replay(factor),
                Match::NoMatch => prop_assert_eq!(model.next(), before),
            }
        }
    }

    #[test]
    fn the_value_of_every_step_in_the_window_matches_and_after_its_claim_is_replayed(
        current_step in any::<u64>(),
        time_drift in -100..=100_i32,
        drift_window in any::<u8>(),
        place in 0..=510_u64,
    ) {
        // covers: A01, A11
        let middle = current_step.saturating_add_signed(time_drift.into());
        let lowest = middle.saturating_sub(drift_window.into());
        let step = lowest.saturating_add(place.min(2 * u64::from(drift_window)));
        let step = step.min(middle.saturating_add(drift_window.into()));
        let key = key();
        let window = TotpWindow { current_step, drift_window, time_drift, last_accepted: None };

        let Match::Accepted { factor } = match_totp(&key, &key.value(step), &window) else {
            return Err(TestCaseError::fail("a step of the window does not match"));
        };
        prop_assert!(factor <= step);
        let used = TotpWindow { last_accepted: Some(step), ..window };
        if let Match::Accepted { factor } = match_totp(&key, &key.value(step), &used) {
            prop_assert!(factor > step, "only another step with the same digits may be accepted");
        }
    }

    #[test]
    fn matching_never_panics(
        (one, two, three) in (number(), number(), number()),
        drift_window in any::<u8>(),
        time_drift in any::<i32>(),
        reach in 0..20_u32,
        last_accepted in prop::option::of(number()),
    ) {
        let key = key();
        let [first, second] = [key.value(one), key.value(one.wrapping_add(1))];
        let totp = TotpWindow { current_step: two, drift_window, time_drift, last_accepted };
        if let Match::Accepted { factor } = match_totp(&key, &first, &totp) {
            prop_assert!(last_accepted.is_none_or(|last| factor > last));
        }
        let hotp = HotpWindow { next_counter: two, look_ahead: reach };
        if let Match::Accepted { factor } = match_hotp(&key, &first, &hotp) {
            prop_assert!(factor >= two);
        }
        if let Some(counter) = resynchronize_hotp(&key, &first, &second, two, reach) {
            prop_assert!(counter > two);
        }
        let window = ResyncWindow { center_step: three, reach, above: last_accepted };
        if let Some(resync) = resynchronize_totp(&key, &first, &second, &window) {
            prop_assert!(last_accepted.is_none_or(|last| resync.second_step - 1 > last));
            prop_assert_eq!(three.checked_add_signed(resync.time_drift.into()), Some(resync.second_step));
        }
        if let Some(offset) = matching::find_totp(&key, &first, two, reach) {
            prop_assert!(key.value(two.checked_add_signed(offset).unwrap()).matches(&first));
        }
        if let Some(offset) = matching::find_hotp(&key, &first, two, reach) {
            prop_assert!(key.value(two + offset).matches(&first));
        }
    }

    #[test]
    fn time_steps_and_waits_never_panic(now in number(), step in number(), initial_time in number(),
        seconds in 1..=86_400_u32, failures in any::<u32>())
    {
        // covers: A17
        let steps = TimeSteps { initial_time, time_interval: TimeInterval::new(seconds).unwrap() };
        prop_assert!(steps.seconds_left(now) > 0);
        prop_assert!(steps.start_of(step) >= initial_time);
        if let Ok(step) = steps.step_at(now) {
            let start = steps.start_of(step);
            prop_assert!(start <= now && now - start < u64::from(seconds));
            prop_assert_eq!(steps.seconds_left(now), u64::from(seconds) - (now - start));
        }
        prop_assert!(ThrottleRules::default().wait_after(failures) <= ThrottleRules::default().wait_max);
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in ".{0,80}", query in "[a-z]{5,9}=.{0,20}", count in 6..=8_u8) {
        // covers: A04
        let _ = OtpValue::from_typed(&text, Digits::new(count).unwrap());
        let _ = SharedSecret::from_base32(&text);
        let _ = Algorithm::from_name(&text);
        let _ = KeyUri::parse(&text);
        let _ = KeyUri::parse(&format!("otpauth://{text}"));
        let _ = KeyUri::parse(&format!("otpauth://totp/{text}?{query}&secret={text}"));
    }

    #[test]
    fn every_spelling_of_a_value_is_one_value(number in 0..100_000_000_u32, count in 6..=8_u8,
        separators in prop::collection::vec("[ -]{0,3}", 9))
    {
        // covers: A04
        let digits = Digits::new(count).unwrap();
        let canonical = format!("{:0width$}", number % 10_u32.pow(count.into()), width = count.into());
        let grouped = canonical.chars().zip(&separators).map(|(digit, before)| format!("{before}{digit}"));
        let typed = grouped.collect::<String>() + &separators[8];
        let value = OtpValue::from_typed(&typed, digits).unwrap();
        prop_assert!(*value.expose() == canonical, "{typed:?}");
        prop_assert!(value.matches(&OtpValue::from_typed(&canonical, digits).unwrap()));
    }

    #[test]
    fn a_secret_printed_as_base32_is_read_as_the_same_secret(secret in secret()) {
        // covers: A18
        let read = SharedSecret::from_base32(&secret.to_base32()).unwrap();
        prop_assert!(bool::from(read.ct_eq(&secret)));
    }

    #[test]
    fn a_printed_key_uri_is_read_as_the_same_token(
        issuer in prop::option::of(name()),
        account in name(),
        secret in secret(),
        algorithm in prop::sample::select(vec![Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512]),
        digits in (6..=8_u8).prop_map(|count| Digits::new(count).unwrap()),
        kind in kind(),
    ) {
        // covers: T1
        let printed = KeyUri { issuer, account, secret, algorithm, digits, kind };
        let read = KeyUri::parse(&printed.to_uri()).unwrap();
        prop_assert_eq!((&read.issuer, &read.account), (&printed.issuer, &printed.account));
        prop_assert!(bool::from(read.secret.ct_eq(&printed.secret)));
        prop_assert_eq!((read.algorithm, read.digits, read.kind), (algorithm, digits, kind));
    }
}

fn key() -> OtpKey {
    OtpKey::new(&SharedSecret::from_bytes(b"12345678901234567890").unwrap(), Algorithm::Sha1, Digits::SIX)
}

fn secret() -> impl Strategy<Value = SharedSecret> {
    prop::collection::vec(any::<u8>(), SharedSecret::BYTES_MIN..=SharedSecret::BYTES_MAX)
        .prop_map(|bytes| SharedSecret::from_bytes(&bytes).unwrap())
}

/// Any number, and often one near an end of the range, where overflow waits.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300_u64, u64::MAX - 300..=u64::MAX, any::<u64>()]
}

/// Any text that neither begins nor ends with a space, since the parser drops those.
fn name() -> impl Strategy<Value = String> {
    "[^ ]|[^ ].{0,30}[^ ]"
}

fn kind() -> impl Strategy<Value = KeyUriKind> {
    let time_interval =
        (1..=TimeInterval::SECONDS_MAX).prop_map(|seconds| TimeInterval::new(seconds).unwrap());
    prop_oneof![
        time_interval.prop_map(|time_interval| KeyUriKind::Totp { time_interval }),
        any::<u64>().prop_map(|counter| KeyUriKind::Hotp { counter }),
    ]
}
