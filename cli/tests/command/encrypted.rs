//! Encrypted containers: opened by a file that is named, or by what is typed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use pskc::{Algorithm, KeyPackage, Protection, TokenRow, TokenType, Validity};
use serde_json::{Value, json};

use crate::asking::{exit, on_a_terminal};
use crate::fake::Fake;
use crate::import::{Folder, daemon};

const KEY: [u8; 16] = [0x5a; 16];
const KEY_DIGITS: &str = "5a5a5a5a5A5A5A5A5a5a5a5a5a5a5a5a";
const PASSPHRASE: &str = "a sentence of words ";

/// A container of one HOTP token, under one of the protections.
fn container(protection: &Protection<'_>) -> Folder {
    let package = KeyPackage {
        token: TokenRow {
            row: 1,
            serial: "2600123456789".to_owned(),
            token_type: TokenType::Hotp,
            secret: b"12345678901234567890".to_vec().into(),
            algorithm: Algorithm::Sha1,
            digits: 6,
            time_interval: None,
            counter: Some(7),
            time_drift: None,
        },
        key_id: "k1".to_owned(),
        manufacturer: None,
        model: None,
        issuer: None,
        device_validity: Validity::default(),
        key_validity: Validity::default(),
        key_usages: Vec::new(),
    };
    let document = pskc::write(&[package], protection, &mut |random| random.fill(0x11));
    Folder::with(std::str::from_utf8(&document).expect("XML is UTF-8"))
}

fn under_key() -> Folder {
    container(&Protection::PreSharedKey { key: &KEY, name: "batch\u{1b}[2J" })
}

fn under_passphrase() -> Folder {
    container(&Protection::Passphrase { passphrase: PASSPHRASE, name: "batch 7", iterations: 1_000 })
}

/// Puts a line into a file for its owner alone, and returns its path.
fn private(folder: &Folder, line: &str) -> String {
    fs::write(folder.path("private"), format!("{line}\n")).expect("write");
    fs::set_permissions(folder.path("private"), PermissionsExt::from_mode(0o600)).expect("chmod");
    folder.text("private")
}

/// The secret arrived.
fn assert_sent(fake: &Fake) {
    assert_eq!(fake.next().line, "POST /v1/imports");
    let sent: Value = serde_json::from_str(&fake.next().body).expect("JSON");
    assert_eq!(sent["rows"][0]["secret"], json!("3132333435363738393031323334353637383930"));
}

#[test]
fn a_named_file_opens_the_container() {
    for (folder, flag, line) in
        [(under_key(), "--key-file", KEY_DIGITS), (under_passphrase(), "--passphrase-file", PASSPHRASE)]
    {
        let fake = daemon(&[]);
        let ended = folder.import(&fake, &["--yes", flag, &private(&folder, line)]);
        assert_eq!(ended.exit, 0, "{flag}: {}", ended.stderr);
        assert_sent(&fake);
    }
}

/// covers: A18
#[test]
fn a_wrong_key_is_exit_1_and_asks_nothing() {
    for (folder, flag, line, exit) in [
        (under_key(), "--key-file", "00112233445566778899aabbccddeeff", 1),
        (under_passphrase(), "--passphrase-file", "another sentence", 1),
        (under_key(), "--passphrase-file", PASSPHRASE, 1),
        (under_passphrase(), "--key-file", KEY_DIGITS, 1),
        (under_key(), "--key-file", "no key at all", 2),
    ] {
        let fake = daemon(&[]);
        let ended = folder.import(&fake, &["--yes", flag, &private(&folder, line)]);
        assert_eq!(ended.exit, exit, "{flag} {line}: {}", ended.stderr);
        assert!(!ended.stderr.contains(line) && ended.stderr.lines().count() == 1, "{}", ended.stderr);
        assert_eq!(fake.lines(), [""; 0]);
    }
}

#[test]
fn where_none_is_named_it_is_typed_and_not_shown() {
    for (folder, question, line) in [
        (under_key(), r"32 hexadecimal digits: ", KEY_DIGITS),
        (under_passphrase(), "Passphrase named `batch 7`: ", PASSPHRASE),
    ] {
        let fake = daemon(&[]);
        let mut terminal = on_a_terminal(&fake, &["token", "import", &folder.text("tokens"), "--yes"]);
        let before = terminal.exp_string(question).expect("the question");
        assert!(!before.contains("\u{1b}[2J"), "{before:?}");
        terminal.send_line(line).expect("typed");
        let seen = terminal.exp_eof().expect("it ends");
        assert!(seen.contains("imported") && !seen.contains(line.trim()), "{seen:?}");
        assert_eq!(exit(&terminal), 0);
        assert_sent(&fake);
    }
}

#[test]
fn it_can_be_a_line_of_stdin_but_not_of_the_file_itself() {
    let folder = under_passphrase();
    let fake = daemon(&[]);
    let words = ["token", "import", &folder.text("tokens"), "--yes"];
    assert_eq!(fake.run_with_input(&words, PASSPHRASE.as_bytes()).exit, 0);
    assert_sent(&fake);
    let document = fs::read(folder.path("tokens")).expect("read");
    let ended = daemon(&[]).run_with_input(&["token", "import", "-", "--yes"], &document);
    let said = "postern: the file is encrypted: name its passphrase with --passphrase-file\n";
    assert_eq!((ended.exit, ended.stderr.as_str()), (2, said));
}
