//! Who was let in, as the session's own programs and the log have it; and programs that record sessions: real sshd, sudo
//! and login, and programs of `/etc/postern/recorders`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use system_tests::agent::{self, enrol, fleet_section};
use system_tests::fleet::FleetHost;
use system_tests::flows::{LOGGED_IN, Outcome, SAY_WHO, console_dialogue, console_up_to_code, sudo_dialogue};
use system_tests::machine::{ALICE, MODULE, Machine, folder};
use system_tests::network::add_address;
use system_tests::persons::{PASSWORD, add_for};
use system_tests::postern;
use system_tests::sshd::{self, Sshd};
use system_tests::terminal::Terminal;
use system_tests::time::wait_for;
use system_tests::verifier::{Verifier, config};

/// What is behind every login here: carol, who may use alice's account.
const ANSWERS: [(&str, &str); 2] = [("Your login name: ", "carol"), ("Your password: ", PASSWORD)];

/// Everybody gives login name and password of a person.
const SECONDARY: &str = "[access]\nlogin_step = \"secondary\"\n";

/// Shows what a program finds of us.
const SHOW: &str = "env | grep ^POSTERN_ | sort; ls -l /proc/self/fd";

/// Where the programs lie.
const RECORDERS: &str = "/etc/postern/recorders";

/// What the recorder of these tests leaves.
const NOTES: &str = "/var/log/recorder-notes";

/// What the user reads whose session is refused.
const REFUSED: &str = "This session has to be recorded";

/// A machine whose services have our session line at their end, with one that everybody may log in to.
fn machine(arguments: &str) -> Machine {
    let machine = Machine::new();
    // Tests share the sandbox: what another's recorder noted goes.
    if let Err(error) = fs::remove_file(NOTES) {
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{NOTES}: {error}");
    }
    for service in ["sshd", "sudo", "login"] {
        let file = Path::new("/etc/pam.d").join(service);
        let lines = fs::read_to_string(&file).expect("the PAM file");
        fs::write(file, format!("{lines}\nsession required {MODULE} {arguments}\n")).expect("the PAM file");
    }
    machine
}

fn verifier(more: &str) -> Verifier {
    let verifier = Verifier::start_with(&config(&format!("{SECONDARY}{more}")));
    add_for("carol", ALICE.name);
    verifier
}

/// The section that names the program.
fn section(more: &str) -> String {
    format!("[session]\nrecorder = [\"{RECORDERS}/note\", \"a b\", \"$HOME;x\"]\n{more}")
}

/// Puts a shell script there, beside the files of the daemon, which are made anew with it.
fn write_recorder(script: &str) {
    fs::create_dir_all(RECORDERS).expect("the folder");
    let _ = fs::remove_file(NOTES);
    let path = Path::new(RECORDERS).join("note");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("the program");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the program");
}

/// A script that writes down what it is told and what it has.
fn noting(then: &str) -> String {
    format!(
        "{{ echo \"arguments $# $1 $2\"; env | sort; id -u; id -ru; umask; pwd; ls -l /proc/self/fd; ulimit -f; \
         echo files $(ulimit -n); nice; grep ^SigBlk /proc/self/status; echo end; }} >> {NOTES}\n{then}"
    )
}

fn notes() -> String {
    fs::read_to_string(NOTES).unwrap_or_default()
}

fn ssh(command: &str) -> Outcome {
    let mut terminal = sshd::login_up_to_password(ALICE, command);
    for (question, answer) in ANSWERS {
        terminal.expect(question);
        terminal.type_line(answer);
    }
    let ended = terminal.finish();
    if ended.status.success() {
        Outcome::LoggedIn(ended.transcript)
    } else {
        Outcome::Refused(ended.transcript)
    }
}

/// All that the terminal showed of a sudo in which carol has answered.
fn sudo(command: Command) -> String {
    let mut terminal = Terminal::start(command);
    terminal.expect("password for alice: ");
    terminal.type_line(ALICE.password);
    for (question, answer) in ANSWERS {
        terminal.expect(question);
        terminal.type_line(answer);
    }
    terminal.finish().transcript
}

/// Whether each of the variables says who was let in, and nothing else of ours is there.
#[track_caller]
fn assert_shows_carol(shown: &str) {
    // What bash says to its terminal stands in front of the first one.
    let values = |line: &'static str| {
        shown.lines().map(str::trim).filter_map(move |said| Some(said.split_once(line)?.1))
    };
    let ours: Vec<_> = values("POSTERN_").filter(|line| line.contains('=')).collect();
    let [person, email, reference] = ours[..] else { panic!("{ours:?}") };
    assert_eq!((person, email), ("PERSON=carol", "PERSON_EMAIL=carol@example.org"));
    let reference = reference.strip_prefix("REFERENCE=").expect("the reference");
    let record = postern::explain(reference);
    assert_eq!((record.reason.as_str(), record.person.as_deref()), ("secondary", Some("carol")));
}

// covers: R10, E26
#[test]
fn who_was_let_in_is_told_to_the_shell_of_sshd_sudo_and_the_console_and_to_the_log() {
    let machine = machine("");
    let _verifier = verifier("");
    let _sshd = Sshd::start_with(&[("PermitUserEnvironment", "yes"), ("AcceptEnv", "POSTERN_*")]);
    fs::create_dir_all("/home/alice/.ssh").expect("her folder");
    fs::write("/home/alice/.ssh/environment", "POSTERN_PERSON=mallory\n").expect("her file");
    fs::write("/home/alice/.pam_environment", "POSTERN_PERSON DEFAULT=mallory\n").expect("her file");
    chown("/home/alice/.ssh", Some(uid("alice")), None).expect("hers");
    assert_shows_carol(&ssh(SHOW).logged_in());
    machine.expect_logged(&[
        "session-opened user=alice",
        "person=carol email=carol@example.org",
        "reference=",
    ]);
    let mut command = machine.as_user(ALICE, "sudo");
    command.args(["sh", "-c", SHOW]).env("POSTERN_PERSON", "mallory");
    assert_shows_carol(&sudo(command));
    machine.expect_logged(&["session-opened user=root", "person=carol email=carol@example.org"]);
    let mut console = console_up_to_code(ALICE);
    for (question, answer) in ANSWERS {
        console.expect(question);
        console.type_line(answer);
    }
    console.expect("$ ");
    console.type_line(&format!("{SHOW}; exit"));
    assert_shows_carol(&console.finish().transcript);
}

/// The number of an account.
fn uid(name: &str) -> u32 {
    let output = Command::new("id").args(["-u", name]).output().expect("id");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

// covers: R10, E26
#[test]
fn where_no_person_is_known_nothing_of_ours_is_in_the_session() {
    let machine = machine("");
    let _verifier = Verifier::start();
    let _sshd = Sshd::start();
    let mut terminal = sshd::login_up_to_password(ALICE, &format!("{SHOW}; {SAY_WHO}"));
    let shown = terminal.expect(LOGGED_IN);
    assert!(!shown.contains("POSTERN_"), "{shown}");
    terminal.finish();
    assert!(!machine.logged().iter().any(|line| line.contains("session-opened")), "{:?}", machine.logged());
}

// covers: R10
#[test]
fn a_recorder_begins_and_ends_with_each_session_and_is_told_the_facts_and_nothing_else() {
    let machine = machine("");
    let _verifier = verifier(&section(""));
    write_recorder(&noting("exit 0"));
    let _sshd = Sshd::start();
    ssh(SAY_WHO).logged_in();
    let told = wait_for("the end of the recording", || {
        let notes = notes();
        (notes.matches("\nend\n").count() == 2).then_some(notes)
    });
    let (open, close) = told.split_once("\nend\n").expect("two");
    for (said, event) in [(open, "open"), (close, "close")] {
        for line in [
            "arguments 2 a b $HOME;x".to_owned(),
            format!("POSTERN_EVENT={event}"),
            "POSTERN_USER=alice".into(),
            "POSTERN_SERVICE=sshd".into(),
            "POSTERN_RHOST=127.0.0.1".into(),
            "POSTERN_TTY=ssh".into(),
            "POSTERN_PERSON=carol".into(),
            "POSTERN_PERSON_EMAIL=carol@example.org".into(),
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin".into(),
            "0\n0\n0077\n/".into(),
            "unlimited".into(),
        ] {
            assert!(said.contains(&line), "{line:?} is not in {said}");
        }
        let descriptors = said.lines().filter(|line| line.contains(" -> ")).count();
        // Its standard streams and the folder that is listed.
        assert_eq!(descriptors, 4, "{said}");
    }
    let session = open.lines().find_map(|line| line.strip_prefix("POSTERN_SESSION=")).expect("its name");
    assert!(close.contains(&format!("POSTERN_SESSION={session}")) && session.len() == 32, "{close}");

    fs::remove_file(NOTES).expect("the notes");
    let mut command = machine.as_user(ALICE, "bash");
    command.args([
        "-c",
        "ulimit -S -f 8; ulimit -S -n 300; umask 0; cd /tmp; trap '' HUP; \
         exec nice -n 5 env --block-signal=TERM,ALRM sudo -E id -un",
    ]);
    command.env("LD_PRELOAD", "/nowhere.so").env("POSTERN_USER", "mallory");
    let shown = sudo(command);
    assert!(shown.contains("root\r\n"), "{shown}");
    let told = notes();
    for line in
        ["POSTERN_USER=root", "POSTERN_RUSER=alice", "POSTERN_SERVICE=sudo", "0\n0\n0077\n/", "unlimited"]
    {
        assert!(told.contains(line), "{line:?} is not in {told}");
    }
    assert!(!told.contains("LD_PRELOAD") && !told.contains("mallory"), "{told}");
    assert!(told.contains("SigBlk:\t0000000000000000\n") && told.contains("\n0\nSigBlk"), "{told}");
    let files = told.lines().find_map(|line| line.strip_prefix("files ")?.parse::<u64>().ok());
    assert!(files.is_some_and(|files| files >= 1_024), "{told}");

    fs::remove_file(NOTES).expect("the notes");
    console_dialogue(ALICE, &ANSWERS).logged_in();
    let told =
        wait_for("the end of the recording", || Some(notes()).filter(|notes| notes.contains("EVENT=close")));
    assert!(told.contains("POSTERN_SERVICE=login") && told.contains("POSTERN_TTY=/dev/pts/"), "{told}");
}

// covers: R10
#[test]
fn after_a_key_alone_nobody_is_named_whatever_other_modules_put_into_the_environment() {
    let machine = machine("");
    let _verifier = verifier(&section(""));
    write_recorder(&noting("exit 0"));
    // As `pam_env` with `user_readenv` does it with a file of the user's.
    let lines = "POSTERN_PERSON DEFAULT=mallory\nPOSTERN_REFERENCE DEFAULT=7QK2-9ZB4\n";
    fs::write("/etc/postern/env.conf", lines).expect("the file");
    let file = Path::new("/etc/pam.d/sshd");
    let pam = fs::read_to_string(file).expect("the PAM file");
    let before = "session required pam_env.so conffile=/etc/postern/env.conf readenv=0";
    fs::write(file, pam.replace("\nsession required", &format!("\n{before}\nsession required")))
        .expect("the PAM file");
    let _sshd = Sshd::start_with(&[("AuthenticationMethods", "publickey")]);
    let shown = Terminal::start(sshd::key_client(ALICE, &[&format!("{SAY_WHO}; {SHOW}")])).finish();
    let shown = shown.transcript;
    assert!(shown.contains(LOGGED_IN) && !shown.contains("mallory"), "{shown}");
    let told = notes();
    assert!(told.contains("POSTERN_EVENT=open") && told.contains("POSTERN_USER=alice"), "{told}");
    assert!(!told.contains("mallory") && !told.contains("POSTERN_REFERENCE"), "{told}");
    drop(machine);
}

// covers: R10
#[test]
fn a_session_whose_recorder_does_not_start_is_refused_or_goes_on_as_policy_says() {
    let machine = machine("");
    let verifier = verifier(&section(""));
    write_recorder(&noting("exit 3"));
    let _sshd = Sshd::start();
    let refused = ssh(SAY_WHO).refused();
    assert!(!refused.contains(LOGGED_IN), "{refused}");
    machine.expect_logged(&["session-refused user=alice", "reason=failed", "detail=status:3"]);
    let mut command = machine.as_user(ALICE, "sudo");
    command.args(["echo", LOGGED_IN]);
    let refused = sudo(command);
    assert!(refused.contains(REFUSED) && !refused.contains(LOGGED_IN), "{refused}");
    let mut console = console_up_to_code(ALICE);
    for (question, answer) in ANSWERS {
        console.expect(question);
        console.type_line(answer);
    }
    let refused = console.finish().transcript;
    assert!(refused.contains(REFUSED) && !refused.contains("$ "), "{refused}");
    assert!(!notes().contains("POSTERN_EVENT=close"), "what did not begin need not end");
    let ends = || {
        let records = postern::audit().into_iter().filter(|record| record.event == "session_closed");
        records.map(|record| record.reason).collect::<Vec<_>>()
    };
    assert_eq!(ends(), ["not_recorded"; 3]);
    assert!(postern::ask::<wire::admin::SessionList>(&["session", "list"]).items.is_empty());

    reload(&verifier, &section("recorder_failure = \"continue\"\n"));
    assert!(ssh(SAY_WHO).logged_in().contains(LOGGED_IN));
    machine.expect_logged(&["session-not-recorded user=alice", "reason=failed", "detail=status:3"]);
    wait_for("the record of its end", || (ends() == ["not_recorded"; 4]).then_some(()));
    sudo_dialogue(&machine, ALICE, &ANSWERS).logged_in();
    console_dialogue(ALICE, &ANSWERS).logged_in();
}

/// Has the daemon take over another configuration.
fn reload(verifier: &Verifier, more: &str) {
    fs::write("/etc/postern/verifierd.toml", config(&format!("{SECONDARY}{more}"))).expect("the file");
    verifier.signal(rustix::process::Signal::HUP);
    verifier.expect_log("the configuration was read anew");
}

// covers: R10, E25
#[test]
fn a_program_that_somebody_else_could_have_written_is_not_run() {
    let machine = machine("");
    let _verifier = verifier(&section(""));
    let _sshd = Sshd::start();
    let path = Path::new(RECORDERS).join("note");
    let mode =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    let refused = |problem: &str| {
        let shown = ssh(SAY_WHO).refused();
        assert!(!shown.contains(LOGGED_IN) && notes().is_empty(), "{problem}: {shown}");
        machine.expect_logged(&["session-refused", "reason=untrusted-path", problem]);
    };
    refused("missing");
    write_recorder(&noting(""));
    mode(&path, 0o775);
    refused("note:writable-by-others");
    mode(&path, 0o644);
    refused("note:not-a-program");
    mode(&path, 0o755);
    chown(&path, Some(uid("alice")), None).expect("hers");
    refused("note:not-owned-by-root");
    chown(&path, Some(0), None).expect("root's");
    mode(Path::new(RECORDERS), 0o777);
    refused("recorders:writable-by-others");
    mode(Path::new(RECORDERS), 0o755);
    fs::rename(&path, "/etc/postern/elsewhere").expect("moved");
    std::os::unix::fs::symlink("/etc/postern/elsewhere", &path).expect("a link");
    refused("note:not-a-program");
    fs::remove_file(&path).expect("the link");
    fs::rename("/etc/postern/elsewhere", &path).expect("back");
    ssh(SAY_WHO).logged_in();
    assert!(notes().contains("POSTERN_EVENT=open"));
}

// covers: R10
#[test]
fn a_recorder_that_does_not_end_is_killed_with_all_that_it_started() {
    let machine = machine("");
    let _verifier = verifier(&section(""));
    write_recorder("sleep 98765 & sleep 98765");
    let _sshd = Sshd::start();
    assert!(!ssh(SAY_WHO).refused().contains(LOGGED_IN));
    machine.expect_logged(&["session-refused user=alice", "reason=timed-out"]);
    let left = Command::new("pgrep").args(["-f", "sleep 98765"]).output().expect("pgrep");
    assert!(left.stdout.is_empty(), "{left:?}");
}

// covers: R10
#[test]
fn where_nobody_may_be_unrecorded_a_silent_daemon_lets_nobody_in_and_elsewhere_it_changes_nothing() {
    for (arguments, is_in) in [("recorder_unknown=refuse", false), ("", true)] {
        let machine = machine(arguments);
        let mut verifier = verifier(&section(""));
        write_recorder(&noting(""));
        let _sshd = Sshd::start_with(&[("AuthenticationMethods", "publickey")]);
        let by_key = || {
            let ended = Terminal::start(sshd::key_client(ALICE, &[SAY_WHO])).finish();
            ended.transcript.contains(LOGGED_IN)
        };
        assert!(by_key() && notes().contains("POSTERN_EVENT=open"), "a key's session is recorded");
        assert!(verifier.stop().success());
        assert_eq!(by_key(), is_in, "{arguments:?}");
        machine.expect_logged(&["session-not-opened user=alice", "reason=socket-missing"]);
    }
}

// covers: R10, F14
#[test]
fn a_host_of_the_fleet_is_told_who_was_let_in_and_what_records_its_sessions() {
    const ADDRESS: &str = "10.93.0.1";
    let machine = machine("");
    machine.protect("sshd", "");
    let file = fs::read_to_string("/etc/pam.d/sshd").expect("the PAM file");
    machine.write_pam("sshd", &format!("{file}\nsession required {MODULE} recorder_unknown=refuse\n"));
    let of_host = format!(
        "{}[group.web]\n[host.web1.session]\nrecorder = [\"{RECORDERS}/note\"]\n",
        fleet_section(&[ADDRESS])
    );
    let _verifier = verifier(&of_host);
    write_recorder(&noting(""));
    add_address(ADDRESS);
    let mut host = FleetHost::start(1, "web1");
    host.agent.join(&[agent::verifier(ADDRESS)], &enrol("web1", &[]));
    host.agent.launch_ready();
    // The host has files of its own there.
    let kept = folder().join("note");
    fs::copy(Path::new(RECORDERS).join("note"), &kept).expect("a copy");
    let mut install = Command::new("install");
    install.args(["-D", "-m", "755"]).arg(&kept).arg(format!("{RECORDERS}/note"));
    assert!(host.agent.enter(&install).status().expect("install").success());
    let mut terminal = Terminal::start(host.agent.enter(&sshd::client(ALICE, SHOW)));
    terminal.expect("Password: ");
    terminal.type_line(ALICE.password);
    for (question, answer) in ANSWERS {
        terminal.expect(question);
        terminal.type_line(answer);
    }
    assert_shows_carol(&terminal.finish().transcript);
    let told =
        wait_for("the end of the recording", || Some(notes()).filter(|notes| notes.contains("EVENT=close")));
    assert!(told.contains("POSTERN_PERSON=carol") && told.contains("POSTERN_EVENT=open"), "{told}");
    let here: wire::admin::Policy = postern::ask(&["policy", "show"]);
    assert!(here.settings.iter().all(|setting| setting.name != "session.recorder"), "{here:?}");
    let there: wire::admin::Policy = postern::ask(&["policy", "show", "--host", "web1"]);
    let shown =
        there.settings.iter().find(|setting| setting.name == "session.recorder").expect("the setting");
    assert_eq!((shown.value.as_str(), shown.source.as_str()), ("/etc/postern/recorders/note", "host web1"));
}
