//! The password of an hour for every host: two administrators, two hosts that are cut off.

use system_tests::agent::fleet_section;
use system_tests::cut_off::{ADDRESS, CutOffHost, issue};
use system_tests::flows::associated;
use system_tests::fob::Fob;
use system_tests::machine::{ALICE, ANN, Account, BOB, DORA, Machine, OTTO};
use system_tests::postern::{self, NOT_ALLOWED, said};
use system_tests::time::wait_for;
use system_tests::verifier::{Verifier, config};
use wire::admin::SteppedUniversal;

const ROLES: &str = "[roles]\nadmin = [\"ann\", \"dora\"]\nhelpdesk = [\"otto\"]\n";

fn step(machine: &Machine, account: Account, verb: &str) -> SteppedUniversal {
    let output =
        postern::run_by(machine, account, &["offline", "universal", verb, "--json", "--why", "a flood"], "");
    assert!(output.status.success(), "{verb} by {}: {}", account.name, said(&output));
    serde_json::from_slice(&output.stdout).expect("what it came to")
}

fn refused(machine: &Machine, account: Account, verb: &str) {
    let output = postern::run_by(machine, account, &["offline", "universal", verb], "");
    assert_eq!(output.status.code(), Some(NOT_ALLOWED), "{verb} by {}: {}", account.name, said(&output));
}

// covers: N8, D10, D11
#[test]
fn a_universal_password_opens_two_hosts_until_its_hour_ends_and_not_the_next() {
    let machine = Machine::new();
    machine.add_staff();
    let verifier = Verifier::start_with(&config(&format!("{ROLES}{}", fleet_section(&[ADDRESS]))));
    let clock = &verifier.clock;
    for (name, role) in [("ann", "admin"), ("dora", "admin")] {
        let address = format!("{name}@example.org");
        postern::done(&["person", "add", name, "--email", &address, "--role", role]);
    }
    let mut fob = Fob::with_button("7900000001");
    associated(&mut fob, "alice");
    let mut hosts =
        [(1, "web1"), (2, "web2")].map(|(number, name)| CutOffHost::start(number, name, clock, None));
    for verb in ["enable", "release", "disable"] {
        refused(&machine, OTTO, verb);
        refused(&machine, ALICE, verb);
    }
    let output = postern::run(&["offline", "universal", "enable"]);
    assert_eq!(output.status.code(), Some(NOT_ALLOWED), "root is nobody in particular: {}", said(&output));
    assert!(step(&machine, ANN, "enable").universal.waiting.is_some());
    refused(&machine, ANN, "enable");
    let on = step(&machine, DORA, "enable").universal;
    assert!(on.is_on && on.enabled_by == ["ann (admin)", "dora (admin)"], "{on:?}");
    for (host, name) in hosts.iter_mut().zip(["web1", "web2"]) {
        // Made for it once it has its key; what it is told of the universal password comes with it.
        issue(name, &["--all-services", "--for", "15m"]);
        host.restart_agent();
        let orders = host.host.agent.place().path("/var/lib/postern-offline/orders");
        wait_for("what checks universal passwords", || {
            let text = std::fs::read_to_string(&orders).ok()?;
            text.contains("\"link\"").then_some(())
        });
    }
    // Well within an hour.
    let into = clock.unix_now() % 3_600;
    clock.advance(3_600 - into.cast_signed() + 60);
    assert!(step(&machine, DORA, "release").password.is_none());
    refused(&machine, DORA, "release");
    let released = step(&machine, ANN, "release");
    let password = released.password.expect("the password");
    for host in &mut hosts {
        host.cut();
    }
    for (host, account) in [(0, ALICE), (1, BOB), (0, BOB), (1, ALICE), (0, ALICE)] {
        hosts[host].give(account, &password).logged_in();
    }
    let held = std::fs::read_to_string(hosts[0].host.agent.place().path("/var/lib/postern-offline/orders"));
    assert!(!held.expect("the orders").contains(&password), "hosts hold what checks it");
    let left = 3_600 - clock.unix_now() % 3_600;
    clock.advance(left.cast_signed());
    for host in &hosts {
        host.give(ALICE, &password).refused();
    }
    for host in &mut hosts {
        host.reconnect();
    }
    let used = |records: &[wire::admin::AuditRecord]| {
        records.iter().filter(|record| record.event == "offline_universal_used").count()
    };
    wait_for("its uses to be told", || (used(&postern::audit()) == 5).then_some(()));
    let trail = postern::audit();
    assert!(trail.iter().any(|record| record.event == "offline_universal_released"));
    assert!(!format!("{trail:?}").contains(&password));
}
