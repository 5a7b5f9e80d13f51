//! A panic in any function of the module is a refusal, never the end of the program, never a login; where nothing is
//! decided, it is nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use pam_harness::site::{Site, fault_module};
use pam_harness::stub::{Stub, ask, done, ok, reply};

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
const TELLING: [&str; 6] = [
    "open_session",
    "close_session",
    "session::open",
    "session::close",
    "verifier::report",
    "http::encode_report",
];

/// Whether nothing comes to it where no program records, as here.
fn is_of_recorders(name: &str) -> bool {
    name.starts_with("recorder::") || name == "session::without_recorder"
}

// covers: E16, R10
#[test]
fn a_panic_in_any_function_is_a_system_error_unless_it_only_tells_of_a_session() {
    let site = Site::with_module(&fault_module());
    let line = site.module_line("");
    site.write_service(
        &["auth", "account", "session"].map(|kind| format!("{kind} required {line}\n")).concat(),
    );
    let _stub = Stub::answering(&site.socket(), |request| {
        if request.path.starts_with("/v1/session/") {
            return ok(&request.body);
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
        let text = run(&name);
        if is_of_recorders(&name) {
            assert!(text.starts_with("code 0\n") && !text.contains("reason=panic"), "{name}: {text}");
            continue;
        }
        let expected = if TELLING.contains(&name.as_str()) { "code 0\n" } else { "code 4\n" };
        assert!(text.starts_with(expected) && text.contains("reason=panic"), "{name}: {text}");
    }
}
