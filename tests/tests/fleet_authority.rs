//! Hosts that a site's own authority signs, and what a change of the authority costs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use system_tests::agent::{Agent, enrol, fleet_section, verifier};
use system_tests::flows::associated;
use system_tests::fob::Fob;
use system_tests::login_socket::{exchange, random_id};
use system_tests::machine::{Machine, folder, run};
use system_tests::verifier::{Verifier, config};
use wire::verify::VERIFY_PATH;

/// Where the verifier is.
const VERIFIER: &str = "127.0.0.1";

/// Where the site's intermediate and its key lie.
const CERTIFICATE_FILE: &str = "/etc/postern/fleet-ca.pem";
const PRIVATE_KEY_FILE: &str = "/etc/postern/fleet-ca-key.pem";

/// A site's root, and an intermediate for the fleet, as `openssl` makes them.
fn make_intermediate(name: &str) {
    let path = |file: &str| folder().join(file).display().to_string();
    let (root, root_key, asked, more) = (path("root.pem"), path("root.key"), path("asked.pem"), path("more"));
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes"];
    let new_root = ["-days", "30", "-subj", "/CN=The site", "-keyout", &root_key, "-out", &root];
    run("openssl", &[&["req", "-x509"][..], &key, &new_root].concat());
    let subject = format!("/CN={name}");
    let asking = ["-subj", &subject, "-keyout", PRIVATE_KEY_FILE, "-out", &asked];
    run("openssl", &[&["req", "-new"][..], &key, &asking].concat());
    fs::write(&more, "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n")
        .expect("extensions");
    let signing = ["-CA", &root, "-CAkey", &root_key, "-CAcreateserial", "-days", "20", "-extfile", &more];
    run("openssl", &[&["x509", "-req", "-in", &asked, "-out", CERTIFICATE_FILE][..], &signing].concat());
    fs::set_permissions(PRIVATE_KEY_FILE, fs::Permissions::from_mode(0o600)).expect("the key");
}

fn site_config() -> String {
    let files = format!(
        "ca_certificate_file = \"{CERTIFICATE_FILE}\"\nca_private_key_file = \"{PRIVATE_KEY_FILE}\"\n"
    );
    config(&format!("{}{files}", fleet_section(&[VERIFIER])))
}

fn is_allowed(agent: &Agent, user: &str, code: &str) -> bool {
    let asked =
        json!({"request_id": random_id().expect("an id"), "user": user, "service": "sshd", "code": code});
    let answer = exchange(agent.socket(), VERIFY_PATH, asked.to_string().as_bytes());
    answer.is_ok_and(|answer| String::from_utf8_lossy(&answer).contains("\"allow\""))
}

/// Who signed what the agent shows, as `openssl` reads it.
fn issuer(agent: &Agent) -> String {
    let identity = agent.state().join("identity.pem").display().to_string();
    run("openssl", &["x509", "-in", &identity, "-noout", "-issuer"])
}

// covers: F02, F12
#[test]
fn hosts_join_a_sites_authority_and_after_a_change_of_it_have_to_join_again() {
    let machine = Machine::new();
    let mut daemon = Verifier::prepare(&site_config());
    make_intermediate("Fleet of the site");
    daemon.initialise();
    daemon.launch();
    machine.add_bare_users("user", 1);
    let mut fob = Fob::with_button("4500000001");
    associated(&mut fob, "user0");
    let mut agent = Agent::beside("web1");
    agent.join(&[verifier(VERIFIER)], &enrol("web1", &[]));
    assert!(issuer(&agent).contains("Fleet of the site"));
    agent.launch_ready();
    assert!(is_allowed(&agent, "user0", &fob.press()));

    daemon.stop();
    daemon.launch();
    agent.wait_until_connected();
    assert!(is_allowed(&agent, "user0", &fob.press()), "after a restart of the verifier");

    daemon.stop();
    make_intermediate("Next fleet of the site");
    daemon.launch();
    assert!(!is_allowed(&agent, "user0", &fob.press()), "the agent does not know the next authority");
    agent.join(&[verifier(VERIFIER)], &enrol("web1", &["--again"]));
    assert!(issuer(&agent).contains("Next fleet of the site"));
    agent.stop();
    agent.launch_ready();
    assert!(is_allowed(&agent, "user0", &fob.press()));
}
