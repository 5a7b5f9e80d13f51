//! What is refused in a PSKC document, and what is read although producers differ: tables of changes to one
//! document, with what the reader says.

use pskc::csv::CsvError;
use pskc::{FILE_BYTES_MAX, PskcError, TOKENS_MAX, TokenType, Unlock, read};

/// A document with one TOTP package, in which the tests exchange pieces.
const DOCUMENT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc">
<KeyPackage>
<DeviceInfo><SerialNo>S1</SerialNo></DeviceInfo>
<Key Id="K1" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:totp">
<AlgorithmParameters><ResponseFormat Length="6" Encoding="DECIMAL"/></AlgorithmParameters>
<Data>
<Secret><PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</PlainValue></Secret>
<Time><PlainValue>0</PlainValue></Time>
<TimeInterval><PlainValue>60</PlainValue></TimeInterval>
<TimeDrift><PlainValue>-2</PlainValue></TimeDrift>
</Data>
</Key>
</KeyPackage>
</KeyContainer>
"#;

const SECRET: &str = "<PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</PlainValue>";
const ENCRYPTED: &str = include_str!("vectors/figure6.xml");
const DERIVED: &str = include_str!("vectors/figure7.xml");
const VALUE_MAC: &str = "<ValueMAC>Su+NvtQfmvfJzF6bmQiJqoLRExc=\n          </ValueMAC>";
const KEY: [u8; 16] =
    [0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12];

#[test]
fn the_document_itself_is_right() {
    let document = read(DOCUMENT.as_bytes(), &Unlock::None).expect("it is right");
    let token = &document.packages[0].as_ref().expect("it is right").token;
    assert_eq!(token.token_type, TokenType::Totp);
    assert_eq!((token.time_interval, token.time_drift, token.counter), (Some(60), Some(-2), None));
    assert!(!document.is_encrypted);
}

// covers: A18
#[test]
fn xml_that_could_reach_out_or_blow_up_is_refused() {
    let dtd = "<!DOCTYPE k [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><KeyContainer";
    check_document(&[("<KeyContainer", dtd)], "has a DTD");
    check_document(
        &[("<KeyContainer", "<!DOCTYPE KeyContainer SYSTEM \"http://192.0.2.1/x.dtd\"><KeyContainer")],
        "has a DTD",
    );
    check_document(&[(">S1<", ">&x;<")], "entity `x`");
    check_document(&[("Id=\"K1\"", "Id=\"&x;\"")], "unrecognized entity `x`");
    check_document(&[(">S1<", ">&#0;<")], "usable XML");
    check_document(&[("<KeyPackage>", &format!("<KeyPackage>{}", "<a>".repeat(40)))], "deeper than 32");
    check_document(&[("<KeyPackage>", &format!("<KeyPackage>{}", "<a/>".repeat(600)))], "512 elements");
    check_document(&[(">S1<", &format!(">{}<", "9".repeat(70_000)))], "64 KiB");
    check_document(&[("Id=\"K1\"", &format!("Id=\"{}\"", "9".repeat(70_000)))], "64 KiB");
    check_document(&[("MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=", &"A".repeat(10_000_000))], "64 KiB");
    check_document(&[("UTF-8", "UTF-16")], "convert it to UTF-8");
    check_document(&[("xml version=\"1.0\"", "xml version=\"1.1\"")], "only XML 1.0");
    check_document(&[("</KeyContainer>", "</KeyContainer><KeyContainer/>")], "follows the container");
    check_document(&[("</KeyContainer>", "")], "ends inside the container");
    check_document(&[("</KeyPackage>\n</KeyContainer>", "")], "ends inside a package");
    check_document(&[("<Data>", "<Daten>")], "usable XML");
    check_document(&[("<KeyPackage>", "<x:KeyPackage>"), ("</KeyPackage>", "</x:KeyPackage>")], "prefix");
    check_document(&[("<KeyPackage>", "words <KeyPackage>")], "text between");
    let found = read(b"<\xff>", &Unlock::None).expect_err("it is no text");
    assert_eq!(found, PskcError::Encoding { at: 1 });
}

// covers: A18
#[test]
fn what_is_no_pskc_container_is_refused_whole() {
    check_document(&[("ns:keyprov:pskc\"", "ns:keyprov:other\"")], "its root is `KeyContainer`");
    check_document(&[("Version=\"1.0\" xmlns", "Version=\"2.0\" xmlns")], "version 2.0");
    check_document(&[("Version=\"1.0\" xmlns", "xmlns")], "version none");
    check_document(&[("<KeyPackage>", "<Device/><KeyPackage>")], "`Device`");
    check_document(&[("</KeyPackage>", "</KeyPackage><EncryptionKey/>")], "behind a KeyPackage");
    check_document(&[("</KeyPackage>", "</KeyPackage><Signature/>")], "is signed");
    let empty = "<KeyContainer Version=\"1.0\" xmlns=\"urn:ietf:params:xml:ns:keyprov:pskc\"/>";
    assert_eq!(read(empty.as_bytes(), &Unlock::None), Err(PskcError::Empty));
    assert!(read(b"", &Unlock::None).is_err());
    assert!(read(b"serial,secret\n", &Unlock::None).is_err());
}

// covers: A18
#[test]
fn faulty_packages_are_named_with_their_reason() {
    for (bytes, problem) in [
        ("", "the secret is empty"),
        ("MTIzNDU2Nzg5MDEyMzQ1", "the secret is too short: 15 of"),
        ("!!!!", "the secret is not base64"),
        (&"QUFB".repeat(43), "at most 128 bytes"),
        (&"QUFB".repeat(341), "at most 128 bytes"),
    ] {
        check_fault(&[("MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=", bytes)], problem);
    }
    check_fault(&[(SECRET, "")], "Secret must hold either");
    check_fault(&[(SECRET, &format!("{SECRET}<EncryptedValue/>"))], "Secret must hold either");
    check_fault(&[("<Data>", &format!("<Data><Secret>{SECRET}</Secret>"))], "more than one Secret");
    check_fault(&[("pskc:totp", "pskc:ocra")], "supported are");
    check_fault(&[(" Algorithm=\"urn:ietf:params:xml:ns:keyprov:pskc:totp\"", "")], "no algorithm");
    check_fault(&[("<ResponseFormat", "<ChallengeFormat/><ResponseFormat")], "challenges");
    check_fault(&[("<ResponseFormat", "<Suite>MD5</Suite><ResponseFormat")], "hash is `MD5`");
    check_fault(&[("DECIMAL", "ALPHANUMERIC")], "only DECIMAL");
    check_fault(&[("Length=\"6\"", "Length=\"10\"")], "digits is `10`");
    check_fault(&[("Length=\"6\"", "Length=\"6\" CheckDigits=\"true\"")], "check digit");
    check_fault(&[(">60<", ">0<")], "time step is 0");
    check_fault(&[(">60<", ">-1<")], "time step is -1");
    check_fault(&[(">60<", ">99999999999999999999<")], "not a number");
    check_fault(&[(">-2<", ">99999999999<")], "drift is 99999999999");
    check_fault(&[("<Time><PlainValue>0", "<Time><PlainValue>5")], "Time is 5");
    check_fault(&[(">S1<", ">=1+1<")], "formula");
    check_fault(&[(">S1<", ">a&#7;b<")], "control");
    check_fault(&[(">S1<", ">3132333435363738393031323334353637383930<")], "looks like a secret");
    check_fault(&[(">S1<", ">MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=<")], "looks like a secret");
    check_fault(&[("<Key Id", "<Keys Id"), ("</Key>", "</Keys>")], "holds no Key");
    let hotp = ("pskc:totp", "pskc:hotp");
    let counter = |value| format!("<Data><Counter><PlainValue>{value}</PlainValue></Counter>");
    check_fault(&[hotp, ("<Data>", &counter("-1"))], "counter is -1");
    check_fault(&[hotp, ("<Data>", &counter("9223372036854775808"))], "not a number");
}

#[test]
fn a_policy_that_cannot_be_kept_makes_the_key_unusable() {
    let policy = |content: &str| format!("</Data><Policy>{content}</Policy>");
    for (content, problem) in [
        ("<Weekday>Sunday</Weekday>", "its policy has Weekday"),
        ("<x:KeyUsage xmlns:x=\"urn:x\">OTP</x:KeyUsage>", "its policy has KeyUsage"),
        ("<NumberOfTransactions>3</NumberOfTransactions>", "NumberOfTransactions"),
        ("<KeyUsage>Sign</KeyUsage>", "the KeyUsage Sign"),
        ("<PINPolicy PINUsageMode=\"Append\"/>", "a PIN of mode Append"),
        ("<PINPolicy/>", "a PIN of mode unknown"),
        ("<PINPolicy PINUsageMode=\"Local\" Colour=\"red\"/>", "the PINPolicy Colour"),
        ("<PINPolicy PINUsageMode=\"Local\"><More/></PINPolicy>", "the PINPolicy More"),
        ("<StartDate>tomorrow</StartDate>", "StartDate is not a date"),
    ] {
        check_fault(&[("</Data>", &policy(content))], problem);
    }
    let changed = DOCUMENT.replace("</Data>", &policy("<KeyUsage>CR</KeyUsage><KeyUsage>Unlock</KeyUsage>"));
    let document = read(changed.as_bytes(), &Unlock::None).expect("it is right");
    let package = document.packages[0].as_ref().expect("what it is for is the importer's to judge");
    let told = package.obstacle_at(0).map(|problem| problem.to_string());
    assert_eq!(told.as_deref(), Some("its key may be used for CR, Unlock only, not for OTP"));
}

#[test]
fn a_device_that_is_out_of_date_is_an_obstacle() {
    let dates = "S1</SerialNo><StartDate>2020-01-01T00:00:00+01:00</StartDate>\
                 <ExpiryDate>2020-01-02T00:00:00.5</ExpiryDate>";
    let changed = DOCUMENT.replace("S1</SerialNo>", dates);
    let document = read(changed.as_bytes(), &Unlock::None).expect("it is right");
    let package = document.packages[0].as_ref().expect("it is right");
    assert_eq!(package.device_validity.start, Some(1_577_833_200));
    assert_eq!(package.device_validity.expiry, Some(1_577_923_200));
    assert!(package.obstacle_at(1_577_833_199).is_some());
    assert!(package.obstacle_at(1_577_833_200).is_none());
    assert!(package.obstacle_at(1_577_923_200).is_some());
}

#[test]
fn what_producers_write_differently_is_read_all_the_same() {
    for (from, to) in [
        ("urn:ietf:params:xml:ns:keyprov:pskc:totp", "urn:ietf:params:xml:ns:keyprov:pskc#totp"),
        ("urn:ietf:params:xml:ns:keyprov:pskc:totp", "TOTP"),
        (" Encoding=\"DECIMAL\"", ""),
        (
            "<AlgorithmParameters><ResponseFormat Length=\"6\" Encoding=\"DECIMAL\"/></AlgorithmParameters>",
            "",
        ),
        ("<DeviceInfo><SerialNo>S1</SerialNo></DeviceInfo>", ""),
        (" Id=\"K1\"", ""),
        ("<Data>", "<Data><!-- a remark -->"),
        (">S1<", "><![CDATA[S1]]><"),
        (">S1<", ">S&#x31;<!-- 2 --><"),
        ("<KeyPackage>", "<Extensions><x/></Extensions><?pi?><y:z xmlns:y=\"urn:y\"><b/></y:z><KeyPackage>"),
        ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", "\u{feff}"),
        ("\n", "\r\n"),
    ] {
        let changed = DOCUMENT.replace(from, to);
        assert_ne!(changed, DOCUMENT, "{from}");
        let document =
            read(changed.as_bytes(), &Unlock::None).unwrap_or_else(|error| panic!("{to}: {error}"));
        let package = document.packages[0].as_ref().unwrap_or_else(|fault| panic!("{to}: {}", fault.reason));
        assert!(["S1", "K1"].contains(&package.token.serial.as_str()), "{to}");
        assert_eq!(package.token.digits, 6, "{to}");
    }
}

// covers: A18
#[test]
fn nothing_is_decrypted_that_carries_no_mac() {
    let check = |from: &str, to: &str, problem: &str| {
        check_told(ENCRYPTED, &[(from, to)], &Unlock::PreSharedKey(&KEY), problem);
    };
    check(VALUE_MAC, "", "Secret is encrypted but has no MAC");
    check(VALUE_MAC, "<ValueMAC/>", "the MAC of the first Secret does not hold");
    check("Su+NvtQfmvfJzF6bmQiJqoLRExc=", "Su+NvtQfmvfJzF6bmQiJqoLREw==", "does not hold");
    check("Su+N", "Su+O", "does not hold");
    check("AAECAwQF", "AAECAwQG", "does not hold");
    check("IUqGv", "IUqGw", "does not hold");
    check("ESIzRFVm", "ESIzRFVn", "does not hold");
    let (before, rest) = ENCRYPTED.split_once("<MACMethod").expect("it has one");
    let (_, after) = rest.split_once("</MACMethod>").expect("it ends");
    check_told(
        &format!("{before}{after}"),
        &[],
        &Unlock::PreSharedKey(&KEY),
        "Secret is encrypted but has no MAC",
    );
    let (before, rest) = ENCRYPTED.split_once("<MACKey>").expect("it has one");
    let (_, after) = rest.split_once("</MACKey>").expect("it ends");
    check_told(&format!("{before}{after}"), &[], &Unlock::PreSharedKey(&KEY), "it holds no MACKey");
}

// covers: A18
#[test]
fn a_wrong_mac_after_a_right_one_is_the_fault_of_its_package() {
    let package = &ENCRYPTED[ENCRYPTED.find("<KeyPackage>").expect("it has one")
        ..ENCRYPTED.find("</KeyContainer>").expect("it ends")];
    let second = package.replace("987654321", "S2").replace("Su+N", "Su+O");
    let both = ENCRYPTED.replace("</KeyContainer>", &format!("{second}</KeyContainer>"));
    let document = read(both.as_bytes(), &Unlock::PreSharedKey(&KEY)).expect("the key is right");
    assert!(document.packages[0].is_ok());
    let fault = document.packages[1].as_ref().expect_err("its MAC is wrong");
    assert_eq!((fault.row, fault.serial.as_str()), (2, "S2"));
    assert!(fault.reason.to_string().starts_with("the MAC of Secret does not hold"), "{}", fault.reason);
}

// covers: A18
#[test]
fn a_document_that_should_have_been_encrypted_is_not_taken_in_plain() {
    check_told(DOCUMENT, &[], &Unlock::PreSharedKey(&KEY), "not encrypted although a key was given");
    check_told(DOCUMENT, &[], &Unlock::Passphrase("qwerty"), "not encrypted although a key was given");
}

#[test]
fn other_protection_is_refused_by_name() {
    let psk = Unlock::PreSharedKey(&KEY);
    let cbc = "http://www.w3.org/2001/04/xmlenc#aes128-cbc";
    for (uri, name) in [
        ("http://www.w3.org/2001/04/xmlenc#tripledes-cbc", "Triple DES"),
        ("http://www.w3.org/2001/04/xmlenc#aes256-cbc", "AES with a longer key"),
        ("http://www.w3.org/2001/04/xmlenc#kw-aes128", "AES key wrap"),
        ("http://www.w3.org/2001/04/xmlenc#rsa_1_5", "RSA"),
        ("urn:rot13", "another method (urn:rot13)"),
    ] {
        check_told(ENCRYPTED, &[(cbc, uri)], &psk, name);
        let of_the_secret = ENCRYPTED.rsplit_once(cbc).map(|(before, after)| format!("{before}{uri}{after}"));
        check_told(&of_the_secret.expect("it is there twice"), &[], &psk, name);
    }
    check_told(ENCRYPTED, &[("xmldsig#hmac-sha1", "xmldsig#hmac-md5")], &psk, "hmac-md5");
    check_told(ENCRYPTED, &[("ds:KeyName", "ds:RetrievalMethod")], &psk, "RetrievalMethod");
    check_told(
        ENCRYPTED,
        &[("<EncryptionKey>", "<EncryptionKey><ds:KeyName/>")],
        &psk,
        "more than one KeyName",
    );
    check_told(ENCRYPTED, &[("<MACMethod", "<EncryptionKey/><MACMethod")], &psk, "stands there twice");
}

#[test]
fn a_key_derivation_outside_its_bounds_is_refused() {
    let check = |from: &str, to: &str, problem: &str| {
        check_told(DERIVED, &[(from, to)], &Unlock::Passphrase("qwerty"), problem);
    };
    check(">1000<", ">0<", "1 to 10000000");
    check(">1000<", ">10000001<", "1 to 10000000");
    check(">1000<", ">-1<", "1 to 10000000");
    check(">16<", ">32<", "KeyLength is not 16");
    check("Ej7/PEpyEpw=", "", "Salt is missing");
    check("Ej7/PEpyEpw=", &"QUFB".repeat(342), "Salt is missing");
    check("#pbkdf2", "#pbkdf1", "pkcs-5v2-0#pbkdf1");
    check("<PRF/>", "<PRF Algorithm=\"urn:md5\"/>", "PRF is not");
    check(
        "<PRF/>",
        "<PRF Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#hmac-sha256\"/>",
        "the key or passphrase",
    );
}

#[test]
fn the_prf_may_be_named_or_left_out() {
    for prf in [
        "",
        "<PRF Algorithm=\"http://www.w3.org/2000/09/xmldsig#hmac-sha1\"/>",
        "<PRF>http://www.w3.org/2000/09/xmldsig#hmac-sha1</PRF>",
    ] {
        let changed = DERIVED.replace("<PRF/>", prf);
        let document =
            read(changed.as_bytes(), &Unlock::Passphrase("qwerty")).expect("the passphrase is right");
        assert!(document.packages[0].is_ok(), "{prf}");
    }
}

// covers: A18
#[test]
fn more_than_an_import_takes_is_refused() {
    let zeros = vec![0; FILE_BYTES_MAX + 1];
    assert_eq!(read(&zeros, &Unlock::None), Err(PskcError::TooLarge));
    assert_eq!(pskc::csv::read(&zeros), Err(CsvError::TooLarge));
    drop(zeros);
    let packages = "<KeyPackage/>".repeat(TOKENS_MAX + 1);
    let many = DOCUMENT.replace("<KeyPackage>", &format!("{packages}<KeyPackage>"));
    assert_eq!(read(many.as_bytes(), &Unlock::None), Err(PskcError::TooMany));
    drop(many);
    assert_eq!(pskc::csv::read("x\n".repeat(TOKENS_MAX + 1).as_bytes()), Err(CsvError::TooMany));
}

fn check_document(changes: &[(&str, &str)], problem: &str) {
    let found = read(changed(DOCUMENT, changes).as_bytes(), &Unlock::None).expect_err(problem).to_string();
    assert!(found.contains(problem), "{problem:?} is not in {found:?}");
}

fn check_fault(changes: &[(&str, &str)], problem: &str) {
    let document = read(changed(DOCUMENT, changes).as_bytes(), &Unlock::None).expect("a package is at fault");
    let fault = document.packages[0].as_ref().expect_err(problem);
    assert_eq!(fault.row, 1);
    let found = fault.reason.to_string();
    assert!(found.contains(problem), "{problem:?} is not in {found:?}");
}

/// Whether document or package is at fault.
fn check_told(document: &str, changes: &[(&str, &str)], unlock: &Unlock<'_>, problem: &str) {
    let found = match read(changed(document, changes).as_bytes(), unlock) {
        Err(error) => error.to_string(),
        Ok(document) => document.packages[0].as_ref().expect_err(problem).reason.to_string(),
    };
    assert!(found.contains(problem), "{problem:?} is not in {found:?}");
}

fn changed(document: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(document.to_owned(), |document, (from, to)| {
        assert!(document.contains(from), "{from} is not in the document");
        document.replace(from, to)
    })
}
