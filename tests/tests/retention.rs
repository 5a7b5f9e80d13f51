//! Old records go, the chain holds, and what was kept of it elsewhere is still judged right.

use std::fs;

use system_tests::authenticator::Authenticator;
use system_tests::flows::activated;
use system_tests::fob::Fob;
use system_tests::login_socket::Login;
use system_tests::machine::{Machine, folder};
use system_tests::postern;
use system_tests::time::wait_for;
use system_tests::verifier::{Verifier, config};
use wire::admin::{AuditCheck, AuditPage, AuditRecord, WitnessCheck};
use wire::login::Verdict;

/// Exit status where there is no such thing.
const NOT_FOUND: i32 = 4;

// covers: P7
#[test]
fn old_logins_go_and_the_rest_can_be_shown_explained_and_verified() {
    let _machine = Machine::new();
    let mut verifier = Verifier::prepare(&config("[audit]\nretention.login = \"2h\"\n")).with_stepped_waits();
    verifier.initialise();
    verifier.launch();
    let phone = activated(&verifier, "alice");
    log_in(&verifier, &phone, 30);
    // The newest record stays, and the removal may begin before the next login: it is none of a login.
    postern::add_token(&Fob::with_button("8800000001"), None);
    let before = show();
    let old =
        before.iter().rfind(|record| record.event == "login").expect("there are logins").reference.clone();
    assert!(postern::run(&["explain", &old]).status.success());
    let witness = folder().join("checkpoint");
    let check: AuditCheck = postern::ask(&["audit", "verify"]);
    assert_eq!((check.whole, check.removed, check.records), (true, 0, before.len() as u64));
    fs::write(&witness, check.checkpoint.expect("all is well")).expect("a file");

    // Past the next run.
    verifier.clock.advance(7 * 3_600);
    log_in(&verifier, &phone, 3);
    let told = wait_for("the end of the removal", || {
        show().into_iter().find(|record| record.event == "audit_expired")
    });
    let old_logins = before.iter().filter(|record| record.event == "login").count() as u64;
    assert!(
        told.detail.as_ref().is_some_and(|detail| detail.ends_with(&format!(": {old_logins} records"))),
        "{told:?}"
    );

    for what in ["after the removal", "after a crash", "after a stop"] {
        let left = show();
        let logins: Vec<u64> =
            left.iter().filter(|record| record.event == "login").map(|record| record.sequence).collect();
        assert_eq!(logins.len(), 3, "{what}");
        let stays = |record: &&AuditRecord| record.event != "login";
        assert!(
            before
                .iter()
                .filter(stays)
                .all(|kept| left.iter().any(|record| record.sequence == kept.sequence)),
            "{what}"
        );
        assert_eq!(
            newest(3).iter().map(|record| record.sequence).collect::<Vec<_>>(),
            last(&left, 3),
            "{what}"
        );
        assert_eq!(postern::run(&["explain", &old]).status.code(), Some(NOT_FOUND), "{what}");
        let witness = witness.display().to_string();
        let check: AuditCheck = postern::ask(&["audit", "verify", "--witness", &witness]);
        assert_eq!(
            (check.whole, check.removed, check.witness),
            (true, old_logins, Some(WitnessCheck::Held)),
            "{what}"
        );
        assert_eq!(check.records, left.len() as u64, "{what}");
        if what == "after the removal" {
            verifier.crash_and_return();
        } else {
            assert!(verifier.stop().success());
            verifier.launch();
        }
    }
}

fn log_in(verifier: &Verifier, phone: &Authenticator, times: usize) {
    for _ in 0..times {
        let code = verifier.next_code(phone);
        assert_eq!(Login::by_ssh("alice").verdict(&code), Verdict::Allow);
    }
}

/// The whole trail.
fn show() -> Vec<AuditRecord> {
    let page: AuditPage = postern::ask(&["audit", "show", "--after", "0", "--limit", "100000"]);
    page.items
}

/// The newest records, as somebody asks for them who knows no number.
fn newest(count: usize) -> Vec<AuditRecord> {
    let page: AuditPage = postern::ask(&["audit", "show", "--limit", &count.to_string()]);
    page.items
}

fn last(records: &[AuditRecord], count: usize) -> Vec<u64> {
    records[records.len() - count..].iter().map(|record| record.sequence).collect()
}
