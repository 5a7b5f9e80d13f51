//! `postern token import`: all tokens of a file, or none.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::asking::{exit, on_a_terminal};
use crate::fake::{Fake, Reply};

const SECRET: &str = "3132333435363738393031323334353637383930";

/// A list of tokens with these serial numbers, every third of them TOTP.
fn list_of(serials: impl IntoIterator<Item = String>) -> String {
    let row = |(number, serial): (usize, String)| match number % 3 {
        2 => format!("{serial},{SECRET},totp,6,30\n"),
        _ => format!("{serial},{SECRET},hotp,6,{number}\n"),
    };
    let rows: String = serials.into_iter().enumerate().map(row).collect();
    format!("serial,secret,type,digits,period|counter\n{rows}")
}

fn serial(number: u64) -> String {
    format!("{}", 2_600_000_000_000 + number)
}

/// A folder with a file of tokens, and where the reject file will be.
pub struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    pub fn with(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("tokens"), text).expect("write");
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    /// Runs the import against a daemon.
    pub fn import(&self, fake: &Fake, words: &[&str]) -> crate::fake::Ended {
        fake.run(&[&["token", "import", &self.text("tokens")], words].concat())
    }
}

/// A daemon that takes every row but those with these serial numbers.
pub fn daemon(faulty: &'static [&'static str]) -> Fake {
    Fake::hearing(move |asked| {
        let body = match asked.line.as_str() {
            "POST /v1/imports" => json!({"id": "I1"}),
            "POST /v1/imports/I1/rows" => {
                let sent: Value = serde_json::from_str(&asked.body).expect("JSON");
                let rows = sent["rows"].as_array().expect("rows").clone();
                let is_faulty = |row: &Value| faulty.contains(&row["serial"].as_str().unwrap_or_default());
                let fault = |row: &Value| json!({"row": row["row"], "serial": row["serial"], "reason": "this serial exists"});
                let faults: Vec<Value> = rows.iter().filter(|row| is_faulty(row)).map(fault).collect();
                json!({"faults": faults, "staged": rows.len()})
            }
            "POST /v1/imports/I1/finish" => json!({"tokens": 3}),
            "DELETE /v1/imports/I1" => json!({"tokens": 0}),
            other => panic!("no answer to {other}"),
        };
        Reply::Says(200, body.to_string())
    })
}

#[test]
fn a_list_is_imported_after_yes() {
    let folder = Folder::with(&list_of((1..=3).map(serial)));
    let fake = daemon(&[]);
    let ended = folder.import(&fake, &["--yes", "--serial-format", "#############"]);
    assert_eq!((ended.exit, ended.stderr.as_str()), (0, "3 tokens imported and available\n"));
    let table = "tokens        3\nhotp          2\ntotp          1\nfirst serial  2600000000001\n\
                 last serial   2600000000003\nimported      yes\n";
    assert_eq!(ended.stdout, table);
    let begun = fake.next();
    let body = "{\"serial_format\":\"#############\"}";
    assert_eq!((begun.line.as_str(), begun.body.as_str()), ("POST /v1/imports", body));
    let sent: Value = serde_json::from_str(&fake.next().body).expect("JSON");
    let first = json!({"row": 2, "serial": serial(1), "type": "hotp", "secret": SECRET, "algorithm": "SHA1",
        "digits": 6, "counter": 0});
    assert_eq!(sent["rows"][0], first);
    assert_eq!(sent["rows"][2]["time_interval"], json!(30));
    assert_eq!(fake.lines(), ["POST /v1/imports/I1/finish"]);
}

#[test]
fn many_rows_go_in_many_requests() {
    let folder = Folder::with(&list_of((1..=250).map(serial)));
    let fake = daemon(&[]);
    assert_eq!(folder.import(&fake, &["--yes"]).exit, 0);
    let rows = "POST /v1/imports/I1/rows";
    assert_eq!(fake.lines(), ["POST /v1/imports", rows, rows, rows, "POST /v1/imports/I1/finish"]);
}

#[test]
fn a_dry_run_checks_everything_and_imports_nothing() {
    let folder = Folder::with(&list_of((1..=3).map(serial)));
    let fake = daemon(&[]);
    let rejects = folder.text("rejects.csv");
    let ended = folder.import(&fake, &["--dry-run", "--reject-file", &rejects]);
    assert_eq!(fs::read_to_string(&rejects).expect("the reject file"), "row,serial,reason\n");
    let said = "3 tokens: 2 hotp, 1 totp, serials 2600000000001 to 2600000000003; nothing was imported\n";
    assert_eq!((ended.exit, ended.stderr.as_str()), (0, said));
    assert!(ended.stdout.ends_with("imported      no\n"));
    assert_eq!(fake.lines(), ["POST /v1/imports", "POST /v1/imports/I1/rows", "DELETE /v1/imports/I1"]);
}

#[test]
fn a_file_can_come_through_stdin() {
    let text = list_of((1..=3).map(serial));
    let fake = daemon(&[]);
    let ended = fake.run_with_input(&["token", "import", "-", "--yes"], text.as_bytes());
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert_eq!(fake.lines().len(), 3);
}

/// covers: A18
#[test]
fn faults_of_both_sides_are_told_in_order_and_nothing_is_imported() {
    let right = list_of([serial(1), "taken".to_owned()]);
    let text = format!("{right}short,hex:3132,hotp,6,0\n{},{SECRET},motp,6,0\n", serial(2));
    let folder = Folder::with(&text);
    let fake = daemon(&["taken"]);
    let rejects = folder.text("rejects.csv");
    let ended = folder.import(&fake, &["--yes", "--reject-file", &rejects]);
    assert_eq!(ended.exit, 1);
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines[0], "line 3, serial taken: this serial exists");
    assert!(lines[1].starts_with("line 4: the secret "), "{}", lines[1]);
    assert!(lines[2].starts_with("line 5, serial 2600000000002: the type is "), "{}", lines[2]);
    assert_eq!(lines[3], "postern: 3 faulty rows; nothing was imported");
    assert_eq!(ended.stdout, "");
    assert_eq!(fake.lines().last().map(String::as_str), Some("DELETE /v1/imports/I1"));

    let written = fs::read_to_string(&rejects).expect("the reject file");
    let rows: Vec<&str> = written.lines().map(|line| line.split(',').next().unwrap_or_default()).collect();
    assert_eq!(rows, ["row", "3", "4", "5"]);
    assert_eq!(fs::metadata(&rejects).expect("there").permissions().mode() & 0o777, 0o600);
    for text in [&ended.stderr, &written] {
        assert!(!text.contains(SECRET) && !text.contains("3132"), "{text}");
    }
}

#[test]
fn a_list_with_semicolons_or_tabs_is_imported_too() {
    for separator in [";", "\t"] {
        let folder = Folder::with(&list_of((1..=3).map(serial)).replace(',', separator));
        let fake = daemon(&[]);
        let ended = folder.import(&fake, &["--yes"]);
        assert_eq!((ended.exit, ended.stderr.as_str()), (0, "3 tokens imported and available\n"));
    }
}

/// covers: A18
#[test]
fn a_serial_number_like_a_secret_is_a_fault_and_is_not_sent() {
    let folder = Folder::with(&format!("{},{SECRET},hotp\n{SECRET},{SECRET},hotp\n", serial(1)));
    let fake = daemon(&[]);
    let ended = folder.import(&fake, &["--yes"]);
    let said = "line 2: the serial number looks like a secret: are the columns swapped?\n\
                postern: 1 faulty row; nothing was imported\n";
    assert_eq!((ended.exit, ended.stderr.as_str()), (1, said));
    assert_eq!(fake.next().line, "POST /v1/imports");
    let sent: Value = serde_json::from_str(&fake.next().body).expect("JSON");
    assert_eq!(sent["rows"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_reject_file_that_is_no_plain_file_is_refused_before_anything_is_read() {
    let folder = Folder::with("");
    // Stands for /dev/null: a mistake here would close that to the whole machine.
    let _socket = std::os::unix::net::UnixListener::bind(folder.path("socket")).expect("a socket");
    std::os::unix::fs::symlink(folder.path("elsewhere"), folder.path("link")).expect("a link");
    for name in ["socket", ".", "link"] {
        let fake = daemon(&[]);
        let path = folder.text(name);
        let ended = folder.import(&fake, &["--yes", "--reject-file", &path]);
        let said = format!(
            "postern: {path} is no plain file: --reject-file makes a new file or replaces a plain one\n"
        );
        assert_eq!((ended.exit, ended.stderr), (2, said));
        assert_eq!(fake.lines(), [""; 0]);
    }
    assert!(!folder.path("elsewhere").exists());
}

#[test]
fn an_import_that_fails_leaves_an_older_reject_file_as_it_was() {
    let folder = Folder::with(&list_of((1..=3).map(serial)));
    fs::write(folder.path("rejects.csv"), "older").expect("write");
    fs::set_permissions(folder.path("rejects.csv"), PermissionsExt::from_mode(0o640)).expect("chmod");
    let fake = daemon_with("POST /v1/imports", || Reply::Hangup);
    let ended = folder.import(&fake, &["--yes", "--reject-file", &folder.text("rejects.csv")]);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert_eq!(fs::read_to_string(folder.path("rejects.csv")).expect("read"), "older");
    let mode = fs::metadata(folder.path("rejects.csv")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let left = fs::read_dir(folder.path("")).expect("read").count();
    assert_eq!(left, 2, "nothing lies beside it");
}

#[test]
fn a_serial_number_of_another_format_is_answered_with_the_flag() {
    let refusing = |reason: &'static str| {
        daemon_with("POST /v1/imports/I1/rows", move || {
            Reply::Says(
                200,
                json!({"faults": [{"row": 2, "serial": "S1", "reason": reason}], "staged": 0}).to_string(),
            )
        })
    };
    let fake = refusing("the serial number is not 13 digits; give another format, or \"any\"");
    let ended = Folder::with(&list_of(["S1".to_owned()])).import(&fake, &["--yes"]);
    assert!(
        ended.stderr.contains("\n--serial-format says what serial numbers look like"),
        "{}",
        ended.stderr
    );
}

/// covers: I01
#[test]
fn a_name_in_a_reason_is_escaped_once_and_its_value_kept_in_json() {
    let folder = Folder::with(&format!("S1,{SECRET},\u{1b}[2J\n"));
    let words = folder.import(&daemon(&[]), &["--yes"]);
    assert!(words.stderr.contains(r"the type is `\x1b[2J`;"), "{}", words.stderr);
    let json = folder.import(&daemon(&[]), &["--yes", "--json"]);
    let document: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let reason = document["items"][0]["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("`\u{1b}[2J`"), "{reason:?}");
}

#[test]
fn json_lists_every_fault() {
    let rows: String = (1..=30).map(|number| format!("{},zz!,hotp\n", serial(number))).collect();
    let folder = Folder::with(&rows);
    let fake = daemon(&[]);
    let words = folder.import(&fake, &["--yes"]);
    assert_eq!(words.stderr.lines().count(), 22);
    assert!(words.stderr.contains("... and 10 more; --reject-file lists them all\n"), "{}", words.stderr);
    assert_eq!(fake.lines(), [""; 0], "there was nothing to send");
    let ended = folder.import(&fake, &["--yes", "--json"]);
    let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((ended.exit, &document["kind"]), (1, &json!("import_fault_list")));
    assert_eq!(document["items"].as_array().map(Vec::len), Some(30));
    let error: Value = serde_json::from_str(&ended.stderr).expect("JSON");
    assert_eq!(error["error"]["code"], json!("import_faults"));
}

/// covers: I01
#[test]
fn nothing_in_a_file_can_draw_on_the_terminal() {
    for nasty in ["\u{1b}[2J", "\u{9b}31m", "\u{202e}toor", "a\rb", "\u{1b}]52;c;cm0gLXJm\u{7}"] {
        let folder = Folder::with(&format!("{nasty},{SECRET},hotp\nS,{SECRET},{nasty}\nS,{nasty},hotp\n"));
        let rejects = folder.text("rejects.csv");
        for form in ["table", "json"] {
            let ended = folder.import(&daemon(&[]), &["--yes", "-o", form, "--reject-file", &rejects]);
            assert_eq!(ended.exit, 1, "{}", ended.stderr);
            let written = fs::read_to_string(&rejects).expect("the reject file");
            for text in [ended.stdout, ended.stderr, written] {
                let risky = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
                assert!(!text.contains(risky), "{nasty:?}: {text:?}");
            }
        }
    }
}

#[test]
fn a_file_that_is_no_file_of_tokens_is_exit_1_and_asks_nothing() {
    let dtd = "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><KeyContainer>&e;</KeyContainer>";
    for text in ["", "\n\n", "<html/>", dtd] {
        let fake = daemon(&[]);
        let ended = Folder::with(text).import(&fake, &["--yes"]);
        assert_eq!(ended.exit, 1, "{text:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("postern: cannot import "), "{}", ended.stderr);
        assert_eq!((ended.stderr.lines().count(), fake.lines().len()), (1, 0), "{}", ended.stderr);
    }
    let missing = daemon(&[]).run(&["token", "import", "/nowhere/tokens", "--yes"]);
    assert_eq!(missing.exit, 2, "{}", missing.stderr);
}

/// A container of one key with this policy.
fn container(policy: &str) -> String {
    format!(
        r#"<?xml version="1.0"?>
<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc"><KeyPackage>
<DeviceInfo><SerialNo>2600123456789</SerialNo></DeviceInfo>
<Key Id="k1" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:hotp">
<AlgorithmParameters><ResponseFormat Length="6" Encoding="DECIMAL"/></AlgorithmParameters>
<Data><Secret><PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</PlainValue></Secret>
<Counter><PlainValue>7</PlainValue></Counter></Data><Policy>{policy}</Policy>
</Key></KeyPackage></KeyContainer>"#
    )
}

#[test]
fn a_container_is_told_by_its_first_bytes_and_imported() {
    let fake = daemon(&[]);
    let ended = Folder::with(&container("<KeyUsage>OTP</KeyUsage>")).import(&fake, &["--yes"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert_eq!(fake.next().line, "POST /v1/imports");
    let sent: Value = serde_json::from_str(&fake.next().body).expect("JSON");
    assert_eq!((&sent["rows"][0]["secret"], &sent["rows"][0]["counter"]), (&json!(SECRET), &json!(7)));
}

#[test]
fn a_key_that_must_not_be_used_now_or_for_this_is_a_fault() {
    for policy in [
        "<ExpiryDate>2001-01-01T00:00:00Z</ExpiryDate>",
        "<StartDate>2999-01-01T00:00:00Z</StartDate>",
        "<KeyUsage>Encrypt</KeyUsage>",
    ] {
        let fake = daemon(&[]);
        let ended = Folder::with(&container(policy)).import(&fake, &["--yes"]);
        assert_eq!(ended.exit, 1, "{policy}");
        let first = ended.stderr.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("package 1, serial 2600123456789: its key ") || first.contains("valid"),
            "{first}"
        );
        assert_eq!(fake.lines(), [""; 0]);
    }
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let folder = Folder::with(&container(""));
    fs::write(folder.path("key"), "00112233445566778899aabbccddeeff\n").expect("write");
    for (flag, mode) in [("--key-file", 0o644), ("--key-file", 0o640), ("--passphrase-file", 0o604)] {
        fs::set_permissions(folder.path("key"), PermissionsExt::from_mode(mode)).expect("chmod");
        let ended = folder.import(&daemon(&[]), &["--yes", flag, &folder.text("key")]);
        assert_eq!(ended.exit, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains("is open to others than its owner"), "{}", ended.stderr);
    }
}

#[test]
fn the_terminal_asks_with_the_numbers_and_no_ends_the_import() {
    for (answer, last, code) in [("y", "POST /v1/imports/I1/finish", 0), ("n", "DELETE /v1/imports/I1", 1)] {
        let folder = Folder::with(&list_of((1..=3).map(serial)));
        let fake = daemon(&[]);
        let mut terminal = on_a_terminal(&fake, &["token", "import", &folder.text("tokens")]);
        let question = "Import 3 tokens: 2 hotp, 1 totp, serials 2600000000001 to 2600000000003? [y/N] ";
        terminal.exp_string(question).expect("the question");
        terminal.send_line(answer).expect("typed");
        terminal.exp_eof().expect("it ends");
        assert_eq!(exit(&terminal), code, "{answer}");
        assert_eq!(fake.lines().last().map(String::as_str), Some(last));
    }
}

#[test]
fn without_a_terminal_yes_is_needed_before_anything_is_sent() {
    let folder = Folder::with(&list_of((1..=3).map(serial)));
    let fake = daemon(&[]);
    let ended = folder.import(&fake, &[]);
    let said = "postern: `token import` without --dry-run needs --yes where it cannot ask\n";
    assert_eq!((ended.exit, ended.stderr.as_str()), (2, said));
    assert_eq!(fake.lines(), [""; 0]);
}

/// A daemon that answers `path` in its own way.
fn daemon_with(path: &'static str, reply: impl Fn() -> Reply + Send + 'static) -> Fake {
    Fake::new(move |line| match line {
        line if line == path => reply(),
        "POST /v1/imports" => Reply::Says(200, json!({"id": "I1"}).to_string()),
        "DELETE /v1/imports/I1" => Reply::Says(200, json!({"tokens": 0}).to_string()),
        _ => Reply::Says(200, json!({"faults": [], "staged": 3}).to_string()),
    })
}

#[test]
fn a_failure_on_the_way_ends_the_import_in_the_daemon() {
    let refusal =
        || Reply::Says(503, json!({"error": {"code": "unavailable", "message": "later"}}).to_string());
    for path in ["POST /v1/imports/I1/rows", "POST /v1/imports/I1/finish"] {
        let fake = daemon_with(path, refusal);
        let ended = Folder::with(&list_of((1..=3).map(serial))).import(&fake, &["--yes"]);
        assert_eq!((ended.exit, ended.stderr.as_str()), (7, "postern: later\n"), "{path}");
        assert_eq!(fake.lines().last().map(String::as_str), Some("DELETE /v1/imports/I1"), "{path}");
    }
}

#[test]
fn an_end_without_an_answer_is_said_to_be_unclear() {
    let fake = daemon_with("POST /v1/imports/I1/finish", || Reply::Hangup);
    let ended = Folder::with(&list_of((1..=3).map(serial))).import(&fake, &["--yes"]);
    assert_eq!(ended.exit, 1);
    assert!(ended.stderr.contains("did not say that the import is complete"), "{}", ended.stderr);
    assert_eq!(fake.lines().last().map(String::as_str), Some("POST /v1/imports/I1/finish"));
}

#[test]
fn a_signal_while_the_daemon_stores_is_exit_130_and_says_how_to_look() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let fake = daemon_with("POST /v1/imports/I1/finish", || Reply::Silence);
        let folder = Folder::with(&list_of((1..=3).map(serial)));
        let words = ["token", "import", &folder.text("tokens"), "--yes"];
        let mut child = fake.command(&words).stderr(Stdio::piped()).spawn().expect("postern runs");
        while !fake.next().line.ends_with("/finish") {}
        let kill = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
        assert!(kill.success());
        let mut words = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut words).expect("UTF-8");
        let said = "postern: interrupted; verifierd may still be storing the import: `postern token list` shows its \
                    tokens when it is done\n";
        assert_eq!((child.wait().expect("it ends").code(), words.as_str()), (Some(130), said), "{signal}");
        assert_eq!(fake.lines(), [""; 0], "what is being stored cannot be ended");
    }
}

#[test]
fn a_signal_ends_the_import_in_the_daemon() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let fake = daemon_with("POST /v1/imports/I1/rows", || Reply::Silence);
        let folder = Folder::with(&list_of((1..=3).map(serial)));
        let words = ["token", "import", &folder.text("tokens"), "--yes"];
        let mut child = fake.command(&words).stderr(Stdio::piped()).spawn().expect("postern runs");
        fake.next();
        fake.next();
        let kill = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
        assert!(kill.success());
        let mut words = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut words).expect("UTF-8");
        let code = child.wait().expect("it ends").code();
        assert_eq!((code, words.as_str()), (Some(130), "postern: interrupted\n"), "{signal}");
        assert_eq!(fake.next().line, "DELETE /v1/imports/I1");
    }
}

#[test]
fn ctrl_c_at_the_question_ends_the_import_in_the_daemon() {
    let fake = daemon(&[]);
    let folder = Folder::with(&list_of((1..=3).map(serial)));
    let mut terminal = on_a_terminal(&fake, &["token", "import", &folder.text("tokens")]);
    terminal.exp_string("? [y/N] ").expect("the question");
    terminal.send_control('c').expect("typed");
    terminal.exp_string("interrupted").expect("the result");
    assert_eq!(exit(&terminal), 130);
    assert_eq!(fake.lines().last().map(String::as_str), Some("DELETE /v1/imports/I1"));
}

#[test]
fn a_template_is_printed_without_asking_anybody() {
    let fake = Fake::new(|_| Reply::Hangup);
    let csv = fake.run(&["token", "export-template"]);
    assert!(csv.exit == 0 && csv.stdout.starts_with("serial,secret,type,"), "{}", csv.stdout);
    let pskc = fake.run(&["token", "export-template", "--format", "pskc"]);
    assert!(pskc.exit == 0 && pskc.stdout.contains("<pskc:KeyContainer"), "{}", pskc.stdout);
    assert_eq!(fake.lines(), [""; 0]);
}

#[test]
fn verbose_tells_the_memory_that_was_needed() {
    let folder = Folder::with(&list_of((1..=3).map(serial)));
    let ended = folder.import(&daemon(&[]), &["-v", "--dry-run"]);
    let line = ended.stderr.lines().find_map(|line| line.strip_prefix("postern: peak memory: "));
    let kib: u64 = line.and_then(|line| line.strip_suffix(" kB")?.trim().parse().ok()).expect(&ended.stderr);
    assert!(kib > 0);
}
