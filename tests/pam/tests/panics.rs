//! A panic in any function of the module is a refusal, never the end of the program, never a login.

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

// covers: E16
#[test]
fn a_panic_in_any_function_is_a_system_error() {
    let site = Site::with_module(&fault_module());
    let line = site.module_line("");
    site.write_service(&format!("auth required {line}\naccount required {line}\n"));
    let _stub = Stub::answering(&site.socket(), |request| {
        let begins = request.path == wire::login::BEGIN_PATH;
        ok(&reply(request, &["text"], if begins { ask("? ", false) } else { done("allow") }))
    });
    let run = |fault: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pam-login"));
        command.arg(site.folder()).arg("once").env("POSTERN_FAULT", fault).env("RUST_BACKTRACE", "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{fault}: {output:?}");
        assert!(output.stderr.is_empty(), "{fault}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run("none").starts_with("code 0\n"), "without a fault the build works");
    let names = fault_points(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pam-module/src"));
    assert!(names.len() >= 20, "{names:?}");
    for name in names {
        let text = run(&name);
        assert!(text.starts_with("code 4\n") && text.contains("reason=panic"), "{name}: {text}");
    }
}
