//! Files of tokens that are wrong: named by line and reason, refused as a whole, and opening nothing.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use system_tests::batch::{
    Lock, PRE_SHARED_KEY, csv, csv_line, file, pskc, pskc_by_python, pskctool, sign_with_pskctool,
};
use system_tests::flows::associated;
use system_tests::fob::{Fob, drawer};
use system_tests::machine::{Machine, folder};
use system_tests::postern::{self, import, said};
use system_tests::programs;
use system_tests::verifier::Verifier;

// covers: A5, A18
#[test]
fn a_bad_row_is_named_by_its_line_and_nothing_is_imported() {
    let _machine = Machine::new();
    let _verifier = Verifier::start();
    let mut old = Fob::with_button("2600000000999");
    associated(&mut old, "alice");
    let good = drawer(5);
    let secret = "00112233445566778899aabbccddeeff";
    let bad = [
        "2600000000100,00112233445566778899aabbccddee,hotp,6,0,SHA1".to_owned(), // 15 bytes
        "2600000000101,,hotp,6,0,SHA1".to_owned(),
        format!("2600000000102,{},hotp,6,0,SHA1", "00".repeat(129)),
        format!("2600000000103,{},hotp,6,0,SHA1", "A".repeat(1_024)),
        "2600000000104,zz112233445566778899aabbccddeeff,hotp,6,0,SHA1".to_owned(),
        "2600000000105,GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1,hotp,6,0,SHA1".to_owned(),
        format!("2600000000106,{secret},hotp,5,0,SHA1"),
        format!("2600000000107,{secret},hotp,9,0,SHA1"),
        format!("2600000000108,{secret},hotp,6,0,MD5"),
        format!("2600000000109,{secret},motp,6,0,SHA1"),
        format!("2600000000110,{secret},hotp,6,-1,SHA1"),
        format!("2600000000111,{secret},hotp,6,18446744073709551616,SHA1"),
        format!("2600000000112,{secret},totp,6,0,SHA1"),
        format!("2600000000113,{secret},totp,6,86401,SHA1"),
        format!("26000000001145,{secret},hotp,6,0,SHA1"), // 14 digits
        format!("26000x0000115,{secret},hotp,6,0,SHA1"),
        format!("{},{secret},hotp,6,0,SHA1", good[0].serial), // twice in the file
        format!("{},{secret},hotp,6,0,SHA1", old.serial),     // held already
        "2600000000118".to_owned(),
    ];
    for row in &bad {
        let text = format!("{}{row}\n{}\n", csv(&good[..3]), csv_line(&good[3]));
        let path = file("tokens.csv", text);
        let dry = import(&path, &["--dry-run"]);
        let output = import(&path, &[]);
        for output in [&dry, &output] {
            assert!(!output.status.success(), "{row}: {}", said(output));
            assert!(said(output).contains("line 5"), "{row} is named by its line: {}", said(output));
            assert!(!said(output).contains(secret), "the secret is not shown: {}", said(output));
        }
        assert_eq!(postern::tokens().len(), 1, "{row}: nothing is half imported");
    }

    // Every bad row of a file is named, and goes to the file that is asked for.
    let rejected = folder().join("rejected.csv");
    let _ = fs::remove_file(&rejected);
    let path = file("tokens.csv", format!("{}{}\n", csv(&good), bad[..4].join("\n")));
    let output = import(&path, &["--reject-file", &rejected.display().to_string()]);
    assert!(!output.status.success());
    let kept = fs::read_to_string(&rejected).expect("the rejected rows");
    for number in 0..4 {
        assert!(said(&output).contains(&format!("line {}", 7 + number)), "{}", said(&output));
        // Where the secret is wrong the cells may be in another order: what looks like a serial is not repeated.
        assert!(kept.contains(&format!("\n{},\"\",", 7 + number)), "{kept}");
    }
    assert_eq!(postern::tokens().len(), 1);
    file("tokens.csv", csv(&good));
    assert!(import(&path, &[]).status.success(), "without them the file arrives");
    assert_eq!(postern::tokens().len(), 6);
}

// covers: A18
#[test]
fn a_secret_of_no_proper_length_or_spelling_is_refused_when_it_is_added() {
    let _machine = Machine::new();
    let _verifier = Verifier::start();
    let add = |serial: &str, secret: &str| {
        let line = ["token", "add", "--serial", serial, "--type", "hotp", "--secret-file", "-"];
        postern::run_with_input(&line, &format!("{secret}\n"))
    };
    for bytes in [0, 1, 15, 129, 1_024, 10_000_000] {
        let output = add("2600000000001", &"5a".repeat(bytes));
        assert!(!output.status.success(), "{bytes} bytes: {}", said(&output));
    }
    let long_base32 = "GEZDGNBVGY3TQOJQ".repeat(20);
    for text in ["GEZDGNBVGY3TQOJQGEZDGNBVGY=", "GEZDGNBV1Y3TQOJQGEZDGNBVGY3TQOJ1", "§", &long_base32] {
        let output = add("2600000000002", text);
        assert!(!output.status.success(), "{text}: {}", said(&output));
    }
    assert!(postern::tokens().is_empty());
    let spellings = ["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "gezd gnbv gy3t qojq gezd gnbv gy3t qojq"];
    for (number, text) in spellings.iter().enumerate() {
        let output = add(&format!("260000000001{number}"), text);
        assert!(output.status.success(), "{text}: {}", said(&output));
        let twin = add("2600000000020", text);
        assert!(said(&twin).contains("has the same secret as token"), "{}", said(&twin));
        postern::done(&["token", "remove", &format!("260000000001{number}"), "--yes"]);
    }
    for bytes in [16, 20, 64, 128] {
        let output = add(&format!("26000000{bytes:05}"), &"5a".repeat(bytes));
        assert!(output.status.success(), "{bytes} bytes: {}", said(&output));
    }
    assert_eq!(postern::tokens().len(), 4);
}

// covers: A18
#[test]
fn a_pskc_file_that_was_meddled_with_is_refused_and_opens_no_other_file() {
    let _machine = Machine::new();
    let _verifier = Verifier::start();
    let key = file("pskc.key", format!("{PRE_SHARED_KEY}\n")).display().to_string();
    let wrong_key = file("wrong.key", "ffeeddccbbaa99887766554433221100\n").display().to_string();
    let fobs = drawer(2);
    let plain = pskc(&fobs);
    let locked = pskc_by_python(&fobs, Lock::PreShared);
    let canary = file("canary", "00112233445566778899aabbccddeeff");
    let place = canary.display();
    let with_head = |doctype: &str| plain.replacen("?>\n", &format!("?>\n{doctype}\n"), 1);
    let laughs = "<!DOCTYPE k [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;\">]>";
    let files: [(&str, String, &[&str]); 9] = [
        ("an outer DTD", with_head(&format!("<!DOCTYPE k SYSTEM \"file://{place}\">")), &[]),
        (
            "an outer entity",
            with_head(&format!("<!DOCTYPE k [<!ENTITY e SYSTEM \"file://{place}\">]>"))
                .replacen("oath.RIG", "&e;", 1),
            &[],
        ),
        (
            "an outer parameter entity",
            with_head(&format!("<!DOCTYPE k [<!ENTITY % e SYSTEM \"{place}\"> %e;]>")),
            &[],
        ),
        ("a billion laughs", with_head(laughs).replacen("oath.RIG", "&c;", 1), &[]),
        ("an entity nobody declared", plain.replacen("oath.RIG", "&e;", 1), &[]),
        ("one serial twice", pskc(&[fobs[0].clone(), fobs[0].clone()]), &[]),
        ("no MAC", without_element(&locked, "pskc:ValueMAC"), &["--key-file", &key]),
        ("a secret changed", spoil(&locked, "pskc:EncryptedValue"), &["--key-file", &key]),
        ("another key", locked.clone(), &["--key-file", &wrong_key]),
    ];
    for (name, text, more) in &files {
        let path = file("tokens.xml", text);
        let (output, opened) = import_watched(&path, more);
        assert!(!output.status.success(), "{name}: {}", said(&output));
        assert!(said(&output).lines().count() <= 3, "{name}: in one clear line: {}", said(&output));
        assert!(!said(&output).contains("panicked"), "{name}: {}", said(&output));
        assert!(opened.contains("tokens.xml"), "{name}: the trace shows what is opened");
        assert!(!opened.contains("canary"), "{name} made it open {}", canary.display());
        assert!(postern::tokens().is_empty(), "{name}: nothing is imported");
    }
    assert!(import(&file("tokens.xml", &locked), &["--key-file", &key]).status.success());
    assert_eq!(postern::tokens().len(), fobs.len());
}

/// An import, and every path that was opened during it.
fn import_watched(path: &Path, more: &[&str]) -> (std::process::Output, String) {
    let trace = folder().join("opens.strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=open,openat,openat2", "-o"]).arg(&trace);
    command.arg(programs::ours("postern")).args(["token", "import", "--yes"]).arg(path).args(more);
    let output = command.stdin(Stdio::null()).output().expect("strace");
    (output, fs::read_to_string(&trace).expect("the trace"))
}

/// The text without the elements of a name.
fn without_element(text: &str, name: &str) -> String {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let mut parts = text.split(&open);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |kept, part| kept + part.split_once(&close).map_or("", |(_, rest)| rest))
}

/// The text with one bit of the first cipher value in an element changed.
fn spoil(text: &str, name: &str) -> String {
    let (before, inside) = text.split_once(&format!("<{name}>")).expect("the element");
    let (head, value) = inside.split_once("CipherValue>").expect("a cipher value");
    let flipped = if value.starts_with('A') { 'B' } else { 'A' };
    format!("{before}<{name}>{head}CipherValue>{flipped}{}", &value[1..])
}

// covers: A5
#[test]
fn serial_numbers_of_another_batch_need_their_format() {
    let _machine = Machine::new();
    let _verifier = Verifier::start();
    let fobs = [Fob::with_button("AB-12345678"), Fob::with_button("CD-12345679")];
    let path = file("tokens.csv", csv(&fobs));
    let strict = import(&path, &[]);
    assert!(!strict.status.success() && said(&strict).contains("line 2"), "{}", said(&strict));
    for (format, accepted) in [("@@-########", true), ("@@########", false), ("any", true)] {
        let output = import(&path, &["--serial-format", format, "--dry-run"]);
        assert_eq!(output.status.success(), accepted, "{format}: {}", said(&output));
    }
    assert!(import(&path, &["--serial-format", "@@-########"]).status.success());
    assert_eq!(postern::tokens().len(), fobs.len());
}

// covers: A5, A18
#[test]
fn a_file_that_pskctool_signed_is_refused_until_its_signature_was_checked_and_taken_out() {
    let _machine = Machine::new();
    let _verifier = Verifier::start();
    let fobs = drawer(3);
    let signed = sign_with_pskctool(&file("tokens.xml", pskc(&fobs)));
    let path = file("signed.xml", &signed.text);
    let output = import(&path, &[]);
    assert!(!output.status.success() && said(&output).contains("pskctool --verify"), "{}", said(&output));
    assert!(postern::tokens().is_empty());

    let certificate = signed.certificate.display().to_string();
    pskctool(&["--verify", "--verify-crt", &certificate], &path);
    // What is left was written by pskctool, in its own words.
    let output = import(&file("bare.xml", without_element(&signed.text, "Signature")), &[]);
    assert!(output.status.success(), "{}", said(&output));
    let serials: Vec<String> = postern::tokens().into_iter().map(|token| token.serial).collect();
    assert_eq!(serials, fobs.iter().map(|fob| fob.serial.as_str()).collect::<Vec<_>>());
}
