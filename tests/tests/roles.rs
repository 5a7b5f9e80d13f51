//! Who may do what on the user socket: every verb by every sort of caller, and nothing by default.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Output};

use system_tests::flows::{associated, ssh_login};
use system_tests::fob::{Fob, drawer};
use system_tests::machine::{ALICE, ANN, Account, BOB, DORA, Machine, OTTO};
use system_tests::postern::{self, CONFLICT, NOT_ALLOWED, WRONG_CODE, said};
use system_tests::sshd::Sshd;
use system_tests::verifier::{CONFIG, Verifier, config};
use system_tests::{notices, programs};
use wire::admin::{Role, SelfInfo, TokenState};

const ROLES: &str = "[roles]\nadmin = [\"ann\"]\nhelpdesk = [\"dora\"]\nauditor = [\"otto\"]\n";

/// Alice has the first two tokens, bob the third; the fourth is nobody's.
fn start() -> (Machine, Verifier, Vec<Fob>) {
    let machine = Machine::new();
    machine.add_staff();
    let verifier = Verifier::start_with(&config(&format!("{ROLES}{}", notices::install())));
    let mut fobs = drawer(4);
    associated(&mut fobs[0], "alice");
    associated(&mut fobs[1], "alice");
    associated(&mut fobs[2], "bob");
    postern::add_token(&fobs[3], None);
    (machine, verifier, fobs)
}

/// A verb, and who may use it: admin, help desk, auditor. An ordinary user may use it on nothing of others.
struct Verb {
    line: &'static str,
    admin: bool,
    helpdesk: bool,
    auditor: bool,
}

const fn verb(line: &'static str, [admin, helpdesk, auditor]: [bool; 3]) -> Verb {
    Verb { line, admin, helpdesk, auditor }
}

/// `BOBS` and `FREE` stand for bob's token and the one of nobody. Whoever may use a verb may still hear that a code
/// is wrong or a state unfit: what is asked here is only whether he is let through.
const VERBS: [Verb; 33] = [
    verb("user list", [true, true, true]),
    verb("user show bob", [true, true, true]),
    verb("user set bob --otp on", [true, false, false]),
    verb("user unlock bob", [true, true, false]),
    verb("token list", [true, true, true]),
    verb("token list --state available", [true, true, true]),
    verb("token list --user bob", [true, true, true]),
    verb("token show BOBS", [true, true, true]),
    verb("token add --user bob", [true, false, false]),
    verb("token assign FREE --user alice", [true, false, false]),
    verb("token associate FREE --user bob", [true, true, false]),
    verb("token resync BOBS", [true, true, false]),
    verb("token test BOBS", [true, true, false]),
    verb("token disassociate FREE", [true, false, false]),
    verb("token disable FREE", [true, false, false]),
    verb("token enable FREE", [true, false, false]),
    verb("token lost BOBS", [true, true, false]),
    verb("token enable BOBS", [true, false, false]),
    verb("recovery status bob", [true, true, true]),
    verb("recovery regenerate bob", [true, false, false]),
    verb("policy show", [true, true, true]),
    verb("policy try --user bob", [true, true, true]),
    verb("rollout status", [true, true, true]),
    verb("session list --user bob", [true, true, true]),
    verb("host list", [true, true, true]),
    verb("host show web1", [true, true, true]),
    verb("host enrol web1", [true, false, false]),
    verb("host rename web1 web2", [true, false, false]),
    verb("host group web1 db", [true, false, false]),
    verb("host revoke web1", [true, false, false]),
    verb("explain AAAA-AAAA", [true, true, true]),
    verb("audit show", [true, false, true]),
    verb("audit verify", [true, false, true]),
];

fn run_verb(machine: &Machine, account: Account, line: &str, fobs: &[Fob]) -> Output {
    let line = line.replace("BOBS", &fobs[2].serial).replace("FREE", &fobs[3].serial);
    let mut words: Vec<&str> = line.split(' ').collect();
    words.push("--yes");
    // Two codes for the verbs that ask for them.
    postern::run_by(machine, account, &words, "000000\n000001\n")
}

// covers: I05, I06
#[test]
fn every_verb_is_for_those_whose_role_has_it_and_for_nobody_else() {
    let (machine, _verifier, fobs) = start();
    for verb in &VERBS {
        let callers = [(ANN, verb.admin), (DORA, verb.helpdesk), (OTTO, verb.auditor), (ALICE, false)];
        for (account, allowed) in callers {
            let before = said(&postern::run(&["token", "list", "--json"]));
            let output = run_verb(&machine, account, verb.line, &fobs);
            let refused = output.status.code() == Some(NOT_ALLOWED);
            assert_eq!(!refused, allowed, "{} by {}: {}", verb.line, account.name, said(&output));
            if refused {
                assert!(output.stdout.is_empty(), "{} by {}", verb.line, account.name);
                let after = said(&postern::run(&["token", "list", "--json"]));
                assert_eq!(after, before, "{} by {} changed something", verb.line, account.name);
            }
        }
    }
    for account in [ANN, DORA, OTTO, ALICE] {
        let output = run_verb(&machine, account, "store settle", &fobs);
        assert_eq!(output.status.code(), Some(NOT_ALLOWED), "store settle is root's: {}", said(&output));
    }
    for account in [ANN, DORA, OTTO] {
        assert!(run_verb(&machine, account, "status", &fobs).status.code() != Some(NOT_ALLOWED));
    }
}

// covers: I05
#[test]
fn the_daemon_tells_each_caller_who_he_is_as_the_kernel_says() {
    let (machine, _verifier, _fobs) = start();
    let roles = [
        (ANN, Role::Admin),
        (DORA, Role::Helpdesk),
        (OTTO, Role::Auditor),
        (ALICE, Role::User),
        (BOB, Role::User),
    ];
    for (account, role) in roles {
        // Names in the environment are the caller's own words.
        let mut curl = machine.as_user(account, "env");
        curl.args(["USER=root", "LOGNAME=root", "SUDO_USER=ann"]);
        let info = self_info(curl);
        assert_eq!((info.name.as_str(), info.role), (account.name, role));
        let own = info.user.map(|user| user.name);
        assert_eq!(own.is_some(), ["alice", "bob"].contains(&account.name), "{own:?}");
    }
    assert_eq!(self_info(Command::new("env")).role, Role::Super);
}

/// Asks the user socket by hand, so that nothing of the command stands between.
fn self_info(mut command: Command) -> SelfInfo {
    command.args([programs::PYTHON, "-c", ASK_SELF, wire::USER_SOCKET]);
    let output = command.output().expect("python3");
    assert!(output.status.success(), "{output:?}");
    postern::read(&output)
}

const ASK_SELF: &str = "\
import socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
peer.sendall(b'GET /v1/self HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n')
answer = b''
while part := peer.recv(65536):
    answer += part
print(answer.split(b'\\r\\n\\r\\n', 1)[1].decode())
";

// covers: I05, I11, P2
#[test]
fn a_user_manages_what_is_his_own_with_a_code_of_his() {
    let (machine, verifier, mut fobs) = start();
    let serials: Vec<String> = fobs.iter().map(|fob| fob.serial.clone()).collect();
    let by_alice = |line: &[&str], input: &str| postern::run_by(&machine, ALICE, line, input);
    assert!(by_alice(&["token", "show", &serials[0]], "").status.success());
    let who: SelfInfo = postern::read(&by_alice(&["--json", "whoami"], ""));
    assert_eq!((who.name.as_str(), who.user.map(|user| user.tokens.len())), ("alice", Some(2)));
    let code = fobs[0].press();
    assert!(by_alice(&["token", "test", &serials[0]], &format!("{code}\n")).status.success());
    let again = by_alice(&["token", "test", &serials[0]], &format!("{code}\n"));
    assert_eq!(again.status.code(), Some(WRONG_CODE), "a tested code is used up: {}", said(&again));

    // Recovery codes and a removal need a code; without one, or with a wrong one, nothing happens.
    let wrong = fobs[0].wrong_code(verifier.now());
    for input in ["", &format!("{wrong}\n"), &format!("{code}\n")] {
        for line in
            [&["recovery", "regenerate", "--yes"][..], &["token", "disassociate", &serials[1], "--yes"]]
        {
            let output = by_alice(line, input);
            assert!(!output.status.success(), "{line:?} with {input:?}: {}", said(&output));
        }
    }
    assert_eq!(postern::recovery_status("alice").left, 0);
    let code = fobs[0].press();
    let made = by_alice(&["recovery", "regenerate", "--yes"], &format!("{code}\n"));
    assert!(made.status.success(), "{}", said(&made));
    assert_eq!(postern::recovery_status("alice").left, 10);
    notices::expect_told("recovery_codes_made", "alice");

    // The second goes with a code of the first; the last stays, whatever the code.
    let code = fobs[0].press();
    let gone = by_alice(&["token", "disassociate", &serials[1], "--yes"], &format!("{code}\n"));
    assert!(gone.status.success(), "{}", said(&gone));
    assert_eq!(postern::token(&serials[1]).state, TokenState::Available);
    notices::expect_told("token_disassociated", "alice");
    let code = fobs[0].press();
    let last = by_alice(&["token", "disassociate", &serials[0], "--yes"], &format!("{code}\n"));
    assert_eq!(last.status.code(), Some(CONFLICT), "{}", said(&last));
    assert_eq!(postern::token(&serials[0]).state, TokenState::Associated);
    let _sshd = Sshd::start();
    fobs[0].press_and_lose(1);
    ssh_login(ALICE, &fobs[0].press()).logged_in();
    assert!(by_alice(&["token", "lost", &serials[0], "--yes"], "").status.success());
    ssh_login(ALICE, &fobs[0].press()).refused();
}

// covers: I05
#[test]
fn what_is_not_his_and_what_is_not_there_look_alike_to_a_user() {
    let (machine, _verifier, fobs) = start();
    let pairs = [
        (vec!["token", "show", &fobs[2].serial], vec!["token", "show", "2699999999999"]),
        (vec!["token", "lost", &fobs[2].serial, "--yes"], vec!["token", "lost", "2699999999999", "--yes"]),
        (vec!["user", "show", "bob"], vec!["user", "show", "otto"]),
        (vec!["recovery", "status", "bob"], vec!["recovery", "status", "nobody"]),
    ];
    for (others, absent) in pairs {
        let plain = |line: &[&str]| {
            let output = postern::run_by(&machine, ALICE, line, "");
            let name = line[2];
            (output.status.code(), said(&output).replace(name, "NAME"))
        };
        let (first, second) = (plain(&others), plain(&absent));
        assert_eq!(first.0, Some(NOT_ALLOWED), "{others:?}: {}", first.1);
        assert_eq!(first, second, "{others:?} and {absent:?}");
    }
    assert_eq!(postern::token(&fobs[2].serial).state, TokenState::Associated);
}

// covers: I05, I11
#[test]
fn nobody_gives_himself_a_token_a_role_or_a_second_way_in() {
    let (machine, _verifier, mut fobs) = start();
    let free = fobs[3].serial.clone();
    let code = fobs[3].press();
    let lines: [&[&str]; 6] = [
        &["token", "associate", &free, "--user", "alice"],
        &["token", "assign", &free, "--user", "alice"],
        &["token", "add", "--user", "alice"],
        &["user", "set", "alice", "--otp", "off", "--yes"],
        &["user", "unlock", "alice", "--yes"],
        &["token", "enable", &fobs[0].serial],
    ];
    for line in lines {
        let output = postern::run_by(&machine, ALICE, line, &format!("{code}\n"));
        assert_eq!(output.status.code(), Some(NOT_ALLOWED), "{line:?}: {}", said(&output));
    }
    assert_eq!(postern::token(&free).state, TokenState::Available);
    // The help desk acts under its own name.
    let output = postern::run_by(&machine, DORA, &["token", "lost", &fobs[2].serial, "--yes"], "");
    assert!(output.status.success(), "{}", said(&output));
    let record = postern::audit().into_iter().rfind(|record| record.event == "token_lost").expect("a record");
    assert_eq!(record.actor.as_deref(), Some("dora (helpdesk)"));
    assert_eq!(record.user.as_deref(), Some("bob"));
}

// covers: I05, E03
#[test]
fn the_user_socket_is_open_and_the_two_of_root_are_not() {
    let (machine, _verifier, _fobs) = start();
    let state = |path: &str| {
        let data = fs::metadata(path).expect("a socket");
        (data.mode() & 0o777, data.uid())
    };
    assert_eq!(state(wire::USER_SOCKET), (0o666, 0));
    for socket in [wire::ADMIN_SOCKET, wire::LOGIN_SOCKET] {
        assert_eq!(state(socket), (0o600, 0));
        fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).expect("loosening");
        for account in [ANN, DORA, OTTO, ALICE] {
            let output = postern::run_by(&machine, account, &["--socket", socket, "user", "list"], "");
            assert!(!output.status.success() && output.stdout.is_empty(), "{socket}: {output:?}");
        }
    }
}

// covers: I05
#[test]
fn a_role_that_is_unclear_is_refused_when_the_file_is_read() {
    let machine = Machine::new();
    machine.add_staff();
    let check = |roles: &str| {
        let _verifier = Verifier::prepare(&config(&format!("[roles]\n{roles}\n")));
        let mut command = Command::new(programs::ours("verifierd"));
        let output = command.args(["config", "check", "--config", CONFIG]).output().expect("verifierd");
        (output.status.success(), said(&output))
    };
    let right = ["admin = []", "helpdesk = [\"dora\"]", "admin = [\"ann\"]\nauditor = [\"otto\"]"];
    for roles in right {
        assert!(check(roles).0, "{roles}: {}", check(roles).1);
    }
    let wrong = [
        ("Helpdesk = [\"dora\"]", "Helpdesk"),
        ("operator = [\"dora\"]", "operator"),
        ("super = [\"dora\"]", "super"),
        ("helpdesk = \"dora\"", "helpdesk"),
        ("helpdesk = [\" dora\"]", " dora"),
        ("helpdesk = [\"Dora\"]", "Dora"),
        ("helpdesk = [\"root\"]", "root"),
        ("helpdesk = [\"root\\u0000\"]", "root"),
        ("helpdesk = [\"nobody-here\"]", "nobody-here"),
        ("helpdesk = [\"\"]", "helpdesk"),
        ("helpdesk = [\"dora\"]\nauditor = [\"dora\"]", "dora"),
    ];
    for (roles, word) in wrong {
        let (accepted, words) = check(roles);
        assert!(!accepted, "{roles}: {words}");
        assert!(words.contains(word), "{roles}: names what is wrong: {words}");
    }
}
