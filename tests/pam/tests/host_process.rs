//! The program that loads the module keeps its descriptors, signals, threads, memory and environment.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use pam_harness::process::{descriptors, peer_pid};
use pam_harness::site::{Site, set_mode};
use pam_harness::stub::{Stub, ask, ok, reply, usual_answer};

/// The process that logs in.
fn program(site: &Site, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pam-login"));
    command.arg(site.folder()).args(words);
    command
}

fn report(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

// covers: E15, E26
#[test]
fn sixteen_threads_of_logins_change_nothing_in_their_process() {
    let site = Site::new("");
    let _stub = Stub::usual(&site.socket());
    let text = report(&program(&site, &["threads", "16", "100"]).env_clear().output().unwrap());
    let grown = text.lines().find_map(|line| line.strip_prefix("grown ")).unwrap();
    assert!(grown.parse::<u64>().unwrap() < 1024, "{grown} KiB more after 1600 further logins");
}

// covers: E15
#[test]
fn signals_that_interrupt_every_call_change_no_result() {
    let site = Site::new("");
    let _stub = Stub::start(&site.socket(), |request, mut stream| {
        for byte in usual_answer(request) {
            stream.write_all(&[byte]).unwrap();
            std::thread::yield_now();
        }
        None
    });
    let text = report(&program(&site, &["signals"]).output().unwrap());
    assert!(text.starts_with("code 0\n"), "{text}");
}

// covers: E15
#[test]
fn a_verifier_that_hangs_up_raises_no_sigpipe() {
    let site = Site::new("timeout=1s");
    let listener = std::os::unix::net::UnixListener::bind(site.socket()).unwrap();
    set_mode(&site.socket(), 0o600);
    // Closes each connection before the request is read.
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            drop(stream);
        }
    });
    for _ in 0..20 {
        let text = report(&program(&site, &["once"]).output().unwrap());
        assert!(text.starts_with("code 9\n"), "{text}");
    }
}

// covers: E19
#[test]
fn the_environment_has_no_effect() {
    let site = Site::new("");
    let _stub = Stub::usual(&site.socket());
    let plain = report(&program(&site, &["once"]).env_clear().output().unwrap());
    assert!(plain.starts_with("code 0\n"), "{plain}");
    let names = [
        "http_proxy",
        "HTTPS_PROXY",
        "SSL_CERT_FILE",
        "HOME",
        "XDG_CONFIG_HOME",
        "RUST_LOG",
        "RUST_BACKTRACE",
        "RUST_LIB_BACKTRACE",
        "RUST_MIN_STACK",
        "TZ",
        "LANG",
        "LC_ALL",
        "OTP_SOCKET",
        "POSTERN_SOCKET",
        "POSTERN_CONFIG",
        "POSTERN_FAULT",
        "SSH_CONNECTION",
        "MALLOC_ARENA_MAX",
        "LD_BIND_NOW",
    ];
    for value in ["1", "/nonexistent", "full", "authenticate"] {
        let odd =
            program(&site, &["once"]).env_clear().envs(names.map(|name| (name, value))).output().unwrap();
        assert_eq!(report(&odd), plain, "{value}");
        assert!(odd.stderr.is_empty());
    }
}

// covers: E20
#[test]
fn closed_standard_streams_stay_closed_while_the_module_talks() {
    let site = Site::new("");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let _stub = Stub::start(&site.socket(), move |request, mut stream| {
        kept.lock().unwrap().push(descriptors(&format!("/proc/{}/fd", peer_pid(&stream))));
        stream.write_all(&usual_answer(request)).unwrap();
        None
    });
    let out = site.folder().join("out");
    let status = program(&site, &["closed-stdio", out.to_str().unwrap()]).status().unwrap();
    assert!(status.success());
    let text = fs::read_to_string(out).unwrap();
    assert!(text.starts_with("code 0\n") && text.ends_with("same true\n"), "{text}");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    for open in seen.concat() {
        assert!(!["0 ", "1 ", "2 "].iter().any(|number| open.starts_with(number)), "{open}");
    }
}

// covers: E20
#[test]
fn the_module_prints_nothing() {
    let site = Site::new("debug");
    let _stub = Stub::usual(&site.socket());
    let output = program(&site, &["once"]).stdin(Stdio::null()).env("RUST_BACKTRACE", "1").output().unwrap();
    let text = report(&output);
    assert!(text.lines().all(|line| line.starts_with("code ") || line.starts_with("log ")), "{text}");
    assert!(output.stderr.is_empty());
}

// covers: E26
#[test]
fn the_connection_is_closed_on_exec_and_gone_while_the_user_types() {
    let site = Site::new("");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let _stub = Stub::start(&site.socket(), move |request, mut stream| {
        let pid = peer_pid(&stream);
        let sockets = descriptors(&format!("/proc/{pid}/fd"));
        let numbers =
            sockets.iter().filter(|open| open.contains("socket:")).filter_map(|open| open.split(' ').next());
        let flags = numbers.map(|number| fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap());
        kept.lock().unwrap().push(flags.collect::<Vec<_>>());
        stream.write_all(&usual_answer(request)).unwrap();
        None
    });
    report(&program(&site, &["once"]).output().unwrap());
    for sockets in seen.lock().unwrap().iter() {
        assert_eq!(sockets.len(), 1, "one connection at a time");
        let flags = sockets[0].lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        assert_ne!(u32::from_str_radix(flags, 8).unwrap() & 0o2_000_000, 0, "O_CLOEXEC");
    }
}

// covers: E16
#[test]
fn little_memory_is_a_system_error_and_never_an_abort() {
    let site = Site::new("");
    let text = "x".repeat(16 * 1024);
    let _stub = Stub::answering(&site.socket(), move |request| {
        let first = request.path == wire::login::BEGIN_PATH;
        if first { ok(&reply(request, &[text.as_str(); 3], ask("? ", false))) } else { usual_answer(request) }
    });
    let mut codes = Vec::new();
    for kib in (0..3072).step_by(192) {
        let output = program(&site, &["memory", &(kib * 1024).to_string()]).output().unwrap();
        let text = report(&output);
        codes.push(text.lines().next().unwrap().to_owned());
    }
    assert!(codes.iter().all(|code| code == "code 0" || code == "code 4"), "{codes:?}");
    assert_eq!((codes[0].as_str(), codes.last().unwrap().as_str()), ("code 4", "code 0"));
}

// covers: E15
#[test]
fn a_process_without_free_descriptors_gets_a_system_error() {
    let site = Site::new("fail=open");
    let _stub = Stub::usual(&site.socket());
    let text = report(&program(&site, &["no-descriptors"]).output().unwrap());
    assert!(text.starts_with("code 4\n") && text.contains("reason=system-error"), "{text}");
}

// covers: E16
#[test]
fn a_stack_of_64_kib_is_enough() {
    let site = Site::new("debug");
    let _stub = Stub::usual(&site.socket());
    let text = report(&program(&site, &["stack", "65536"]).output().unwrap());
    assert!(text.starts_with("code 0\n"), "{text}");
}
