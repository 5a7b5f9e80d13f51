//! A box of tokens comes with a file: what is in it arrives whole, or not at all, and stays secret.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use otp_core::Algorithm;
use system_tests::batch::{
    CSV_HEAD, Lock, PASSPHRASE, PRE_SHARED_KEY, csv, csv_line, csv_line_with_secret, file, pskc,
    pskc_by_python, pskctool,
};
use system_tests::faults::Injector;
use system_tests::flows::{SERIAL_QUESTION, ssh_dialogue, ssh_login};
use system_tests::fob::{Fob, Pace, drawer};
use system_tests::login_socket::Login;
use system_tests::machine::{ALICE, Machine};
use system_tests::postern::{self, associate, import, said};
use system_tests::sshd::Sshd;
use system_tests::time;
use system_tests::verifier::{STATE, Verifier, log_text};
use system_tests::witness::watch;
use wire::admin::{TokenState, TokenType};
use wire::login::Verdict;

/// Tokens of every sort that vendors sell, some of them pressed before.
fn box_of_tokens() -> Vec<Fob> {
    let mut fobs = drawer(6);
    fobs[1] = fobs[1].clone().at_counter(4_711);
    fobs[2] = fobs[2].clone().shaped(Algorithm::Sha1, 8);
    fobs[3] = Fob::with_clock(&fobs[3].serial);
    fobs[4] = Fob::with_clock(&fobs[4].serial).shaped(Algorithm::Sha256, 8);
    fobs[5] = fobs[5].clone().shaped(Algorithm::Sha512, 7).paced(Pace::Clock { interval: 60, ahead: 0 });
    fobs
}

/// The daemon holds these tokens and no others, all of them available.
#[track_caller]
fn assert_available(fobs: &[Fob]) {
    let mut held: Vec<_> = postern::tokens()
        .into_iter()
        .inspect(|token| assert_eq!((token.state, &token.user), (TokenState::Available, &None)))
        .map(|token| (token.serial, token.token_type, token.algorithm, token.digits, token.counter))
        .collect();
    let mut expected: Vec<_> = fobs
        .iter()
        .map(|fob| {
            let (kind, counter) = match fob.pace {
                Pace::Presses { counter } => (TokenType::Hotp, Some(counter)),
                Pace::Clock { .. } => (TokenType::Totp, None),
            };
            (fob.serial.clone(), kind, fob.algorithm.name().to_owned(), fob.digits, counter)
        })
        .collect();
    held.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(held, expected);
}

/// Each token shows codes that the daemon accepts.
fn assert_usable(verifier: &Verifier, machine: &Machine, fobs: &mut [Fob]) {
    let users = machine.add_bare_users("holder", fobs.len());
    for (fob, user) in fobs.iter_mut().zip(&users) {
        let code = match fob.pace {
            Pace::Presses { .. } => fob.press(),
            Pace::Clock { .. } => fob.shown(verifier.now()),
        };
        let output = associate(&fob.serial, user, &code);
        assert!(output.status.success(), "{}: {}", fob.serial, said(&output));
    }
}

// covers: A5
#[test]
fn a_plain_pskc_file_that_pskctool_reads_arrives_whole_and_its_tokens_log_in() {
    let machine = Machine::new();
    let verifier = Verifier::start();
    let _sshd = Sshd::start();
    let mut fobs = box_of_tokens();
    let path = file("tokens.xml", pskc(&fobs));
    let info = pskctool(&["--strict", "--info"], &path);
    for fob in &fobs {
        assert!(info.contains(&format!("SerialNo: {}", fob.serial)), "{info}");
    }

    let dry = import(&path, &["--dry-run"]);
    assert!(dry.status.success(), "{}", said(&dry));
    assert!(postern::tokens().is_empty(), "a dry run stores nothing");
    let output = import(&path, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_available(&fobs);
    let again = import(&path, &[]);
    assert!(!again.status.success() && said(&again).contains(&fobs[0].serial), "{}", said(&again));
    assert_available(&fobs);

    assert_usable(&verifier, &machine, &mut fobs[1..]);
    postern::otp_on_with_token("alice");
    let serial = fobs[0].serial.clone();
    let code = fobs[0].press();
    let question = system_tests::flows::QUESTION;
    ssh_dialogue(ALICE, &[(SERIAL_QUESTION, &serial), (question, &code)]).logged_in();
    ssh_login(ALICE, &fobs[0].press()).logged_in();
}

// covers: A5
#[test]
fn what_python3_pskc_writes_arrives_plain_and_encrypted() {
    let machine = Machine::new();
    for lock in [Lock::Plain, Lock::PreShared, Lock::Passphrase] {
        let verifier = Verifier::start();
        let mut fobs = box_of_tokens();
        let path = file("tokens.xml", pskc_by_python(&fobs, lock));
        let key = file("pskc.key", format!("{PRE_SHARED_KEY}\n")).display().to_string();
        let passphrase = file("pskc.passphrase", format!("{PASSPHRASE}\n")).display().to_string();
        let unlock: &[&str] = match lock {
            Lock::Plain => &[],
            Lock::PreShared => &["--key-file", &key],
            Lock::Passphrase => &["--passphrase-file", &passphrase],
        };
        if lock != Lock::Plain {
            let locked = import(&path, &[]);
            assert!(!locked.status.success(), "{lock:?} without its key: {}", said(&locked));
        }
        let output = import(&path, unlock);
        assert!(output.status.success(), "{lock:?}: {}", said(&output));
        assert_available(&fobs);
        assert_usable(&verifier, &machine, &mut fobs);
    }
}

// covers: A5
#[test]
fn a_csv_file_arrives_with_counters_and_secrets_in_both_spellings() {
    let machine = Machine::new();
    let verifier = Verifier::start();
    let mut fobs = box_of_tokens();
    let lines: Vec<String> = fobs
        .iter()
        .enumerate()
        .map(|(number, fob)| match number % 4 {
            0 => csv_line(fob),
            1 => csv_line_with_secret(fob, &fob.secret_base32()),
            2 => csv_line_with_secret(fob, &fob.secret_hex().to_uppercase()),
            _ => csv_line_with_secret(fob, &fob.secret_base32().to_lowercase()),
        })
        .collect();
    let path = file("tokens.csv", format!("{CSV_HEAD}\r\n{}\r\n", lines.join("\r\n")));
    let output = import(&path, &["--format", "csv"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_available(&fobs);
    assert_usable(&verifier, &machine, &mut fobs);
}

// covers: A5, G01
#[test]
fn an_import_that_dies_in_the_middle_leaves_all_of_it_or_nothing() {
    const TOKENS: usize = 5_000;
    const CANCELLED: &str = "an import had not ended";
    let _machine = Machine::new();
    let path = file("tokens.csv", csv(&drawer(TOKENS as u64)));
    let (mut in_the_middle, mut after_the_end) = (0, 0);
    // The daemon dies as it asks for the nth time that something be written for good.
    for nth in [1, 2, 3, 11, 30, 50, 60, 62, 64, 66, 1_000] {
        let mut verifier = Verifier::start();
        let injector = Injector::attach(verifier.id(), &format!("fsync,fdatasync:signal=KILL:when={nth}"));
        let output = import(&path, &[]);
        drop(injector);
        let died = !verifier.is_running();
        assert!(died || output.status.success(), "{nth}: {}", said(&output));
        if died {
            verifier.wait_for_end();
            verifier.launch();
        }
        let held = postern::tokens().len();
        assert!(held == 0 || held == TOKENS, "{nth}: {held} of {TOKENS}");
        assert!(!output.status.success() || held == TOKENS, "{nth}: said to be done, but it is not there");
        in_the_middle += usize::from(log_text().contains(CANCELLED));
        after_the_end += usize::from(held == TOKENS);
        if held == 0 {
            let again = import(&path, &[]);
            assert!(again.status.success(), "{nth}: nothing stands in its way: {}", said(&again));
        }
        assert_eq!(postern::status().tokens, TOKENS as u64);
        assert!(postern::run(&["audit", "verify"]).status.success());
    }
    println!("{in_the_middle} imports were killed in the middle, {after_the_end} at their end or not at all");
    assert!(in_the_middle > 2 && after_the_end > 0, "the moments miss the middle or the end");
}

// covers: A5, I12
#[test]
fn the_secrets_of_a_file_show_in_no_argument_log_record_or_stored_byte() {
    let machine = Machine::new();
    let _verifier = Verifier::start();
    let fobs = drawer(50);
    let paths = [file("tokens.csv", csv(&fobs[..25])), file("tokens.xml", pskc(&fobs[25..]))];
    let (spoken, seen) = watch(|| {
        let spoken: Vec<String> = paths.iter().map(|path| said(&import(path, &["--verbose"]))).collect();
        spoken
    });
    assert_eq!(postern::tokens().len(), 50);
    let audit = said(&postern::run(&["audit", "show", "--json", "--after", "0", "--limit", "1000"]));
    assert!(audit.contains("tokens_imported"), "{audit}");
    let listed = said(&postern::run(&["token", "list", "--json"]));
    let stored: Vec<Vec<u8>> = files_of(Path::new(STATE)).iter().map(|path| read(path)).collect();
    for fob in &fobs {
        let base64 = data_encoding::BASE64.encode(fob.secret());
        for secret in [fob.secret_hex(), fob.secret_base32(), base64] {
            let texts = spoken.iter().chain(&seen).chain([&audit, &listed]);
            for text in texts.chain(&machine.logged()).chain([&log_text()]) {
                assert!(!text.contains(&secret), "{} shows in {text}", fob.serial);
            }
            assert!(stored.iter().all(|bytes| !holds(bytes, secret.as_bytes())), "{}", fob.serial);
        }
        assert!(stored.iter().all(|bytes| !holds(bytes, fob.secret())), "{} lies open", fob.serial);
    }
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("the state").map(|entry| entry.expect("a file").path()).collect()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

// covers: A5
#[test]
fn a_hundred_thousand_tokens_arrive_from_one_csv_file() {
    const TOKENS: u64 = 100_000;
    let _machine = Machine::new();
    let verifier = Verifier::start();
    let mut fobs = drawer(TOKENS);
    let path = file("tokens.csv", csv(&fobs));
    let begun = time::now();
    let mut child = postern::command(&["token", "import", "--yes", &path.display().to_string()])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("postern");
    let mut peak = 0;
    let ended = time::wait_at_most(Duration::from_secs(600), || {
        peak = peak_kib(child.id()).unwrap_or(peak);
        child.try_wait().expect("postern")
    });
    let took = time::now() - begun;
    assert!(ended.expect("the import ends").success());
    let daemon = peak_kib(verifier.id().as_raw_nonzero().get().unsigned_abs()).expect("the daemon runs");
    println!(
        "{TOKENS} tokens imported in {:.1} s; peak memory: verifierd {} MiB, postern {} MiB",
        took.as_secs_f64(),
        daemon / 1024,
        peak / 1024
    );
    assert_eq!(postern::status().tokens, TOKENS);

    // The last one works.
    let last = fobs.last_mut().expect("a token");
    let code = last.press();
    assert!(associate(&last.serial, "alice", &code).status.success());
    assert_eq!(Login::by_ssh("alice").verdict(&last.press()), Verdict::Allow);
}

/// The most memory that a process has had, in KiB.
fn peak_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

// covers: A5
#[test]
fn the_templates_are_files_that_can_be_imported() {
    let _machine = Machine::new();
    for format in ["csv", "pskc"] {
        let _verifier = Verifier::start();
        let template = postern::run(&["token", "export-template", "--format", format]);
        assert!(template.status.success(), "{}", said(&template));
        let path = file(&format!("template.{format}"), &template.stdout);
        if format == "pskc" {
            pskctool(&["--validate"], &path);
        }
        let output = import(&path, &["--format", format, "--serial-format", "any", "--dry-run"]);
        assert!(output.status.success(), "{format}: {}", said(&output));
    }
}
