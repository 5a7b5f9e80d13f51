//! What whoever is not let in can learn: that something answers, and no more.

use std::process::Command;

use system_tests::agent::{enrol, fleet_section, verifier};
use system_tests::api;
use system_tests::flows::associated;
use system_tests::fob::Fob;
use system_tests::machine::{BOB, Machine};
use system_tests::verifier::Verifier;

/// The verifier's address.
const VERIFIER: &str = "127.0.0.1";

/// What monitoring, scanners and curious people ask for.
const PATHS: [&str; 16] = [
    "/",
    "/metrics",
    "/v1/metrics",
    "/health",
    "/healthz",
    "/v1/health",
    "/version",
    "/v1/status",
    "/v1/users",
    "/v1/users/alice",
    "/v1/users/nobody",
    "/v1/hosts",
    "/v1/hosts/web1",
    "/v1/audit",
    "/v1/login/begin",
    "/..%2f..%2fetc/passwd",
];

/// What a stranger is told, with all headers, without what repeats his own question and without the time.
fn told(from: &mut Command, place: &str, path: &str) -> String {
    let curl = from.args(["--silent", "--include", "--insecure", "--path-as-is", "--max-time", "25"]);
    let output = curl.arg(format!("{place}{path}")).output().expect("curl");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
    lines.collect::<Vec<_>>().join("\n").replace(path, "PATH")
}

// covers: I15
#[test]
fn strangers_learn_nothing_from_what_refuses_them() {
    let machine = Machine::new();
    let mut daemon = Verifier::prepare(&format!("{}{}", api::plain(), fleet_section(&[VERIFIER])));
    api::write_key(api::KEY);
    daemon.initialise();
    daemon.launch();
    associated(&mut Fob::with_button("4400000001"), "alice");
    enrol("web1", &["--group", "web"]);
    let user_socket = || {
        let mut curl = machine.as_user(BOB, "/usr/bin/curl");
        curl.args(["--unix-socket", wire::USER_SOCKET]);
        curl
    };
    let network = || Command::new("curl");
    let places: [(&str, String, &dyn Fn() -> Command); 3] = [
        ("the API", format!("http://{}", api::ADDRESS), &network),
        ("the fleet", verifier(VERIFIER), &network),
        ("the user socket", "http://localhost".into(), &user_socket),
    ];
    for (name, place, curl) in places {
        for path in PATHS {
            let said = told(&mut curl(), &place, path).to_ascii_lowercase();
            let status = said.split_ascii_whitespace().nth(1).unwrap_or_default();
            assert!(matches!(status, "401" | "403" | "404" | "405"), "{name}, {path}: {said}");
            for secret in
                ["alice", "web1", "4400000001", env!("CARGO_PKG_VERSION"), "server:", "hyper", "verifierd"]
            {
                assert!(!said.contains(secret), "{name}, {path} tells {secret}: {said}");
            }
        }
        // Who is there and who is not look alike.
        let [there, not_there] =
            ["/v1/users/alice", "/v1/users/nobody"].map(|path| told(&mut curl(), &place, path));
        assert_eq!(there, not_there, "{name}");
    }
}
