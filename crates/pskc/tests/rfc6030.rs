//! The examples of RFC 6030, and documents of another program.

use pskc::{
    Algorithm, Document, KeyPackage, KeyUsage, Problem, PskcError, TokenType, Unlock, Validity, read,
};

/// The pre-shared key of §6.1.
const KEY: [u8; 16] =
    [0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12];

const SECRET: &[u8] = b"12345678901234567890";

#[test]
fn figure_3_tells_a_plain_hotp_key() {
    let package = the_package(include_bytes!("vectors/figure3.xml"), &Unlock::None);
    check_key(&package, 8);
    assert_eq!(package.manufacturer.as_deref(), Some("Manufacturer"));
    assert_eq!(package.issuer.as_deref(), Some("Issuer"));
    assert_eq!(package.key_id, "12345678");
    assert!(package.obstacle_at(0).is_none());
}

#[test]
fn figures_2_and_4_are_faulty_because_one_secret_is_short_and_one_is_missing() {
    let document = read_whole(include_bytes!("vectors/figure2.xml"), &Unlock::None);
    let fault = document.packages[0].as_ref().expect_err("its secret has four bytes");
    assert_eq!((fault.row, fault.serial.as_str()), (1, "12345678"));
    assert_eq!(fault.reason, Problem::SecretShort { bytes: 4 });
    let document = read_whole(include_bytes!("vectors/figure4.xml"), &Unlock::None);
    let fault = document.packages[0].as_ref().expect_err("its secret is elsewhere");
    assert_eq!((fault.serial.as_str(), &fault.reason), ("987654321", &Problem::SecretMissing));
}

#[test]
fn figure_5_tells_a_key_whose_pin_the_device_checks_and_a_pin() {
    let document = read_whole(include_bytes!("vectors/figure5.xml"), &Unlock::None);
    let package = document.packages[0].as_ref().expect("a local PIN is no obstacle");
    check_key(package, 8);
    assert_eq!(package.key_usages, [KeyUsage::Otp]);
    let fault = document.packages[1].as_ref().expect_err("a PIN is no token");
    assert_eq!(
        fault.reason,
        Problem::Algorithm { uri: String::from("urn:ietf:params:xml:ns:keyprov:pskc:pin") }
    );
}

#[test]
fn figure_6_opens_with_its_pre_shared_key() {
    let package = the_package(include_bytes!("vectors/figure6.xml"), &Unlock::PreSharedKey(&KEY));
    check_key(&package, 8);
}

#[test]
fn figure_7_opens_with_its_passphrase() {
    let package = the_package(include_bytes!("vectors/figure7.xml"), &Unlock::Passphrase("qwerty"));
    check_key(&package, 8);
}

// covers: A18
#[test]
fn figures_6_and_7_do_not_open_with_anything_else() {
    let psk: &[u8] = include_bytes!("vectors/figure6.xml");
    let passphrase: &[u8] = include_bytes!("vectors/figure7.xml");
    let needed = PskcError::KeyNeeded { name: String::from("named `Pre-shared-key`") };
    assert_eq!(read(psk, &Unlock::None), Err(needed.clone()));
    assert_eq!(read(psk, &Unlock::Passphrase("qwerty")), Err(needed));
    let needed = PskcError::PassphraseNeeded { name: String::from("named `My Password 1`") };
    assert_eq!(read(passphrase, &Unlock::None), Err(needed.clone()));
    assert_eq!(read(passphrase, &Unlock::PreSharedKey(&KEY)), Err(needed));
    // Some wrong keys leave padding that looks right, so the MAC is what counts.
    for wrong in 0..=255 {
        let found = read(psk, &Unlock::PreSharedKey(&[wrong; 16]));
        assert!(matches!(found, Err(PskcError::WrongKey { .. })), "key {wrong}: {found:?}");
    }
    let found = read(passphrase, &Unlock::Passphrase("Qwerty"));
    assert!(matches!(found, Err(PskcError::WrongKey { .. })), "{found:?}");
}

#[test]
fn figures_8_and_9_are_refused_by_name() {
    let found =
        read(include_bytes!("vectors/figure8.xml"), &Unlock::None).expect_err("it needs a private key");
    assert!(found.to_string().contains("X509Data"), "{found}");
    let found = read(include_bytes!("vectors/figure9.xml"), &Unlock::None).expect_err("it is signed");
    assert_eq!(found, PskcError::Signed);
    assert!(found.to_string().contains("pskctool --verify"), "{found}");
}

#[test]
fn figure_10_tells_many_keys_with_their_times() {
    let document = read_whole(include_bytes!("vectors/figure10.xml"), &Unlock::None);
    let serials: Vec<_> =
        document.packages.iter().flatten().map(|package| package.token.serial.as_str()).collect();
    assert_eq!(serials, ["654321", "123456", "9999999"]);
    let fault = document.packages[3].as_ref().expect_err("its serial stands in the third package, too");
    assert_eq!((fault.row, fault.serial.as_str()), (4, "9999999"));
    assert_eq!(fault.reason.to_string(), "the serial stands in package 3 already");
    let package = document.packages[0].as_ref().expect("it is right");
    let (may_1, may_31) = (1_146_441_600, 1_149_033_600);
    assert_eq!(package.key_validity, Validity { start: Some(may_1), expiry: Some(may_31) });
    assert!(package.obstacle_at(may_1).is_none());
    let told = |now| package.obstacle_at(now).map(|problem| problem.to_string());
    assert_eq!(told(may_1 - 1).as_deref(), Some("it is not valid before 2006-05-01T00:00:00Z"));
    assert_eq!(told(may_31).as_deref(), Some("it is valid until 2006-05-31T00:00:00Z only"));
}

#[test]
fn what_python3_pskc_encrypts_is_read() {
    let key: &[u8] = include_bytes!("vectors/python3-pskc-key.xml");
    let passphrase: &[u8] = include_bytes!("vectors/python3-pskc-passphrase.xml");
    for (bytes, unlock) in [(key, Unlock::PreSharedKey(&KEY)), (passphrase, Unlock::Passphrase("qwerty"))] {
        let document = read_whole(bytes, &unlock);
        assert!(document.is_encrypted);
        let packages: Vec<_> =
            document.packages.into_iter().map(|package| package.expect("it is right")).collect();
        let [hotp, totp] = packages.as_slice() else { panic!("there are two") };
        assert_eq!((hotp.token.serial.as_str(), hotp.token.counter), ("2001", Some(1000)));
        assert_eq!((totp.token.serial.as_str(), totp.token.algorithm), ("2002", Algorithm::Sha256));
        assert_eq!(
            (totp.token.digits, totp.token.time_interval, totp.token.time_drift),
            (8, Some(30), Some(4))
        );
        assert!(packages.iter().all(|package| package.token.secret.as_slice() == SECRET));
        assert_eq!(totp.key_validity.start, Some(1_577_836_800));
    }
}

fn check_key(package: &KeyPackage, digits: u8) {
    let token = &package.token;
    assert_eq!((token.row, token.serial.as_str()), (1, "987654321"));
    assert_eq!(token.secret.as_slice(), SECRET);
    assert_eq!((token.token_type, token.algorithm), (TokenType::Hotp, Algorithm::Sha1));
    assert_eq!((token.digits, token.counter), (digits, Some(0)));
    assert_eq!((token.time_interval, token.time_drift), (None, None));
}

fn read_whole(bytes: &[u8], unlock: &Unlock<'_>) -> Document {
    read(bytes, unlock).expect("the document is right")
}

fn the_package(bytes: &[u8], unlock: &Unlock<'_>) -> KeyPackage {
    let mut packages = read_whole(bytes, unlock).packages;
    assert_eq!(packages.len(), 1);
    packages.remove(0).expect("the package is right")
}
