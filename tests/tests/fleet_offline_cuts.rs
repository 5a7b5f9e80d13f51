//! Ways of being cut off, and what a host that lost, or put back, what it remembers does of it: real sshd in name spaces.

use std::fs;

use system_tests::agent::{fleet_section, verifier};
use system_tests::cut_off::{ADDRESS, CutOffHost, QUESTION, issue, used};
use system_tests::flows::{LOGGED_IN, associated, ssh_outcome};
use system_tests::fob::Fob;
use system_tests::machine::{ALICE, BOB, Machine, folder};
use system_tests::network::add_address;
use system_tests::postern;
use system_tests::time::{DaemonClock, moment, wait_for};
use system_tests::verifier::{Verifier, config};

/// The verifier's certificate does not say this.
const ANOTHER_NAME: &str = "10.95.0.1";
/// Nobody is there.
const NOBODY: &str = "10.96.0.1";

/// A way in which the verifier is out of reach.
struct Cut {
    /// A part of what `postern-agent status` says of it.
    cause: &'static str,
    /// Where the agent looks for its verifier.
    verifier: String,
    /// Routes of the host's own.
    blackhole: bool,
    /// Whether the host's clock is so far ahead that the verifier's certificate is over.
    later: bool,
}

// covers: N1, N3, N4, D04, D08
#[test]
fn however_a_host_is_cut_off_a_password_opens_it_once_within_its_window() {
    let _machine = Machine::new();
    fs::write("/etc/resolv.conf", "nameserver 127.0.0.1\n").expect("no name server");
    let _verifier = Verifier::start_with(&config(&fleet_section(&[ADDRESS])));
    add_address(ANOTHER_NAME);
    let mut fob = Fob::with_button("7900000001");
    associated(&mut fob, "alice");
    // Its own, or the verifier would renew its certificate in time.
    let place = folder().join("web1");
    fs::create_dir_all(&place).expect("a folder");
    let clock = DaemonClock::new(&place);
    let mut web1 = CutOffHost::start(1, "web1", &clock, None);
    let cut = |cause, verifier| Cut { cause, verifier, blackhole: false, later: false };
    let cuts = [
        Cut { blackhole: true, ..cut("no connection", verifier(NOBODY)) },
        cut("no connection", verifier(NOBODY)),
        cut("refused", format!("https://{ADDRESS}:9")),
        cut("cannot be resolved", verifier("otp.invalid")),
        cut("not valid for name", verifier(ANOTHER_NAME)),
        Cut { later: true, ..cut("expired", verifier(ADDRESS)) },
    ];
    let start = clock.unix_now() / 60 * 60 + 600;
    // The clock of the last one is 40 days ahead, and the windows are as real as the clock is.
    let begin = |number: u64, cut: &Cut| start + number * 600 + if cut.later { 40 * 24 * 3_600 } else { 0 };
    let made: Vec<_> = (0..)
        .zip(&cuts)
        .map(|(number, cut)| {
            let (from, until) = (moment(begin(number, cut)), moment(begin(number, cut) + 300));
            issue("web1", &["--service", "sshd", "--user", "alice", "--from", &from, "--until", &until])
        })
        .collect();
    for ((number, cut), made) in (0..).zip(&cuts).zip(&made) {
        web1.host.agent.stop();
        let place = web1.host.agent.place();
        if cut.blackhole {
            place.run("ip", &["route", "add", "blackhole", &format!("{NOBODY}/32")]);
        }
        clock.advance(begin(number, cut).cast_signed() - 60 - clock.unix_now().cast_signed());
        web1.host.agent.configure(std::slice::from_ref(&cut.verifier), "timeout = \"1s\"\n");
        web1.host.agent.launch();
        web1.host.agent.wait_until(&format!("told of {:?}", cut.cause), |status| {
            let problem = status["verifiers"][0]["problem"].as_str().unwrap_or_default();
            status["ready"] == false && problem.contains(cut.cause)
        });
        web1.give(ALICE, &made.password).refused();
        web1.give(ALICE, &fob.press()).refused();
        clock.advance(61);
        web1.give(BOB, &made.password).refused();
        web1.give(ALICE, &made.password).logged_in();
        web1.expect_grant(ALICE);
        // A clock that is put back does not bring it back, and one that goes on ends it.
        clock.advance(-7_200);
        web1.expect_grant(ALICE);
        clock.advance(7_200 + 300);
        web1.give(ALICE, &made.password).refused();
        clock.advance(-3_600);
        web1.give(ALICE, &made.password).refused();
        clock.advance(3_600);
        if cut.blackhole {
            web1.host.agent.place().run("ip", &["route", "del", "blackhole", &format!("{NOBODY}/32")]);
        }
    }
    web1.host.agent.stop();
    web1.host.agent.configure(&[verifier(ADDRESS)], "");
    clock.advance(-40 * 24 * 3_600);
    web1.host.agent.launch_ready();
    for made in &made {
        let shown = used(&made.made.id);
        assert_eq!(shown.used.map(|used| used.user).as_deref(), Some("alice"), "{}", made.made.id);
    }
    web1.host.login(ALICE, &fob.press()).logged_in();
}

// covers: D01, D02, N2, N3, N13
#[test]
fn a_password_opens_one_host_once_also_after_a_kill_and_a_restart_of_the_machine() {
    let _machine = Machine::new();
    let verifier_daemon = Verifier::start_with(&config(&fleet_section(&[ADDRESS])));
    let clock = verifier_daemon.clock.clone();
    let mut web1 = CutOffHost::start(1, "web1", &clock, None);
    let mut web2 = CutOffHost::start(2, "web2", &clock, None);
    // A day at both hosts, whatever the hour is here.
    let until = moment(clock.unix_now() / 60 * 60 + 900);
    let issue = |host| issue(host, &["--all-services", "--until", &until]);
    let (one, two) = (issue("web1"), issue("web2"));
    // For a user wherever he is: a sheet with a password for each host.
    let order = ["offline", "issue", "--user", "bob", "--service", "login", "--until", &until];
    let sheet: serde_json::Value = postern::ask(&order);
    let of_sheet = |host: &str| {
        let items = sheet["items"].as_array().expect("items").iter();
        let found = items.clone().find(|item| item["made"]["host"] == host).expect("a password for it");
        found["password"].as_str().expect("a password").to_owned()
    };
    web1.cut();
    web2.cut();
    web2.give(ALICE, &one.password).refused();
    web2.redeem("bob", "login", &of_sheet("web1"));
    assert!(!web2.is_granted("bob", "login"), "that of the other host");
    web2.redeem("bob", "login", &of_sheet("web2"));
    assert!(web2.is_granted("bob", "login"));
    web1.give(ALICE, &two.password).refused();
    web1.give(ALICE, &one.password).logged_in();
    // For everybody, as it was made, and without another use.
    web1.expect_grant(BOB);
    web1.kill_service();
    web1.launch_service();
    web1.expect_grant(ALICE);
    web1.kill_service();
    web1.host.agent.stop();
    web1.host.agent.place().restart();
    web1.host.agent.launch();
    web1.launch_service();
    web1.expect_grant(ALICE);
    clock.advance(1_000);
    web1.give(ALICE, &one.password).refused();
    web2.give(ALICE, &two.password).refused();
    web1.reconnect();
    let shown = used(&one.made.id).used.expect("who used it");
    assert_eq!((&shown.user[..], &shown.service[..]), ("alice", "sshd"));
}

// covers: D02, D15, N3
#[test]
fn a_host_whose_memory_is_emptied_damaged_or_put_back_opens_nothing_until_it_has_another_key() {
    let _machine = Machine::new();
    let verifier_daemon = Verifier::start_with(&config(&fleet_section(&[ADDRESS])));
    let mut fob = Fob::with_button("7900000001");
    associated(&mut fob, "alice");
    let mut web1 = CutOffHost::start(1, "web1", &DaemonClock::new(&folder()), None);
    let until = moment(verifier_daemon.clock.unix_now() / 60 * 60 + 3_600);
    let order = ["--service", "login", "--user", "alice", "--until", &until];
    let place = |web1: &CutOffHost, script: &str| drop(web1.host.agent.place().run("sh", &["-c", script]));
    let folder = "/var/lib/postern-offline";
    for (what, before, after) in [
        (
            "put back",
            format!("cp -a {folder} /run/postern/older"),
            format!("cp -a /run/postern/older/. {folder}/"),
        ),
        ("emptied", String::new(), format!("find {folder} -mindepth 1 -delete")),
        ("damaged", String::new(), format!("printf X | dd of={folder}/state bs=1 seek=60 conv=notrunc")),
        ("cut short", String::new(), format!("truncate -s -1 {folder}/state")),
        ("a folder instead", String::new(), format!("rm {folder}/state; mkdir {folder}/state")),
        ("without its note", String::new(), "find /var/lib/postern-offline-note -mindepth 1 -delete".into()),
    ] {
        let (first, second) = (issue("web1", &order), issue("web1", &order));
        place(&web1, &before);
        web1.cut();
        web1.redeem("alice", "login", &first.password);
        assert!(web1.is_granted("alice", "login"), "{what}");
        web1.kill_service();
        place(&web1, &after);
        web1.launch_service();
        web1.host.agent.stop();
        web1.host.agent.launch();
        web1.host.agent.wait_until("told", |status| !status["offline"]["problem"].is_null());
        let problem = web1.standing()["problem"].as_str().expect("a problem").to_owned();
        assert!(problem.contains("another key"), "{what}: {problem}");
        // Nothing is asked for, whatever might be typed.
        for made in [&first, &second] {
            let asked = web1.login("alice", "login").begin();
            assert!(asked.is_err(), "{what}: {asked:?} before {:?}", made.made.id);
        }
        let shown = ssh_outcome(web1.host.login_up_to_password(ALICE)).refused();
        assert!(!shown.contains(QUESTION), "{what}: {shown}");
        if what == "a folder instead" {
            place(&web1, &format!("rmdir {folder}/state"));
        }
        web1.reconnect();
        assert!(web1.host.login(ALICE, &fob.press()).logged_in().contains(LOGGED_IN), "{what}");
        // A minute, within which it is given no second one.
        verifier_daemon.clock.advance(61);
        wait_for("another key", || {
            web1.restart_agent();
            web1.standing()["ready"].as_bool().filter(|ready| *ready)
        });
    }
}
