//! The tables of RFC 4226 and RFC 6238, which stand as data in `tests/vectors/`.

use otp_core::{Algorithm, Digits, OtpKey, SharedSecret, TimeSteps};

const RFC_4226: &str = include_str!("vectors/rfc4226-appendix-d.txt");
const RFC_6238: &str = include_str!("vectors/rfc6238-appendix-b.txt");

#[test]
fn the_hotp_values_of_rfc_4226_appendix_d_come_out() {
    // covers: A1
    let secret = secret(20);
    let rows: Vec<[&str; 3]> = rows(RFC_4226).collect();
    assert_eq!(rows.len(), 10);
    for [counter, truncated, expected] in rows {
        let counter: u64 = counter.parse().unwrap();
        check(&secret, Algorithm::Sha1, counter, expected);
        // The table's untruncated number ends in the longer values as well.
        for count in 7..=8 {
            let digits = format!("{truncated:0>10}");
            check(&secret, Algorithm::Sha1, counter, &digits[10 - count..]);
        }
    }
}

#[test]
fn the_totp_values_of_rfc_6238_appendix_b_come_out() {
    // covers: A17, A1
    let rows: Vec<[&str; 4]> = rows(RFC_6238).collect();
    assert_eq!(rows.len(), 18);
    for [time, expected_step, expected, algorithm] in rows {
        let algorithm = Algorithm::from_name(algorithm).unwrap();
        let step = TimeSteps::default().step_at(time.parse().unwrap()).unwrap();
        assert_eq!(format!("{step:016X}"), expected_step, "at {time}");
        check(&secret(secret_bytes(algorithm)), algorithm, step, expected);
    }
}

fn check(secret: &SharedSecret, algorithm: Algorithm, moving_factor: u64, expected: &str) {
    let digits = Digits::new(expected.len().try_into().unwrap()).unwrap();
    let value = OtpKey::new(secret, algorithm, digits).value(moving_factor);
    assert_eq!(*value.expose(), expected, "{algorithm} at {moving_factor}");
}

/// The digits 1 to 9 and 0 over and over.
fn secret(bytes: usize) -> SharedSecret {
    let digits: Vec<u8> = b"1234567890".iter().copied().cycle().take(bytes).collect();
    SharedSecret::from_bytes(&digits).unwrap()
}

fn secret_bytes(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Sha1 => 20,
        Algorithm::Sha256 => 32,
        Algorithm::Sha512 => 64,
    }
}

fn rows<const COLUMNS: usize>(table: &str) -> impl Iterator<Item = [&str; COLUMNS]> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().try_into().expect("all columns"))
}
