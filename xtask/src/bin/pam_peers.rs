//! Whole PAM transactions a second: our module with a durable `verifierd`, and modules of others, in turns.
//!
//! Runs in the sandbox; prints one line of JSON for each run. All sides use HOTP, so that a user can log in again and
//! again, and keep their state on the same disk. Logins come from processes of their own, as sshd's do: this program
//! starts itself as `pam-peers logins SIDE FIRST FOLDER`, which obeys `go MILLISECONDS` on its standard input.

#![forbid(unsafe_code)]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use pam_harness::application::Transaction;
use system_tests::flows::associated;
use system_tests::fob::Fob;
use system_tests::machine::{MODULE, Machine};
use system_tests::time::now;
use system_tests::verifier::{Verifier, config};

/// Processes that log in at once where a side can bear it.
const PROCESSES: usize = 8;

/// Users of one process, who log in one after the other.
const USERS_EACH: usize = 8;

/// Users of all rows: one row has one process, the other has [`PROCESSES`], and no user stands in both.
const USERS: usize = USERS_EACH * (1 + PROCESSES);

/// The counter that stands first in every row: the one before it proved to ours that its user holds the token.
const FIRST_COUNTER: u64 = 1;

/// Users in the one file of `pam_oath`.
const OATH_USERS: usize = 10_000;

/// Users in that file before and after those who log in: they stand in its middle.
const OATH_BEFORE: usize = OATH_USERS / 2;

/// Where the folder of each side's PAM files is made; in the sandbox's own /run.
const STACKS: &str = "/run/postern-rig";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Google,
    Oath,
}

impl Side {
    const ALL: [Self; 3] = [Self::Ours, Self::Google, Self::Oath];

    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Google => "google_authenticator",
            Self::Oath => "pam_oath",
        }
    }

    fn stack(self) -> PathBuf {
        Path::new(STACKS).join(self.name())
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match texts[..] {
        ["logins", side, first] => log_in(side_named(side), number(first)),
        [rows, runs, milliseconds, folder] => {
            measure(rows, number(runs), number(milliseconds), Path::new(folder));
        }
        _ => panic!("usage: pam-peers ROWS RUNS MILLISECONDS FOLDER"),
    }
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|_| panic!("{text} is not a number"))
}

fn side_named(name: &str) -> Side {
    Side::ALL.into_iter().find(|side| side.name() == name).unwrap_or_else(|| panic!("no side {name}"))
}

fn measure(rows: &str, runs: usize, milliseconds: usize, folder: &Path) {
    if folder.exists() {
        fs::remove_dir_all(folder).expect("the folder of the last run");
    }
    fs::create_dir_all(folder).expect("the folder for state");
    let machine = Machine::new();
    let fobs = fobs();
    let mut lines = String::new();
    for fob in &fobs {
        lines.push_str(&format!("{}:x:30000:30000::/:/usr/sbin/nologin\n", user_of(fob)));
    }
    let mut file = fs::OpenOptions::new().append(true).open("/etc/passwd").expect("/etc/passwd");
    file.write_all(lines.as_bytes()).expect("/etc/passwd");
    let state = folder.join("postern").display().to_string();
    let verifier = start_ours(&state, &fobs);
    set_up_google(&folder.join("google"), &fobs);
    set_up_oath(&folder.join("oath"), &fobs);
    let wait = Duration::from_millis(milliseconds as u64);
    for row in rows.split(',') {
        match row {
            "over_google_authenticator" => compare(row, Side::Google, USERS_EACH..USERS, runs, wait),
            "over_pam_oath" => compare(row, Side::Oath, 0..USERS_EACH, runs, wait),
            other => panic!("{other} is no row of this program"),
        }
    }
    drop(verifier);
    drop(machine);
    fs::remove_dir_all(folder).expect("the folder for state");
}

/// The tokens of all users, as they lie on the table.
fn fobs() -> Vec<Fob> {
    (0..USERS).map(|user| Fob::with_button(&format!("PEER{user:03}"))).collect()
}

fn user_of(fob: &Fob) -> String {
    fob.serial.to_lowercase()
}

/// Ours, with its store where the others keep theirs.
fn start_ours(state_dir: &str, fobs: &[Fob]) -> Verifier {
    let settings = config("");
    let mut verifier = Verifier::prepare(&format!("state_dir = {state_dir:?}\n{settings}")).in_real_time();
    verifier.initialise();
    verifier.launch();
    for fob in fobs {
        associated(&mut fob.clone(), &user_of(fob));
    }
    stack(Side::Ours, &format!("auth [success=ok default=die] {MODULE}\n"));
    verifier
}

/// One file for each user, which the module writes anew at each login.
fn set_up_google(folder: &Path, fobs: &[Fob]) {
    fs::create_dir_all(folder).expect("a folder");
    for fob in fobs {
        let secret = BASE32_NOPAD.encode(&secret_of(fob));
        let file = folder.join(user_of(fob));
        fs::write(&file, format!("{secret}\n\" HOTP_COUNTER {FIRST_COUNTER}\n\" WINDOW_SIZE 3\n"))
            .expect("a user's file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).expect("a user's file");
    }
    let arguments = format!("secret={}/${{USER}} user=root", folder.display());
    stack(Side::Google, &format!("auth [success=ok default=die] pam_google_authenticator.so {arguments}\n"));
}

/// One file for all users, which the module copies at each login.
fn set_up_oath(folder: &Path, fobs: &[Fob]) {
    fs::create_dir_all(folder).expect("a folder");
    let mut lines = String::new();
    let others = |range: Range<usize>| {
        range.map(|user| format!("HOTP other{user} - {:040x}\n", user + 1)).collect::<String>()
    };
    lines.push_str(&others(0..OATH_BEFORE));
    for fob in fobs {
        let secret = data_encoding::HEXLOWER.encode(&secret_of(fob));
        lines.push_str(&format!("HOTP {} - {secret}\n", user_of(fob)));
    }
    lines.push_str(&others(OATH_BEFORE..OATH_USERS - fobs.len()));
    let file = folder.join("users.oath");
    fs::write(&file, lines).expect("the users' file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("the users' file");
    let arguments = format!("usersfile={} window=3 digits=6", file.display());
    stack(Side::Oath, &format!("auth [success=ok default=die] pam_oath.so {arguments}\n"));
}

fn secret_of(fob: &Fob) -> Vec<u8> {
    data_encoding::HEXLOWER_PERMISSIVE.decode(fob.secret_hex().as_bytes()).expect("hexadecimal digits")
}

fn stack(side: Side, line: &str) {
    let folder = side.stack();
    fs::create_dir_all(&folder).expect("the folder");
    fs::write(folder.join("postern"), format!("{line}auth required pam_permit.so\n")).expect("the service");
    fs::write(folder.join("other"), "auth required pam_deny.so\n").expect("the other service");
}

/// Ours against another, each with a process for every few users.
fn compare(row: &str, other: Side, users: Range<usize>, runs: usize, wait: Duration) {
    let processes = users.len() / USERS_EACH;
    let mut sides = [Side::Ours, other].map(|side| {
        users.clone().step_by(USERS_EACH).map(|first| Logins::start(side, first)).collect::<Vec<_>>()
    });
    for run in 0..=runs {
        let mut order = [0, 1];
        if run % 2 == 1 {
            order.reverse();
        }
        let mut rates = [0.0; 2];
        for side in order {
            rates[side] = rate(&mut sides[side], wait);
        }
        // The first run warms up the caches.
        if run > 0 {
            let name = |side: Side| format!("{}, {processes} at once, logins/s", side.name());
            let told = serde_json::json!({ name(Side::Ours): rates[0], name(other): rates[1] });
            let line = serde_json::json!({ "row": row, "value": rates[0] / rates[1], "sides": told });
            println!("{line}");
        }
    }
}

fn rate(processes: &mut [Logins], wait: Duration) -> f64 {
    let begun = now();
    for process in &mut *processes {
        process.go(wait);
    }
    let logins: u64 = processes.iter_mut().map(Logins::done).sum();
    logins as f64 / begun.elapsed().as_secs_f64()
}

/// A process that logs in.
struct Logins {
    child: Child,
    orders: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
}

impl Logins {
    fn start(side: Side, first: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["logins", side.name(), &first.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("this program");
        let orders = child.stdin.take();
        let replies = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, orders, replies }
    }

    fn go(&mut self, wait: Duration) {
        let orders = self.orders.as_mut().expect("a pipe");
        writeln!(orders, "{}", wait.as_millis()).expect("the process lives");
    }

    /// How many logins there were.
    fn done(&mut self) -> u64 {
        let mut line = String::new();
        self.replies.read_line(&mut line).expect("the process lives");
        line.trim().parse().expect("a login was refused: see above")
    }
}

impl Drop for Logins {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

/// The other end: logs its users in, one after the other, as long as it is told.
fn log_in(side: Side, first: usize) {
    let mut fobs: Vec<Fob> =
        fobs().into_iter().skip(first).take(USERS_EACH).map(|fob| fob.at_counter(FIRST_COUNTER)).collect();
    let stack = side.stack();
    for line in std::io::stdin().lock().lines() {
        let wait = Duration::from_millis(number(&line.expect("an order")) as u64);
        let (begun, mut logins) = (now(), 0_u64);
        while begun.elapsed() < wait {
            let fob = &mut fobs[logins as usize % USERS_EACH];
            let (user, code) = (user_of(fob), fob.press());
            let transaction = Transaction { user: Some(user.as_bytes()), ..Transaction::default() };
            let outcome = transaction.typing(&stack, code.as_bytes());
            assert_eq!(outcome.code, 0, "{user} at {}: {outcome:?}", side.name());
            logins += 1;
        }
        println!("{logins}");
    }
}
