//! What holds for every document: what is written is read, and no input panics.

use proptest::prelude::*;
use pskc::{Algorithm, KeyPackage, KeyUsage, Protection, TokenRow, TokenType, Unlock, Validity, read, write};

const KEY: [u8; 16] = [5; 16];
const DOCUMENTS: [&str; 5] = [
    include_str!("vectors/figure3.xml"),
    include_str!("vectors/figure5.xml"),
    include_str!("vectors/figure6.xml"),
    include_str!("vectors/figure7.xml"),
    include_str!("vectors/figure10.xml"),
];

proptest! {
    #[test]
    fn what_was_written_is_read(packages in any_packages(), seed in any::<u64>()) {
        check_round_trip(&packages, seed, &Protection::None, &Unlock::None)?;
        let psk = Protection::PreSharedKey { key: &KEY, name: "<batch & key>" };
        check_round_trip(&packages, seed, &psk, &Unlock::PreSharedKey(&KEY))?;
        let passphrase = Protection::Passphrase { passphrase: "päß\"wort", name: "", iterations: 2 };
        check_round_trip(&packages, seed, &passphrase, &Unlock::Passphrase("päß\"wort"))?;
    }

    // covers: A18
    #[test]
    fn a_changed_byte_of_an_encrypted_document_never_gives_another_secret(
        which in 2..4_usize, at in any::<prop::sample::Index>(), to in any::<u8>(),
    ) {
        let mut bytes = DOCUMENTS[which].as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let key = [0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12];
        let unlock = [Unlock::PreSharedKey(&key), Unlock::Passphrase("qwerty")][which - 2];
        if let Ok(document) = read(&bytes, &unlock) {
            for package in document.packages.into_iter().flatten() {
                prop_assert_eq!(package.token.secret.as_slice(), b"12345678901234567890");
            }
        }
    }

    // covers: A18
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes, &Unlock::None);
        let _ = pskc::csv::read(&bytes);
    }

    // covers: A18
    #[test]
    fn no_text_panics(text in "[<>/&;=\"'!?A-Za-z0-9:,|\\[\\]\\-# \n]{0,200}") {
        let _ = read(text.as_bytes(), &Unlock::None);
        let _ = pskc::csv::read(text.as_bytes());
        let inside = DOCUMENTS[0].replace("<KeyPackage>", &text);
        let _ = read(inside.as_bytes(), &Unlock::None);
    }

    // covers: A18
    #[test]
    fn no_mutated_document_panics(
        which in 0..DOCUMENTS.len(),
        changes in prop::collection::vec(any_change(), 1..4),
    ) {
        let mut bytes = DOCUMENTS[which].as_bytes().to_vec();
        for (at, length, new) in changes {
            let at = at.index(bytes.len() + 1);
            let end = bytes.len().min(at + length);
            bytes.splice(at..end, new);
        }
        let _ = read(&bytes, &Unlock::None);
        let _ = read(&bytes, &Unlock::PreSharedKey(&KEY));
        let _ = pskc::csv::read(&bytes);
    }

    // covers: A18
    #[test]
    fn no_mutated_list_panics(at in any::<prop::sample::Index>(), new in prop::collection::vec(any::<u8>(), 0..12)) {
        let mut bytes = pskc::csv::template().as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes.splice(at..at, new);
        let _ = pskc::csv::read(&bytes);
    }
}

fn check_round_trip(
    packages: &[KeyPackage],
    seed: u64,
    protection: &Protection<'_>,
    unlock: &Unlock<'_>,
) -> Result<(), TestCaseError> {
    let bytes = write(packages, protection, &mut generator(seed));
    let document = read(&bytes, unlock).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(document.is_encrypted, !matches!(protection, Protection::None));
    let read: Vec<_> = document.packages.into_iter().map(|package| package.expect("it is right")).collect();
    prop_assert_eq!(&read, packages);
    Ok(())
}

/// Where to cut, how much, and what to put there.
fn any_change() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
    (any::<prop::sample::Index>(), 0..40_usize, prop::collection::vec(any::<u8>(), 0..6))
}

/// Any bytes will do here.
fn generator(mut state: u64) -> impl FnMut(&mut [u8]) {
    move |bytes| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = state.to_be_bytes()[0];
        }
    }
}

fn any_packages() -> impl Strategy<Value = Vec<KeyPackage>> {
    prop::collection::vec(any_package(), 1..5).prop_map(|mut packages| {
        // Each has its number, and a serial of its own.
        for (number, package) in (1..).zip(&mut packages) {
            package.token.row = number;
            package.token.serial.push_str(&number.to_string());
        }
        packages
    })
}

fn any_package() -> impl Strategy<Value = KeyPackage> {
    let validity = || {
        let date = prop::option::of(0..253_402_300_800_i64);
        (date.clone(), date).prop_map(|(start, expiry)| Validity { start, expiry })
    };
    let usages = prop::sample::subsequence(
        vec![KeyUsage::Otp, KeyUsage::Cr, KeyUsage::KeyWrap, KeyUsage::Generate],
        0..4,
    );
    let texts = (
        any_text(),
        prop::option::of(any_text()),
        prop::option::of(any_text()),
        prop::option::of(any_text()),
    );
    (any_token(), texts, validity(), validity(), usages).prop_map(
        |(token, (key_id, manufacturer, model, issuer), device_validity, key_validity, key_usages)| {
            KeyPackage {
                token,
                key_id,
                manufacturer,
                model,
                issuer,
                device_validity,
                key_validity,
                key_usages,
            }
        },
    )
}

fn any_token() -> impl Strategy<Value = TokenRow> {
    let algorithm = prop::sample::select(vec![Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512]);
    let secret = prop::collection::vec(any::<u8>(), 16..=128);
    let counter =
        (0..=i64::MAX.unsigned_abs()).prop_map(|counter| (TokenType::Hotp, None, Some(counter), None));
    let time = (1..=86_400_u32, any::<Option<i32>>())
        .prop_map(|(interval, drift)| (TokenType::Totp, Some(interval), None, drift));
    // With its number it is shorter than what looks like a secret.
    ("[A-Za-z0-9<&é]{1,20}", secret, algorithm, 6..=8_u8, prop_oneof![counter, time]).prop_map(
        |(serial, secret, algorithm, digits, (token_type, time_interval, counter, time_drift))| TokenRow {
            row: 0,
            serial,
            token_type,
            secret: secret.into(),
            algorithm,
            digits,
            time_interval,
            counter,
            time_drift,
        },
    )
}

/// A text without space around it: reading cuts that off.
fn any_text() -> impl Strategy<Value = String> {
    "[!-~äß€][ -~äß€]{0,20}[!-~äß€]"
}
