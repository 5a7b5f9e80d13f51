use subtle::ConstantTimeEq as _;

use super::*;

const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn totp(issuer: Option<&str>, account: &str) -> KeyUri {
    KeyUri {
        issuer: issuer.map(str::to_owned),
        account: account.to_owned(),
        secret: SharedSecret::from_base32(SECRET).unwrap(),
        algorithm: Algorithm::Sha1,
        digits: Digits::SIX,
        kind: KeyUriKind::Totp { time_interval: TimeInterval::THIRTY },
    }
}

fn check_same(read: &KeyUri, expected: &KeyUri) {
    assert_eq!((&read.issuer, &read.account), (&expected.issuer, &expected.account));
    assert!(bool::from(read.secret.ct_eq(&expected.secret)));
    assert_eq!(
        (read.algorithm, read.digits, read.kind),
        (expected.algorithm, expected.digits, expected.kind)
    );
}

/// `parameters` stand after the secret.
fn check_refused(parameters: &str, expected: KeyUriError) {
    check_refused_uri(&format!("otpauth://totp/alice?secret={SECRET}{parameters}"), expected);
}

fn check_refused_uri(uri: &str, expected: KeyUriError) {
    assert_eq!(KeyUri::parse(uri).unwrap_err(), expected, "{uri:?}");
}

#[test]
fn default_values_are_left_out_of_the_uri() {
    // covers: T1, T4
    let uri = totp(Some("Postern"), "alice@web1").to_uri();
    assert_eq!(*uri, format!("otpauth://totp/Postern:alice@web1?secret={SECRET}&issuer=Postern"));
    assert_eq!(*totp(None, "alice").to_uri(), format!("otpauth://totp/alice?secret={SECRET}"));
    assert_eq!(*totp(Some(""), "alice").to_uri(), format!("otpauth://totp/alice?secret={SECRET}"));
}

#[test]
fn other_values_stand_in_the_uri() {
    // covers: A1
    let mut key_uri = totp(None, "alice");
    key_uri.algorithm = Algorithm::Sha512;
    key_uri.digits = Digits::new(8).unwrap();
    key_uri.kind = KeyUriKind::Totp { time_interval: TimeInterval::new(60).unwrap() };
    let start = format!("otpauth://totp/alice?secret={SECRET}");
    assert_eq!(*key_uri.to_uri(), format!("{start}&algorithm=SHA512&digits=8&period=60"));

    let hotp = KeyUri { kind: KeyUriKind::Hotp { counter: 0 }, ..totp(None, "alice") };
    assert_eq!(*hotp.to_uri(), format!("otpauth://hotp/alice?secret={SECRET}&counter=0"));
}

#[test]
fn names_are_percent_encoded_so_that_they_cannot_add_parameters() {
    let uri = totp(Some("A&B:C"), "alice?secret=X#é +%").to_uri();
    let label = "A%26B%3AC:alice%3Fsecret%3DX%23%C3%A9%20%2B%25";
    assert_eq!(*uri, format!("otpauth://totp/{label}?secret={SECRET}&issuer=A%26B%3AC"));
    check_same(&KeyUri::parse(&uri).unwrap(), &totp(Some("A&B:C"), "alice?secret=X#é +%"));

    let colon_in_the_account = totp(None, "corp:alice");
    check_same(&KeyUri::parse(&colon_in_the_account.to_uri()).unwrap(), &colon_in_the_account);
}

#[test]
fn the_uri_is_built_without_growing() {
    let mut longest = totp(Some(&"é".repeat(100)), &"é".repeat(100));
    longest.secret = SharedSecret::from_bytes(&[0xff; SharedSecret::BYTES_MAX]).unwrap();
    longest.algorithm = Algorithm::Sha512;
    longest.digits = Digits::new(8).unwrap();
    longest.kind = KeyUriKind::Hotp { counter: u64::MAX };
    // What stands around names and secret, at its longest, against the allowance in `to_uri`.
    let fixed = "otpauth://totp/:?secret=&issuer=&algorithm=SHA512&digits=8&counter=".len() + 20;
    assert!(fixed <= 128);
    assert!(longest.to_uri().len() <= 128 + 6 * 200 + 3 * 200 + 205);
}

#[test]
fn uris_of_other_programs_are_read() {
    // covers: P10
    let expected = totp(Some("Example"), "alice+x@example.com");
    let secret_in_groups = "gezd%20gnbv%20gy3t%20qojq%20gezd%20gnbv%20gy3t%20qojq";
    for uri in [
        format!("otpauth://totp/Example:alice+x@example.com?secret={SECRET}&issuer=Example"),
        format!("otpauth://totp/Example:alice+x@example.com?secret={SECRET}"),
        format!("otpauth://totp/Example:%20alice%2Bx%40example.com?issuer=Example&secret={SECRET}"),
        format!("otpauth://totp/Example%3Aalice+x@example.com?secret={SECRET}&issuer=Example"),
        format!("otpauth://totp/alice+x@example.com?secret={SECRET}&issuer=Example"),
        format!("otpauth://totp/Old:alice+x@example.com?secret={SECRET}&issuer=Example"),
        format!("OTPAUTH://TOTP/Example:alice+x@example.com?SECRET={secret_in_groups}&algorithm=sha1"),
        format!("otpauth://totp/Example:alice+x@example.com?secret={SECRET}&digits=6&period=30&image=x&&"),
        format!("otpauth://totp/Example:alice+x@example.com?secret={SECRET}#top"),
    ] {
        check_same(&KeyUri::parse(&uri).unwrap_or_else(|error| panic!("{uri}: {error}")), &expected);
    }
}

#[test]
fn a_broken_frame_is_refused() {
    check_refused_uri("", KeyUriError::Scheme);
    check_refused_uri("https://totp/alice", KeyUriError::Scheme);
    check_refused_uri("otpauth:/totp/alice", KeyUriError::Scheme);
    check_refused_uri("otpauth:/é", KeyUriError::Scheme);
    check_refused_uri(&format!("otpauth://steam/alice?secret={SECRET}"), KeyUriError::Kind);
    check_refused_uri(&format!("otpauth://totp?secret={SECRET}"), KeyUriError::Account);
    for label in ["", "Example:", "Example:%20", "%20"] {
        check_refused_uri(&format!("otpauth://totp/{label}?secret={SECRET}"), KeyUriError::Account);
    }
    check_refused_uri(&format!("otpauth://totp/%ff?secret={SECRET}"), KeyUriError::NotUtf8);
    let too_long = format!("otpauth://totp/{}?secret={SECRET}", "a".repeat(KeyUri::BYTES_MAX));
    check_refused_uri(&too_long, KeyUriError::TooLong);
}

#[test]
fn a_broken_secret_is_refused() {
    // covers: A18
    for uri in ["otpauth://totp/alice", "otpauth://totp/alice?", "otpauth://totp/alice?digits=6"] {
        check_refused_uri(uri, KeyUriError::NoSecret);
    }
    let too_short = SharedSecretError::TooShort { bytes: 10 };
    check_refused_uri("otpauth://totp/alice?secret=GEZDGNBVGY3TQOJQ", KeyUriError::Secret(too_short));
    check_refused_uri("otpauth://totp/alice?secret=0", KeyUriError::Secret(SharedSecretError::NotBase32));
    check_refused(&format!("&secret={SECRET}"), KeyUriError::Repeated { name: "secret" });
}

#[test]
fn broken_parameters_are_refused() {
    check_refused("&algorithm=MD5", KeyUriError::Algorithm(AlgorithmError));
    check_refused("&digits=9", KeyUriError::Digits(DigitsError { count: 9 }));
    check_refused("&period=0", KeyUriError::TimeInterval(TimeIntervalError { seconds: 0 }));
    check_refused("&period=86401", KeyUriError::TimeInterval(TimeIntervalError { seconds: 86_401 }));
    for digits in ["", "six", "+6", "-6", "6.0", "0x6", "256", "６"] {
        check_refused(&format!("&digits={digits}"), KeyUriError::NotANumber { name: "digits" });
    }
    check_refused("&digits=6&digits=6", KeyUriError::Repeated { name: "digits" });

    let hotp = format!("otpauth://hotp/alice?secret={SECRET}");
    check_refused_uri(&hotp, KeyUriError::NoCounter);
    let too_large = format!("{hotp}&counter=18446744073709551616");
    check_refused_uri(&too_large, KeyUriError::NotANumber { name: "counter" });
}

#[test]
fn errors_and_debug_output_do_not_repeat_the_secret() {
    // covers: E24
    let error = KeyUri::parse("otpauth://totp/alice?secret=CANARYCANARY1&secret=CANARY").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("CANARY"));
    assert!(!format!("{:?}", totp(None, "alice")).contains("GEZD"));
}
