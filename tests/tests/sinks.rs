//! The audit trail goes to the journal and to a file; where those are absent, full or blocked, logins go on, and
//! afterwards nothing is missing.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use system_tests::authenticator::Authenticator;
use system_tests::faults::Injector;
use system_tests::flows::activated;
use system_tests::login_socket::Login;
use system_tests::machine::{Machine, folder, run};
use system_tests::time::{PATIENCE, wait_for};
use system_tests::verifier::{CONFIG, Verifier, config, log_text};
use system_tests::{metrics, postern, programs};
use wire::admin::{AuditPage, AuditRecord};
use wire::login::{Next, Verdict};

/// Where the journal listens.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// What a journal reads of an entry.
type Fields = BTreeMap<String, String>;

// covers: G15, P7
#[test]
fn without_a_journal_and_with_one_that_does_not_read_logins_go_on_and_nothing_is_lost() {
    let _machine = Machine::new();
    let mut verifier = Verifier::prepare(&config("[audit]\njournald = true\n")).with_stepped_waits();
    verifier.initialise();
    verifier.launch();
    let phone = activated(&verifier, "alice");
    log_in(&verifier, &phone, 20);
    verifier.expect_log("the audit trail is not shipped");
    let status = postern::run(&["status"]);
    assert_eq!(status.status.code(), Some(7), "{status:?}");
    let said = postern::said(&status);
    assert!(
        said.contains("records of the audit trail wait for journald") && said.contains(JOURNAL),
        "{said}"
    );
    assert!(metrics::read("postern_audit_lag_records{sink=\"journald\"}") >= 20);
    assert!(metrics::read("postern_audit_lag_seconds{sink=\"journald\"}") > 60);

    fs::create_dir_all(Path::new(JOURNAL).parent().expect("it has a folder")).expect("its folder");
    let journal = UnixDatagram::bind(JOURNAL).expect("the journal's socket");
    verifier.signal(Signal::HUP);
    // The kernel keeps ten datagrams that nobody reads.
    log_in(&verifier, &phone, 20);
    let name = "eve\nPOSTERN_VERDICT=allow\nMESSAGE=all is well";
    assert_eq!(Login::by_ssh(name).from("192.0.2.9\n_UID=0").verdict("123456"), Verdict::Deny);

    let read = read_journal(&verifier, &journal);
    check_shipped(&read.iter().map(sequence).collect::<Vec<_>>());
    let eve = read.iter().find(|fields| fields.get("POSTERN_USER").is_some_and(|user| user == name));
    let eve = eve.expect("a user called like that was refused");
    assert_eq!((eve["POSTERN_VERDICT"].as_str(), eve["POSTERN_SERVICE"].as_str()), ("deny", "sshd"));
    assert!(!eve.contains_key("_UID") && !eve["MESSAGE"].contains('\n'), "{eve:?}");
    assert!(
        read.iter().any(|fields| fields["POSTERN_EVENT"] == "login" && fields["POSTERN_VERDICT"] == "allow")
    );
    verifier.expect_log("the audit trail is shipped again");
    assert_eq!(log_text().matches("the audit trail is not shipped").count(), 1);
    assert!(postern::run(&["status"]).status.success());

    // A new start goes on where the last one stood.
    let last = read.last().map(sequence).expect("there were records");
    assert!(verifier.stop().success());
    verifier.launch();
    let read = read_journal(&verifier, &journal);
    let first = read.first().map(sequence).expect("the start was recorded");
    assert_eq!(
        (first, read.iter().filter(|fields| fields["POSTERN_EVENT"] == "service_started").count()),
        (last + 1, 1)
    );
}

// covers: I13
#[test]
fn a_file_in_a_folder_that_is_not_there_or_cannot_be_written_is_no_configuration() {
    let _machine = Machine::new();
    let disk = folder().join("fixed");
    fs::create_dir_all(&disk).expect("a folder");
    run("mount", &["-t", "tmpfs", "-o", "ro", "fixed", &disk.display().to_string()]);
    let check = |file: &Path, status: i32, words: &str| {
        let _verifier = Verifier::prepare(&config(&format!("[audit]\njson_lines = {file:?}\n")));
        let mut command = Command::new(programs::ours("verifierd"));
        let checked = command.args(["config", "check", "--config", CONFIG]).output().expect("verifierd");
        let said = String::from_utf8_lossy(&checked.stderr);
        assert_eq!(checked.status.code(), Some(status), "{said}");
        assert!(
            said.contains(words) && said.lines().count() <= 1,
            "{said:?} does not say {words:?} in a line"
        );
    };
    let absent = folder().join("absent/audit.jsonl");
    let folder_of = |file: &Path| file.parent().expect("a folder").display().to_string();
    check(&absent, 2, &format!("audit.json_lines = {absent:?}: there is no folder {}", folder_of(&absent)));
    let fixed = disk.join("audit.jsonl");
    check(&fixed, 2, &format!("nothing can be written into {}", folder_of(&fixed)));
    check(&folder().join("audit.jsonl"), 0, "");
}

// covers: G14, P7
#[test]
fn a_file_without_room_holds_no_half_line_and_gets_everything_when_there_is_room() {
    let _machine = Machine::new();
    let disk = folder().join("small");
    fs::create_dir_all(&disk).expect("a folder");
    run("mount", &["-t", "tmpfs", "-o", "size=24k", "small", &disk.display().to_string()]);
    let file = disk.join("audit.jsonl");
    let mut verifier = Verifier::prepare(&config(&format!("[audit]\njson_lines = {file:?}\n")));
    verifier.initialise();
    verifier.launch();
    let phone = activated(&verifier, "alice");
    // Two hundred lines of some two hundred bytes are more than it holds.
    log_in(&verifier, &phone, 200);
    verifier.expect_log("the audit trail is not shipped");
    let written = lines(&file);
    assert!(
        written.len() < 200 && written.iter().zip(1..).all(|(sequence, n)| *sequence == n),
        "{written:?}"
    );
    // Killed in the middle of it, too.
    verifier.crash_and_return();
    log_in(&verifier, &phone, 5);
    run("mount", &["-o", "remount,size=4m", &disk.display().to_string()]);
    verifier.signal(Signal::HUP);
    let newest = wait_for_newest(&file);
    check_shipped(&lines(&file));
    assert!(newest > 200);
}

// covers: G14, P7
#[test]
fn a_file_that_is_moved_or_removed_is_made_anew_and_no_record_is_left_out() {
    let _machine = Machine::new();
    let [file, moved] = ["audit.jsonl", "audit.jsonl.1"].map(|name| folder().join(name));
    let verifier = Verifier::start_with(&config(&format!("[audit]\njson_lines = {file:?}\n")));
    let phone = activated(&verifier, "alice");
    log_in(&verifier, &phone, 3);
    wait_for_newest(&file);
    fs::rename(&file, &moved).expect("as logrotate does");
    log_in(&verifier, &phone, 3);
    wait_for_newest(&file);
    let both = [lines(&moved), lines(&file)].concat();
    check_shipped(&both);
    assert_eq!(read_lines(&file).last().map(|record| record.event.clone()), Some("login".into()));
    fs::remove_file(&file).expect("as somebody might");
    let before = *both.last().expect("there were records");
    log_in(&verifier, &phone, 1);
    wait_for_newest(&file);
    assert_eq!(lines(&file).first(), Some(&(before + 1)));
}

// covers: G15
#[test]
fn a_log_that_nobody_reads_and_a_file_that_takes_nothing_hold_no_login_up() {
    let _machine = Machine::new();
    let (_full, line) = log_into_a_full_pipe();
    let mut verifier = Verifier::prepare(&config("[audit]\njson_lines = \"/dev/full\"\njournald = true\n"));
    verifier.initialise();
    verifier.launch_under(&["sh", "-c", &line, "sh"]);
    let phone = activated(&verifier, "alice");
    log_in(&verifier, &phone, 300);
    // Each of these is a line of the log.
    for _ in 0..50 {
        verifier.signal(Signal::HUP);
        log_in(&verifier, &phone, 1);
    }
    assert!(postern::run(&["audit", "verify"]).status.success());
    assert!(verifier.stop().success(), "the end does not wait for the log either");
}

// covers: G15, G02
#[test]
fn a_log_that_nobody_reads_does_not_hold_up_the_end_of_a_daemon_whose_store_failed() {
    let _machine = Machine::new();
    let mut verifier = Verifier::prepare(&config(""));
    verifier.initialise();
    let (_full, line) = log_into_a_full_pipe();
    verifier.launch_under(&["sh", "-c", &line, "sh"]);
    let phone = activated(&verifier, "alice");
    let injector = Injector::attach(verifier.id(), "fsync,fdatasync:error=EIO");
    let code = verifier.next_code(&phone);
    let answer = Login::by_ssh("alice").attempt(&code);
    let is_in = answer.is_ok_and(|reply| matches!(reply.next, Next::Done { verdict: Verdict::Allow, .. }));
    assert!(!is_in);
    assert!(!verifier.wait_for_end().success());
    drop(injector);
}

/// Lets alice in so many times.
#[track_caller]
fn log_in(verifier: &Verifier, phone: &Authenticator, times: usize) {
    for _ in 0..times {
        let code = verifier.next_code(phone);
        assert_eq!(Login::by_ssh("alice").verdict(&code), Verdict::Allow);
    }
}

/// The trail as the daemon has it.
fn trail() -> Vec<u64> {
    let page: AuditPage = postern::ask(&["audit", "show", "--after", "0", "--limit", "100000"]);
    page.items.iter().map(|record| record.sequence).collect()
}

/// Every record of the trail is there, and none before the one that precedes it; after a kill a part may be there again.
#[track_caller]
fn check_shipped(sequences: &[u64]) {
    let (mut newest, mut first_times) = (0, Vec::new());
    for sequence in sequences {
        if *sequence > newest {
            newest = *sequence;
            first_times.push(newest);
        }
    }
    assert_eq!(first_times, trail());
}

fn read_lines(file: &Path) -> Vec<AuditRecord> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

fn lines(file: &Path) -> Vec<u64> {
    read_lines(file).iter().map(|record| record.sequence).collect()
}

/// Waits until a file ends with the newest record of the trail.
fn wait_for_newest(file: &Path) -> u64 {
    wait_for("the newest record in the file", || {
        // A line may be on its way.
        let text = fs::read_to_string(file).ok().filter(|text| text.ends_with('\n'))?;
        let last: AuditRecord = serde_json::from_str(text.lines().last()?).ok()?;
        (Some(&last.sequence) == trail().last()).then_some(last.sequence)
    })
}

/// Reads as the journal does, up to the newest record of the trail.
fn read_journal(verifier: &Verifier, journal: &UnixDatagram) -> Vec<Fields> {
    journal.set_read_timeout(Some(PATIENCE)).expect("a time");
    verifier.signal(Signal::HUP);
    let newest = *trail().last().expect("there are records");
    let mut read = Vec::new();
    let mut buffer = vec![0; 256 * 1024];
    while read.last().map(sequence) != Some(newest) {
        let length = journal.recv(&mut buffer).expect("a datagram");
        read.push(fields(&buffer[..length]));
    }
    read
}

fn sequence(fields: &Fields) -> u64 {
    fields["POSTERN_SEQUENCE"].parse().expect("a number")
}

/// The fields of a datagram. Source: systemd.io/JOURNAL_NATIVE_PROTOCOL.
fn fields(mut rest: &[u8]) -> Fields {
    let mut fields = Fields::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| matches!(byte, b'=' | b'\n')).expect("a field has a name");
        let name = text(&rest[..end]);
        let (value, after) = if rest[end] == b'=' {
            let length = rest[end + 1..].iter().position(|byte| *byte == b'\n').expect("a value ends");
            rest[end + 1..].split_at(length)
        } else {
            let (length, after) = rest[end + 1..].split_first_chunk::<8>().expect("a length");
            after.split_at(usize::try_from(u64::from_le_bytes(*length)).expect("a length"))
        };
        assert!(fields.insert(name, text(value)).is_none(), "a field stands there twice");
        rest = after.strip_prefix(b"\n").expect("a value ends with a line");
    }
    fields
}

/// A pipe with both ends open, as full as it can be; and a line for `sh` that has a program log to it.
fn log_into_a_full_pipe() -> (File, String) {
    let pipe = folder().join("log-pipe");
    if !pipe.exists() {
        run("mkfifo", &[&pipe.display().to_string()]);
    }
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("a flag");
    let mut ends = OpenOptions::new();
    let mut ends =
        ends.read(true).write(true).custom_flags(nonblocking).open(&pipe).expect("both ends of the pipe");
    while ends.write(&[b'\n'; 1024]).is_ok() {}
    while ends.write(b"\n").is_ok() {}
    (ends, format!("exec \"$@\" 2> {}", pipe.display()))
}
