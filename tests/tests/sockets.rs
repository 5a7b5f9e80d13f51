//! Who may speak to the daemon: root of this machine, whatever the modes of the sockets.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Output};

use system_tests::flows::activated;
use system_tests::login_socket::Login;
use system_tests::machine::{BOB, Machine, folder};
use system_tests::verifier::{RUN, Verifier};
use system_tests::{postern, programs, time};
use wire::login::Verdict;

const SOCKETS: [&str; 2] = [wire::LOGIN_SOCKET, wire::ADMIN_SOCKET];

// covers: E03
#[test]
fn another_user_gets_no_answer_whatever_the_modes() {
    let machine = Machine::new();
    let verifier = Verifier::start();
    let phone = activated(&verifier, "alice");
    for socket in SOCKETS {
        let state = fs::metadata(socket).expect("the socket");
        assert_eq!((state.mode() & 0o777, state.uid()), (0o600, 0), "{socket}");
        assert_refused(&as_bob(&machine, &[], socket));
    }
    for path in [RUN, SOCKETS[0], SOCKETS[1]] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("loosening");
    }
    for socket in SOCKETS {
        assert_refused(&as_bob(&machine, &[], socket));
    }
    assert!(postern::user("alice").activated, "bob changed nothing");
    fs::set_permissions(RUN, fs::Permissions::from_mode(0o755)).expect("restoring");
    assert_eq!(Login::by_ssh("alice").verdict(&verifier.code(&phone)), Verdict::Allow);
}

// covers: E05
#[test]
fn root_of_another_user_name_space_is_not_root() {
    let machine = Machine::new();
    let _verifier = Verifier::start();
    for path in [RUN, SOCKETS[0], SOCKETS[1]] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("loosening");
    }
    let mut who = machine.as_user(BOB, "unshare");
    let who = who.args(["--user", "--map-root-user", "id", "-u"]).output().expect("unshare");
    assert_eq!(String::from_utf8_lossy(&who.stdout).trim(), "0", "{who:?}");
    for socket in SOCKETS {
        assert_refused(&as_bob(&machine, &["unshare", "--user", "--map-root-user", "--"], socket));
    }
}

// covers: G10
#[test]
fn stale_sockets_and_a_wiped_folder_need_no_hand() {
    let _machine = Machine::new();
    let mut verifier = Verifier::start();
    let phone = activated(&verifier, "alice");
    verifier.kill();
    for socket in SOCKETS {
        assert!(fs::metadata(socket).expect("left over").file_type().is_socket());
    }
    verifier.launch();
    verifier.stop();
    fs::remove_dir_all(RUN).expect("wiping");
    verifier.launch();
    verifier.clock.advance(180);
    assert_eq!(Login::by_ssh("alice").verdict(&verifier.code(&phone)), Verdict::Allow);

    // Wiped while it runs: it makes the sockets anew by itself, or ends so that its supervisor starts it.
    fs::remove_dir_all(RUN).expect("wiping");
    let back = time::wait_at_most(time::PATIENCE, || {
        if !verifier.is_running() {
            return Some(false);
        }
        SOCKETS.iter().all(|socket| fs::metadata(socket).is_ok()).then_some(true)
    });
    match back {
        Some(true) => {}
        Some(false) => {
            verifier.wait_for_end();
            verifier.launch();
        }
        None => panic!("the daemon runs on without sockets: nobody can log in until a person restarts it"),
    }
    verifier.clock.advance(180);
    assert_eq!(Login::by_ssh("alice").verdict(&verifier.code(&phone)), Verdict::Allow);
}

/// The command `postern` run by bob against a socket, under other programs.
fn as_bob(machine: &Machine, wrappers: &[&str], socket: &str) -> Output {
    // The build's folder may be closed to bob; a refusal must be the daemon's.
    let program = folder().join("postern");
    fs::copy(programs::ours("postern"), &program).expect("copying postern");
    let program = program.display().to_string();
    let line = [wrappers, &[program.as_str(), "--socket", socket, "status"]].concat();
    let mut command: Command = machine.as_user(BOB, line[0]);
    command.args(&line[1..]).output().expect("postern")
}

#[track_caller]
fn assert_refused(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(!said.contains("panicked") && !said.contains("No such file"), "refused, not broken: {said}");
}
