//! Nobody but root can put a socket where the module asks, or answer on it.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;

use pam_harness::application::{Outcome, Transaction};
use pam_harness::code::{AUTHINFO_UNAVAIL, SUCCESS, SYSTEM_ERR};
use pam_harness::process::{become_user, listen};
use pam_harness::site::{Site, module, set_mode};
use pam_harness::stub::{Stub, usual_answer};

/// An unprivileged user of every distribution: `nobody`.
const NOBODY: u32 = 65534;

/// A service that asks on `socket`, even where the verifier being unavailable would not matter.
fn login(site: &Site, socket: &Path) -> Outcome {
    let line = format!("auth required {} socket={} fail=open\n", site.module().display(), socket.display());
    site.write_service(&line);
    Transaction::default().typing(site.folder(), b"123456")
}

/// A login through a tree that `plant` has changed: refused as a matter of trust, and the stub not asked.
fn check(problem: &str, plant: impl FnOnce(&Site, &Path) -> PathBuf) {
    let site = Site::empty();
    let folder = site.folder().join("run");
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o755);
    let stub = Stub::usual(&folder.join("login.sock"));
    assert_eq!(login(&site, &folder.join("login.sock")).code, SUCCESS, "before it is changed");
    let asked = stub.requests().len();
    let socket = plant(&site, &folder);
    let outcome = login(&site, &socket);
    assert_eq!(outcome.code, SYSTEM_ERR, "{:?}", outcome.log);
    let log = outcome.log.concat();
    assert!(log.contains("reason=untrusted-path") && log.ends_with(problem), "{log}");
    assert_eq!(stub.requests().len(), asked, "the stub was asked");
}

// covers: E02
#[test]
fn a_folder_of_another_owner_is_not_trusted() {
    check("/run:not-owned-by-root", |_, folder| {
        chown(folder, Some(NOBODY), None).unwrap();
        folder.join("login.sock")
    });
}

// covers: E02
#[test]
fn a_folder_that_others_may_write_to_is_not_trusted_even_if_sticky() {
    for mode in [0o775, 0o757, 0o1777] {
        check("/run:writable-by-others", |_, folder| {
            set_mode(folder, mode);
            folder.join("login.sock")
        });
    }
}

// covers: E02
#[test]
fn a_socket_of_another_owner_or_writable_by_others_is_not_trusted() {
    check("/login.sock:not-owned-by-root", |_, folder| {
        let socket = folder.join("login.sock");
        chown(&socket, Some(NOBODY), None).unwrap();
        socket
    });
    check("/login.sock:writable-by-others", |_, folder| {
        let socket = folder.join("login.sock");
        set_mode(&socket, 0o777);
        socket
    });
}

// covers: E02
#[test]
fn symbolic_links_are_not_followed() {
    check("/linked.sock:not-a-socket", |_, folder| {
        symlink(folder.join("login.sock"), folder.join("linked.sock")).unwrap();
        folder.join("linked.sock")
    });
    check("/linked:not-a-directory", |site, folder| {
        symlink(folder, site.folder().join("linked")).unwrap();
        site.folder().join("linked/login.sock")
    });
}

// covers: E02, E25
#[test]
fn what_is_not_a_socket_is_not_opened() {
    check("/file:not-a-socket", |_, folder| {
        fs::write(folder.join("file"), "").unwrap();
        folder.join("file")
    });
    check("/run:not-a-socket", |_, folder| folder.to_owned());
    check("/fifo:not-a-socket", |_, folder| {
        let fifo = folder.join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        fifo
    });
}

// covers: E02
#[test]
fn a_listener_of_another_user_on_roots_socket_is_not_believed() {
    let site = Site::empty();
    let path = site.socket();
    let (bound, ready) = mpsc::channel();
    let their_path = path.clone();
    // The kernel notes who listens; here that is a thread which is not root any more.
    std::thread::spawn(move || {
        let listener = UnixListener::bind(&their_path).unwrap();
        become_user(NOBODY);
        listen(&listener, 8);
        bound.send(listener).unwrap();
    });
    let stub = Stub::serve(&path, ready.recv().unwrap(), |_, _| unreachable!("nothing is sent"));
    let outcome = login(&site, &path);
    assert_eq!(outcome.code, SYSTEM_ERR);
    assert!(
        outcome.log.concat().ends_with("reason=untrusted-peer reference=- detail=uid:65534"),
        "{:?}",
        outcome.log
    );
    assert!(stub.requests().is_empty());
}

// covers: E02
#[test]
fn an_abstract_socket_of_the_same_name_is_not_used() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    let site = Site::new("");
    let name = SocketAddr::from_abstract_name(site.socket().as_os_str().as_encoded_bytes()).unwrap();
    let _planted = UnixListener::bind_addr(&name).unwrap();
    let outcome = Transaction::default().typing(site.folder(), b"123456");
    assert_eq!(outcome.code, AUTHINFO_UNAVAIL);
}

// covers: E05
#[test]
fn root_of_a_user_namespace_is_not_root() {
    let site = Site::empty();
    let socket = site.socket();
    let copy = |from: &Path, name: &str| {
        let to = site.folder().join(name);
        fs::copy(from, &to).unwrap();
        to
    };
    let program = copy(Path::new(env!("CARGO_BIN_EXE_pam-login")), "pam-login");
    let module = copy(&module(), "module.so");
    set_mode(&program, 0o755);
    site.write_service(&format!("auth required {} socket={}\n", module.display(), socket.display()));
    let stub = Stub::answering(&socket, usual_answer);
    set_mode(&socket, 0o755);
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "--user", "--map-root-user"])
        .args([program.as_os_str(), site.folder().as_os_str(), "once".as_ref()])
        .output()
        .unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(
        report.starts_with("code 4\n") && report.contains("untrusted-path"),
        "{report} {:?}",
        output.stderr
    );
    assert!(stub.requests().is_empty());
}
