//! What offline passwords are for: services that only move files, grants that go on when the verifier is back, and waits that
//! end.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use system_tests::agent::fleet_section;
use system_tests::cut_off::{ADDRESS, CutOffHost, QUESTION, issue, used};
use system_tests::flows::associated;
use system_tests::fob::Fob;
use system_tests::machine::{ALICE, Account, BOB, Machine, folder};
use system_tests::postern;
use system_tests::sshd::bare_client_at;
use system_tests::terminal::Terminal;
use system_tests::time::wait_for;
use system_tests::verifier::{Verifier, config};
use wire::admin::Host;

/// Where files are moved by SFTP.
const SFTP_PORT: u16 = 2223;

/// Where they are by rsync.
const RSYNC_PORT: u16 = 2224;

/// A second sshd at a host, which only moves files: `sshd` under another name, and so with PAM's file of that name.
struct FileServer(Child);

impl FileServer {
    fn start(host: &CutOffHost, port: u16, forced: &str) -> Self {
        let program = folder().join("sshd-files");
        let _ = fs::remove_file(&program);
        std::os::unix::fs::symlink("/usr/sbin/sshd", &program).expect("a link");
        let settings = fs::read_to_string(folder().join("sshd_config")).expect("sshd_config");
        let settings: String = settings
            .lines()
            .filter(|line| !line.starts_with("Port ") && !line.starts_with("PidFile "))
            .map(|line| format!("{line}\n"))
            .collect();
        let file = folder().join(format!("sshd_files_config_{port}"));
        let own = format!("Port {port}\nPidFile none\nForceCommand {forced}\n");
        fs::write(&file, format!("{own}{settings}")).expect("its configuration");
        let mut command = Command::new(&program);
        command.args(["-D", "-e", "-f"]).arg(&file);
        let place = host.host.agent.place();
        let mut command = place.enter(&command);
        let log =
            fs::OpenOptions::new().create(true).append(true).open(folder().join("sshd.log")).expect("a log");
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("sshd-files");
        wait_for("the second sshd to listen", || TcpStream::connect((place.address().as_str(), port)).ok());
        Self(child)
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Copies a file from the host, up to the Unix password.
fn copy(host: &CutOffHost, account: Account, name: &str) -> Terminal {
    let mut scp = bare_client_at("scp", SFTP_PORT);
    let from = format!("{}@127.0.0.1:/etc/hostname", account.name);
    scp.args(["-s", "-o", "PubkeyAuthentication=no", &from]);
    scp.arg(folder().join(name));
    up_to_password(host, account, &scp)
}

/// The same by rsync, of what its server gives away.
fn synchronise(host: &CutOffHost, account: Account, name: &str) -> Terminal {
    let mut ssh = bare_client_at("ssh", RSYNC_PORT);
    ssh.args(["-o", "PubkeyAuthentication=no"]);
    let words: Vec<_> = [ssh.get_program()].into_iter().chain(ssh.get_args()).collect();
    let mut rsync = Command::new("rsync");
    rsync.arg("-e").arg(words.join(std::ffi::OsStr::new(" ")));
    rsync.arg(format!("{}@127.0.0.1:greeting", account.name)).arg(folder().join(name));
    up_to_password(host, account, &rsync)
}

fn up_to_password(host: &CutOffHost, account: Account, command: &Command) -> Terminal {
    let mut terminal = Terminal::start(host.host.agent.enter(command));
    terminal.expect("Password: ");
    terminal.type_line(account.password);
    terminal
}

// covers: N2, N7
#[test]
fn a_password_for_file_transfers_moves_files_and_gives_no_shell() {
    let machine = Machine::new();
    fs::copy("/etc/pam.d/sshd", "/etc/pam.d/sshd-files").expect("a PAM file of its own");
    let verifier = Verifier::start_with(&config(&fleet_section(&[ADDRESS])));
    let mut web1 = CutOffHost::start(1, "web1", &verifier.clock, None);
    let shelf = folder().join("shelf");
    fs::create_dir_all(&shelf).expect("what rsync's server gives away");
    fs::copy("/etc/hostname", shelf.join("greeting")).expect("a file");
    let _sftp = FileServer::start(&web1, SFTP_PORT, "internal-sftp");
    let rsync = format!("/usr/bin/rrsync -ro {}", shelf.display());
    let _rsync = FileServer::start(&web1, RSYNC_PORT, &rsync);
    let until = system_tests::time::moment(verifier.clock.unix_now() / 60 * 60 + 3_600);
    let made = issue("web1", &["--file-transfer", "--user", "alice", "--until", &until]);
    web1.cut();
    web1.give(ALICE, &made.password).refused();
    let mut terminal = copy(&web1, ALICE, "first");
    terminal.expect(QUESTION);
    terminal.type_line(&made.password);
    let ended = terminal.finish();
    assert!(ended.status.success(), "{}", ended.transcript);
    let ended = copy(&web1, ALICE, "second").finish();
    assert!(ended.status.success() && !ended.transcript.contains(QUESTION), "{}", ended.transcript);
    let ended = synchronise(&web1, ALICE, "synchronised").finish();
    assert!(ended.status.success() && !ended.transcript.contains(QUESTION), "{}", ended.transcript);
    for name in ["first", "second", "synchronised"] {
        assert_eq!(
            fs::read(folder().join(name)).expect("a copy"),
            fs::read("/etc/hostname").expect("its original")
        );
    }
    let mut terminal = web1.host.login_up_to_password(ALICE);
    terminal.expect(QUESTION);
    terminal.type_line("");
    drop(terminal.finish_or_interrupt());
    let mut terminal = copy(&web1, BOB, "third");
    terminal.expect(QUESTION);
    drop(terminal.finish_or_interrupt());
    assert!(!folder().join("third").exists());
    web1.reconnect();
    assert_eq!(used(&made.made.id).used.expect("a use").service, "sshd-files");
    drop(machine);
}

// covers: N7, N10
#[test]
fn what_was_granted_goes_on_when_the_verifier_is_back_until_it_is_over_or_somebody_is_refused() {
    let _machine = Machine::new();
    let section = fleet_section(&[ADDRESS]);
    let verifier = Verifier::start_with(&config(&section));
    let mut fob = Fob::with_button("7900000001");
    associated(&mut fob, "alice");
    let mut web1 = CutOffHost::start(1, "web1", &verifier.clock, None);
    let until = system_tests::time::moment(verifier.clock.unix_now() / 60 * 60 + 1_800);
    let made = issue("web1", &["--service", "sshd", "--user", "alice", "--until", &until]);
    web1.cut();
    web1.give(ALICE, &made.password).logged_in();
    web1.reconnect();
    used(&made.made.id);
    web1.expect_grant(ALICE);
    assert_eq!(web1.standing()["frozen_until"], until);
    let host: Host = postern::ask(&["host", "show", "web1"]);
    assert_eq!(host.frozen_until.as_deref(), Some(&until[..]));
    let audit = postern::audit();
    assert!(
        audit
            .iter()
            .any(|record| record.reason == "offline_grant" && record.user.as_deref() == Some("alice"))
    );
    // What is demanded from now on waits; what is refused does not.
    let deny = "[[access.rule]]\nname = \"left\"\nthen = \"deny\"\nuser = [\"alice\"]\n";
    verifier.reload(&config(&format!("{deny}{section}")));
    web1.host.login(ALICE, &fob.press()).refused();
    // Unless nothing is to reach the host before the end.
    verifier.reload(&config(&format!("[offline]\nrevocations_pierce_freeze = false\n{deny}{section}")));
    web1.restart_agent();
    wait_for("what the host was told", || {
        let orders =
            fs::read_to_string(web1.host.agent.place().path("/var/lib/postern-offline/orders")).ok()?;
        orders.contains("\"asks_within_grants\":false").then_some(())
    });
    web1.expect_grant(ALICE);
    verifier.clock.advance(1_800);
    web1.host.login(ALICE, &fob.press()).refused();
    verifier.reload(&config(&section));
    web1.host.login(ALICE, &fob.press()).logged_in();
    web1.restart_agent();
    let standing = web1.standing();
    assert!(standing["frozen_until"].is_null() && standing["ready"] == true, "{standing}");
}

// covers: N11, N15, D03
#[test]
fn a_wait_ends_by_the_password_for_it_and_the_agent_looks_for_its_verifier_at_once() {
    let _machine = Machine::new();
    let more = "[offline]\nlockout_reset = true\ncontact = \"Call 4711\"\n";
    let verifier = Verifier::start_with(&config(&format!("{more}{}", fleet_section(&[ADDRESS]))));
    let mut web1 = CutOffHost::start(1, "web1", &verifier.clock, None);
    let mut web2 = CutOffHost::start(2, "web2", &verifier.clock, None);
    let until = system_tests::time::moment(verifier.clock.unix_now() / 60 * 60 + 3_600);
    let foreign = issue("web2", &["--service", "login", "--until", &until]);
    let right = issue("web1", &["--service", "login", "--user", "alice", "--until", &until]);
    let reset = issue("web1", &["--lockout-reset"]);
    web1.cut();
    let shown = |typed: &str| web1.redeem("alice", "login", typed).show.join(" ");
    for _ in 0..20 {
        assert_eq!(shown(&foreign.password), "That did not work.");
    }
    let waits = shown(&right.password);
    assert!(waits.starts_with("Too many tries: wait ") && waits.ends_with(" Call 4711"), "{waits}");
    assert_eq!(shown(&reset.password), "You need not wait any longer. Log in again.");
    assert_ne!(shown(&reset.password), "You need not wait any longer. Log in again.", "once");
    web1.redeem("alice", "login", &right.password);
    assert!(web1.is_granted("alice", "login"));
    // One who reaches the verifier again looks for it without waiting for his turn.
    let again = issue("web2", &["--lockout-reset"]);
    web2.cut();
    system_tests::network::add_address(ADDRESS);
    web2.redeem("alice", "login", &again.password);
    web2.host.agent.wait_until_ready();
}
