use super::*;
use crate::{Algorithm, Digits, SharedSecret};

fn key() -> OtpKey {
    let secret = SharedSecret::from_bytes(b"12345678901234567890").unwrap();
    OtpKey::new(&secret, Algorithm::Sha1, Digits::SIX)
}

/// The answer to the value of `typed_step`.
fn check_totp(window: &TotpWindow, typed_step: u64, expected: Match) {
    let key = key();
    let found = match_totp(&key, &key.value(typed_step), window);
    assert_eq!(found, expected, "step {typed_step} in {window:?}");
}

/// The answer to the value of `typed_counter`.
fn check_hotp(next_counter: u64, look_ahead: u32, typed_counter: u64, expected: Match) {
    let key = key();
    let window = HotpWindow { next_counter, look_ahead };
    let found = match_hotp(&key, &key.value(typed_counter), &window);
    assert_eq!(found, expected, "counter {typed_counter} in {window:?}");
}

fn accepted(factor: u64) -> Match {
    Match::Accepted { factor }
}

fn replayed(factor: u64) -> Match {
    Match::Replayed { factor }
}

/// A window of one step each way around step 1000.
const WINDOW: TotpWindow =
    TotpWindow { current_step: 1000, drift_window: 1, time_drift: 0, last_accepted: None };

#[test]
fn a_step_is_accepted_inside_the_window_only() {
    // covers: A11
    for (drift_window, reach) in [(0, 0), (1, 1), (2, 2), (10, 10), (255, 255)] {
        let window = TotpWindow { drift_window, ..WINDOW };
        for step in [1000 - reach, 1000, 1000 + reach] {
            check_totp(&window, step, accepted(step));
        }
        check_totp(&window, 1000 - reach - 1, Match::NoMatch);
        check_totp(&window, 1000 + reach + 1, Match::NoMatch);
    }
}

#[test]
fn a_used_time_step_is_replayed_for_as_long_as_it_is_in_the_window() {
    // covers: A01, A02, T9
    for current_step in 999..=1001 {
        let window = TotpWindow { current_step, last_accepted: Some(1000), ..WINDOW };
        check_totp(&window, 1000, replayed(1000));
    }
    check_totp(&TotpWindow { current_step: 1002, last_accepted: Some(1000), ..WINDOW }, 1000, Match::NoMatch);
}

#[test]
fn after_a_later_step_the_earlier_ones_are_dead() {
    // covers: A03
    let window = TotpWindow { last_accepted: Some(1001), ..WINDOW };
    for step in [999, 1000, 1001] {
        check_totp(&window, step, replayed(step));
    }
}

#[test]
fn recorded_drift_moves_the_window() {
    // covers: A11
    for (time_drift, middle) in [(3, 1003), (-3, 997)] {
        let window = TotpWindow { time_drift, ..WINDOW };
        for step in middle - 1..=middle + 1 {
            check_totp(&window, step, accepted(step));
        }
        check_totp(&window, middle - 2, Match::NoMatch);
        check_totp(&window, middle + 2, Match::NoMatch);
    }
}

#[test]
fn of_two_steps_with_one_value_the_earliest_that_is_still_open_counts() {
    let (key, earlier, later) = two_factors_with_one_value();
    let middle = u64::midpoint(earlier, later);
    let window = TotpWindow { current_step: middle, drift_window: 255, time_drift: 0, last_accepted: None };
    let attempt = key.value(later);
    let found = |last_accepted| match_totp(&key, &attempt, &TotpWindow { last_accepted, ..window });

    assert_eq!(found(None), accepted(earlier));
    assert_eq!(found(Some(earlier - 1)), accepted(earlier));
    assert_eq!(found(Some(earlier)), accepted(later));
    assert_eq!(found(Some(later - 1)), accepted(later));
    assert_eq!(found(Some(later)), replayed(later));
}

#[test]
fn the_ends_of_the_step_range_neither_overflow_nor_wrap() {
    // covers: A17
    let at_start =
        TotpWindow { current_step: 0, drift_window: 255, time_drift: i32::MIN, last_accepted: None };
    check_totp(&at_start, 0, accepted(0));
    check_totp(&TotpWindow { last_accepted: Some(0), ..at_start }, 0, replayed(0));
    check_totp(&at_start, u64::MAX, Match::NoMatch);

    let at_end =
        TotpWindow { current_step: u64::MAX, drift_window: 255, time_drift: i32::MAX, last_accepted: None };
    check_totp(&at_end, u64::MAX, accepted(u64::MAX));
    check_totp(&TotpWindow { last_accepted: Some(u64::MAX), ..at_end }, u64::MAX, replayed(u64::MAX));
    check_totp(&at_end, 0, Match::NoMatch);
}

#[test]
fn a_value_with_another_number_of_digits_never_matches() {
    let key = key();
    let attempt = OtpValue::from_typed(&format!("0{}", *key.value(1000).expose()), Digits::new(7).unwrap());
    assert_eq!(match_totp(&key, &attempt.unwrap(), &WINDOW), Match::NoMatch);
}

#[test]
fn look_ahead_counts_the_expected_counter_in() {
    // covers: A09, A7
    for look_ahead in [1, 10, LOOK_AHEAD_MAX] {
        let last = 500 + u64::from(look_ahead) - 1;
        check_hotp(500, look_ahead, 500, accepted(500));
        check_hotp(500, look_ahead, last, accepted(last));
        check_hotp(500, look_ahead, last + 1, Match::NoMatch);
        check_hotp(500, look_ahead, 499, replayed(499));
    }
}

#[test]
fn a_look_ahead_outside_the_limits_is_brought_inside() {
    // covers: A09
    check_hotp(500, 0, 500, accepted(500));
    check_hotp(500, 0, 501, Match::NoMatch);
    let last = 500 + u64::from(LOOK_AHEAD_MAX) - 1;
    check_hotp(500, u32::MAX, last, accepted(last));
    check_hotp(500, u32::MAX, last + 1, Match::NoMatch);
}

#[test]
fn used_and_skipped_counters_are_replayed() {
    // covers: A08
    for counter in 490..500 {
        check_hotp(500, 10, counter, replayed(counter));
    }
    check_hotp(500, 10, 489, Match::NoMatch);
}

#[test]
fn the_ends_of_the_counter_range_neither_overflow_nor_wrap() {
    check_hotp(0, 10, 0, accepted(0));
    check_hotp(0, 10, u64::MAX, Match::NoMatch);
    check_hotp(u64::MAX, 10, u64::MAX, accepted(u64::MAX));
    check_hotp(u64::MAX, 10, u64::MAX - 1, replayed(u64::MAX - 1));
    check_hotp(u64::MAX, 10, 0, Match::NoMatch);
}

#[test]
fn two_successive_hotp_values_find_the_counter_again() {
    // covers: A8, A10
    let key = key();
    let find = |first, second, from, window| {
        resynchronize_hotp(&key, &key.value(first), &key.value(second), from, window)
    };
    assert_eq!(find(500, 501, 500, 1000), Some(501));
    assert_eq!(find(1499, 1500, 500, 1000), Some(1500));
    assert_eq!(find(1500, 1501, 500, 1000), None, "past the window");
    assert_eq!(find(1500, 1501, 500, u32::MAX), None, "the window has a limit of its own");
    assert_eq!(find(499, 500, 500, 1000), None, "the first is used up");
    assert_eq!(find(501, 500, 500, 1000), None, "the wrong way round");
    assert_eq!(find(500, 502, 500, 1000), None, "not successive");
    assert_eq!(find(500, 500, 500, 1000), None, "the same twice");
    assert_eq!(find(500, 501, 500, 0), None, "no window");
    assert_eq!(find(u64::MAX - 1, u64::MAX, u64::MAX - 1, 1000), Some(u64::MAX));
    assert_eq!(find(u64::MAX, 0, u64::MAX, 1000), None, "counters do not wrap");
}

#[test]
fn two_successive_totp_values_find_the_drift_again() {
    // covers: A8, A10
    let key = key();
    let find = |second: u64, reach, above| {
        let window = ResyncWindow { center_step: 5000, reach, above };
        resynchronize_totp(&key, &key.value(second.wrapping_sub(1)), &key.value(second), &window)
    };
    for time_drift in [-1000, -7, 0, 1, 1000] {
        let second_step = 5000_u64.checked_add_signed(time_drift.into()).unwrap();
        assert_eq!(find(second_step, 1000, None), Some(Resync { second_step, time_drift }));
    }
    assert_eq!(find(4989, 10, None), None, "before the window");
    assert_eq!(find(5011, 10, None), None, "after the window");
    assert_eq!(find(6001, u32::MAX, None), None, "the reach has a limit of its own");
    assert_eq!(find(5001, 10, Some(4999)), Some(Resync { second_step: 5001, time_drift: 1 }));
    assert_eq!(find(5001, 10, Some(5000)), None, "the first is used up");
    assert_eq!(find(5001, 10, Some(u64::MAX)), None, "everything is used up");
}

#[test]
fn drift_is_found_at_the_ends_of_the_step_range() {
    let key = key();
    let find = |center_step, second: u64| {
        let window = ResyncWindow { center_step, reach: 3, above: None };
        resynchronize_totp(&key, &key.value(second - 1), &key.value(second), &window)
    };
    assert_eq!(find(0, 1), Some(Resync { second_step: 1, time_drift: 1 }));
    assert_eq!(find(u64::MAX, u64::MAX), Some(Resync { second_step: u64::MAX, time_drift: 0 }));
}

#[test]
fn a_refused_totp_value_is_explained_by_its_distance() {
    // covers: P5
    let key = key();
    let find = |step, center_step, reach| find_totp(&key, &key.value(step), center_step, reach);
    assert_eq!(find(1000, 1000, 10), Some(0));
    assert_eq!(find(1003, 1000, 10), Some(3));
    assert_eq!(find(997, 1000, 10), Some(-3));
    assert_eq!(find(1011, 1000, 10), None);
    assert_eq!(find(2001, 1000, u32::MAX), None, "the reach has a limit of its own");
    assert_eq!(find(2, 0, 10), Some(2));
    assert_eq!(find(u64::MAX, u64::MAX, 10), Some(0));
}

#[test]
fn of_two_distances_the_nearest_explains() {
    let (key, earlier, later) = two_factors_with_one_value();
    let attempt = key.value(earlier);
    assert_eq!(find_totp(&key, &attempt, earlier, RESYNCHRONIZE_MAX), Some(0));
    assert_eq!(find_totp(&key, &attempt, later, RESYNCHRONIZE_MAX), Some(0));
    assert_eq!(find_totp(&key, &attempt, later + 1, RESYNCHRONIZE_MAX), Some(-1));
    assert_eq!(find_totp(&key, &attempt, earlier - 1, RESYNCHRONIZE_MAX), Some(1));
}

#[test]
fn a_refused_hotp_value_is_explained_by_its_distance() {
    // covers: P5
    let key = key();
    let find = |counter, next_counter, reach| find_hotp(&key, &key.value(counter), next_counter, reach);
    assert_eq!(find(537, 500, 100), Some(37));
    assert_eq!(find(600, 500, 100), Some(100));
    assert_eq!(find(601, 500, 100), None);
    assert_eq!(find(499, 500, 100), None);
    assert_eq!(find(1501, 500, u32::MAX), None, "the reach has a limit of its own");
    assert_eq!(find(u64::MAX, u64::MAX - 5, 100), Some(5));
}

/// Two factors less than 200 apart that share a value: among some thousands of six-digit values there are a
/// few.
fn two_factors_with_one_value() -> (OtpKey, u64, u64) {
    let key = key();
    let values: Vec<u32> = (0..40_000).map(|factor| key.value(factor).expose().parse().unwrap()).collect();
    let pair = values.iter().enumerate().find_map(|(first, value)| {
        let after = &values[first + 1..values.len().min(first + 200)];
        after.iter().position(|other| other == value).map(|gap| (first, first + 1 + gap))
    });
    let (first, second) = pair.expect("8 such pairs among 40,000 values, on average");
    (key, first as u64, second as u64)
}
