//! A panic in any function of the module is a refusal, never the end of the program, never a login; where nothing is
//! decided, it is nothing.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use pam_harness::site::{Site, fault_module};
use pam_harness::stub::{Stub, ask, done, ok, reply};
use serde_json::{Value, json};

/// The names in `fault_point!("...")` under `folder`.
fn fault_points(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(fault_points(&path));
        } else {
            let text = fs::read_to_string(&path).unwrap();
            let points = text.split("fault_point!(\"").skip(1);
            names.extend(points.filter_map(|rest| rest.split('"').next()).map(String::from));
        }
    }
    names
}

/// Functions that tell of a session, and never refuse one.
const TELLING: [&str; 11] = [
    "open_session",
    "close_session",
    "session::open",
    "session::close",
    "session::without_recorder",
    "recorder::run",
    "recorder::command",
    "recorder::wait",
    "recorder::end",
    "verifier::report",
    "http::encode_report",
];

/// Recorders: one that does what it should, one that says that it does not record, and one that says nothing in time.
const RECORDERS: [(&str, &str); 3] = [("works", "exit 0"), ("fails", "exit 1"), ("hangs", "exec sleep 60")];

fn install_recorders() {
    fs::create_dir_all(wire::session::RECORDERS).unwrap();
    for (name, does) in RECORDERS {
        let path = format!("{}/{name}", wire::session::RECORDERS);
        fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// What the verifier says of a session, so that the module comes to a function.
fn recording(fault: &str) -> Value {
    let name = match fault {
        "session::without_recorder" => "fails",
        "recorder::end" => "hangs",
        _ => "works",
    };
    let command = format!("{}/{name}", wire::session::RECORDERS);
    json!({ "by": { "command": [command], "on_failure": "continue" } })
}

// covers: E16, R10
#[test]
fn a_panic_in_any_function_is_a_system_error_unless_it_only_tells_of_a_session() {
    let site = Site::with_module(&fault_module());
    let line = site.module_line("");
    site.write_service(
        &["auth", "account", "session"].map(|kind| format!("{kind} required {line}\n")).concat(),
    );
    install_recorders();
    let chosen = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&chosen);
    let _stub = Stub::answering(&site.socket(), move |request| {
        if request.path.starts_with("/v1/session/") {
            let mut answer = request.body.clone();
            answer["recording"] = recording(&shared.lock().unwrap());
            return ok(&answer);
        }
        let begins = request.path == wire::login::BEGIN_PATH;
        ok(&reply(request, &["text"], if begins { ask("? ", false) } else { done("allow") }))
    });
    let run = |fault: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pam-login"));
        command.arg(site.folder()).arg("session").env("POSTERN_FAULT", fault).env("RUST_BACKTRACE", "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{fault}: {output:?}");
        assert!(output.stderr.is_empty(), "{fault}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run("none").starts_with("code 0\n"), "without a fault the build works");
    let names = fault_points(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pam-module/src"));
    assert!(names.len() >= 20, "{names:?}");
    assert!(TELLING.iter().all(|name| names.contains(*name)), "{names:?}");
    for name in names {
        chosen.lock().unwrap().clone_from(&name);
        let text = run(&name);
        let expected = if TELLING.contains(&name.as_str()) { "code 0\n" } else { "code 4\n" };
        assert!(text.starts_with(expected) && text.contains("reason=panic"), "{name}: {text}");
    }
}
