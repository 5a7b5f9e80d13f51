//! The disk fails, is full, is read-only, is shared, is gone: no accept without a durable record.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use system_tests::authenticator::Authenticator;
use system_tests::faults::Injector;
use system_tests::flows::activated;
use system_tests::login_socket::Login;
use system_tests::machine::{Machine, run};
use system_tests::verifier::{CONFIG, STATE, Verifier, config, log_text};
use system_tests::{postern, time};
use wire::login::{Next, Verdict};

/// What a login gets, where no answer at all is an answer too.
fn attempt(verifier: &Verifier, phone: &Authenticator) -> Option<Verdict> {
    match Login::by_ssh("alice").attempt(&verifier.code(phone)).ok()?.next {
        Next::Done { verdict, .. } => Some(verdict),
        Next::Ask { .. } => None,
    }
}

// covers: G02, G04
#[test]
fn a_write_that_fails_accepts_nothing_and_is_not_tried_again() {
    let _machine = Machine::new();
    for fault in [
        "fsync,fdatasync:error=EIO",
        "pwrite64:error=EIO",
        "pwrite64:error=EROFS",
        "fsync,fdatasync:error=EROFS",
    ] {
        let mut verifier = Verifier::start();
        let phone = activated(&verifier, "alice");
        let injector = Injector::attach(verifier.id(), fault);
        let before = accepts();
        for _ in 0..3 {
            let answer = attempt(&verifier, &phone);
            assert!(!matches!(answer, Some(Verdict::Allow | Verdict::NotRequired)), "{fault}: {answer:?}");
            verifier.clock.advance(30);
        }
        drop(injector);
        // The disk is well again, but this daemon must not trust what it wrote: it ends, or accepts nothing.
        let answer = attempt(&verifier, &phone);
        assert!(answer != Some(Verdict::Allow), "{fault}: retried until it was acknowledged");
        if verifier.is_running() {
            assert_eq!(accepts(), before, "{fault}");
            verifier.kill();
        } else {
            verifier.wait_for_end();
        }
        verifier.launch();
        verifier.clock.advance(180);
        assert_eq!(attempt(&verifier, &phone), Some(Verdict::Allow), "{fault}: a restart mends it");
        assert!(postern::run(&["audit", "verify"]).status.success(), "{fault}");
    }
}

// covers: G03
#[test]
fn a_full_disk_refuses_and_works_again_once_there_is_room() {
    let _machine = Machine::new();
    let mut verifier = Verifier::prepare(&config(""));
    let _disk = SmallDisk::mount("24m");
    verifier.initialise();
    verifier.launch();
    let phone = activated(&verifier, "alice");
    let mut fillers = Vec::new();
    let mut refused = 0;
    for number in 0..2_000 {
        // Again and again, because the daemon keeps room of its own and frees it when it must.
        if number % 20 == 0 {
            fillers.push(Path::new(STATE).join(format!("filler{number}")));
            fill(&fillers[fillers.len() - 1]);
        }
        match attempt(&verifier, &phone) {
            // What fits into pages that the store already has is still durable.
            Some(Verdict::Allow) => {}
            _ => refused += 1,
        }
        verifier.clock.advance(30);
        if refused >= 3 {
            break;
        }
    }
    assert!(refused >= 3, "a full disk was never noticed");
    for filler in fillers {
        let _ = fs::remove_file(filler);
    }
    if !verifier.is_running() {
        verifier.wait_for_end();
        verifier.launch();
        verifier.clock.advance(180);
    }
    time::wait_for("logins to work again", || {
        verifier.clock.advance(30);
        (attempt(&verifier, &phone) == Some(Verdict::Allow)).then_some(())
    });
    assert!(postern::run(&["audit", "verify"]).status.success());
}

// covers: G04
#[test]
fn a_read_only_disk_keeps_the_daemon_from_starting() {
    let _machine = Machine::new();
    let mut verifier = Verifier::prepare(&config(""));
    let _disk = SmallDisk::mount("8m");
    verifier.initialise();
    run("mount", &["-o", "remount,ro", STATE]);
    verifier.spawn_under(&[]);
    assert!(!verifier.wait_for_end().success(), "{}", log_text());
    run("mount", &["-o", "remount,rw", STATE]);
    verifier.launch();
}

// covers: G05
#[test]
fn a_missing_or_damaged_store_is_not_a_fresh_start() {
    let _machine = Machine::new();
    let mut verifier = Verifier::start();
    let phone = activated(&verifier, "alice");
    assert_eq!(attempt(&verifier, &phone), Some(Verdict::Allow));
    verifier.stop();
    let kept = Path::new("/var/lib/postern-kept");
    run("cp", &["-a", STATE, &kept.display().to_string()]);

    let restore = || {
        fs::remove_dir_all(STATE).expect("removing");
        run("cp", &["-a", &kept.display().to_string(), STATE]);
    };
    let store = Path::new(STATE).join("store");
    let damages: [(&str, &dyn Fn()); 3] = [
        ("missing", &|| fs::remove_file(&store).expect("removing")),
        ("empty", &|| fs::write(&store, b"").expect("emptying")),
        ("rubbish", &|| fs::write(&store, vec![0x5a; 65_536]).expect("overwriting")),
    ];
    for (what, damage) in damages {
        restore();
        damage();
        let before = log_text().len();
        verifier.spawn_under(&[]);
        assert!(!verifier.wait_for_end().success(), "{what}: {}", log_text());
        assert!(log_text().len() > before, "{what}: says why");
    }
    restore();
    verifier.launch();
    verifier.clock.advance(180);
    assert_eq!(attempt(&verifier, &phone), Some(Verdict::Allow));
    fs::remove_dir_all(kept).expect("removing");
}

// covers: I13
#[test]
fn without_a_store_the_daemon_names_the_command_that_makes_one() {
    let _machine = Machine::new();
    let mut verifier = Verifier::prepare(&config(""));
    verifier.initialise();
    fs::remove_dir_all(STATE).expect("removing");
    verifier.spawn_under(&[]);
    let status = verifier.wait_for_end();
    assert_eq!(status.code(), Some(1), "{}", log_text());
    assert!(log_text().contains("postern init"), "{}", log_text());
    assert!(!Path::new(STATE).exists(), "it makes none by itself");
}

// covers: G09
#[test]
fn a_second_daemon_on_the_same_store_refuses() {
    let _machine = Machine::new();
    let mut verifier = Verifier::start();
    let phone = activated(&verifier, "alice");
    let other = "/run/postern-rig/other.toml";
    let elsewhere = "/run/postern-rig/bound";
    fs::create_dir_all(elsewhere).expect("a mount point");
    run("mount", &["--bind", STATE, elsewhere]);
    for state in [STATE, elsewhere] {
        let text = fs::read_to_string(CONFIG).expect("the configuration");
        let sockets =
            "[sockets]\nlogin = \"/run/postern-2/login.sock\"\nadmin = \"/run/postern-2/admin.sock\"\n";
        fs::write(other, format!("state_dir = \"{state}\"\n{text}{sockets}")).expect("the configuration");
        let mut second = Command::new(system_tests::programs::ours("verifierd"));
        second
            .args(["run", "--config", other])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut second = second.spawn().expect("verifierd");
        let ended = time::wait_at_most(Duration::from_secs(10), || second.try_wait().expect("verifierd"));
        let _ = second.kill();
        let output = second.wait_with_output().expect("verifierd");
        assert!(ended.is_some_and(|status| !status.success()), "{state}: {ended:?} {output:?}");
    }
    run("umount", &[elsewhere]);
    assert!(verifier.is_running());
    assert_eq!(attempt(&verifier, &phone), Some(Verdict::Allow), "the first one is not disturbed");
}

/// How many logins were accepted; 0 when the daemon does not say.
fn accepts() -> u64 {
    let output = postern::run(&["--json", "status"]);
    let status: Option<wire::admin::Status> = serde_json::from_slice(&output.stdout).ok();
    status.map_or(0, |status| status.accepted)
}

/// A small file system where the state lies.
struct SmallDisk;

impl SmallDisk {
    fn mount(size: &str) -> Self {
        fs::create_dir_all(STATE).expect("the state's folder");
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "postern-small", STATE]);
        Self
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy", STATE]).status();
    }
}

/// Writes until there is no room for one more byte.
fn fill(path: &Path) {
    // With no room for a file, there is none for a byte.
    let Ok(mut file) = fs::File::create(path) else { return };
    let mut size = 64 * 1024;
    while size > 0 {
        if file.write_all(&vec![0; size]).is_err() {
            size /= 2;
        }
    }
}
