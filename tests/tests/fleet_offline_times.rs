//! When offline passwords count: every duration, days and windows by the clocks of a host in another time zone than the
//! verifier's, and the days on which clocks change.

use system_tests::agent::fleet_section;
use system_tests::cut_off::{ADDRESS, CutOffHost, issue};
use system_tests::machine::Machine;
use system_tests::postern;
use system_tests::time::{DaemonClock, moment};
use system_tests::verifier::{Verifier, config};
use wire::admin::BothClocks;

/// A verifier whose clocks are those of Vienna, at a moment.
fn verifier_at(now: u64) -> Verifier {
    let mut verifier = Verifier::prepare(&config(&fleet_section(&[ADDRESS])));
    set(&verifier.clock, now);
    verifier.initialise();
    verifier.launch_under(&["env", "TZ=Europe/Vienna"]);
    verifier
}

fn set(clock: &DaemonClock, now: u64) {
    clock.advance(now.cast_signed() - clock.unix_now().cast_signed());
}

/// Seconds since 1970 of a moment in UTC.
fn utc(text: &str) -> u64 {
    let format = &time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(text, format).expect("a moment").unix_timestamp().unsigned_abs()
}

// covers: N4, N5, N7, D04
#[test]
fn every_duration_counts_from_its_use_and_ends_to_the_second() {
    let _machine = Machine::new();
    let verifier = verifier_at(utc("2027-01-12T10:00:00Z"));
    let clock = &verifier.clock;
    let mut web1 = CutOffHost::start(1, "web1", clock, Some("Europe/Helsinki"));
    let durations = [
        ("15m", 15),
        ("30m", 30),
        ("1h", 60),
        ("2h", 120),
        ("4h", 240),
        ("8h", 480),
        ("1d", 1_440),
        ("2d", 2_880),
        ("5d", 7_200),
        ("14d", 20_160),
        ("30d", 43_200),
    ];
    let user = |minutes: u64| format!("user{minutes}");
    let made = durations.map(|(text, minutes)| {
        issue("web1", &["--service", "login", "--user", &user(minutes), "--for", text])
    });
    web1.cut();
    // Hours after they were made, on the same day.
    clock.advance(7 * 3_600);
    let begun: Vec<_> = durations
        .iter()
        .zip(&made)
        .map(|((text, minutes), made)| {
            let before = clock.unix_now();
            web1.redeem(&user(*minutes), "login", &made.password);
            assert!(web1.is_granted(&user(*minutes), "login"), "{text}");
            (before, clock.unix_now())
        })
        .collect();
    for ((text, minutes), (earliest, latest)) in durations.iter().zip(&begun) {
        set(clock, earliest + minutes * 60 - 5);
        assert!(web1.is_granted(&user(*minutes), "login"), "{text} before its end");
        set(clock, latest + minutes * 60);
        assert!(!web1.is_granted(&user(*minutes), "login"), "{text} after its end");
    }
}

// covers: N5, D05
#[test]
fn a_preset_password_is_for_the_day_of_its_host() {
    let _machine = Machine::new();
    // Half past eleven in the evening in Helsinki, half past ten in Vienna.
    let verifier = verifier_at(utc("2027-01-12T21:30:00Z"));
    let mut web1 = CutOffHost::start(1, "web1", &verifier.clock, Some("Europe/Helsinki"));
    let [first, second] =
        ["alice", "bob"].map(|user| issue("web1", &["--service", "login", "--user", user, "--for", "1h"]));
    let deadline = &first.made.until;
    assert_eq!(
        (&deadline.host[..], &deadline.server[..]),
        ("2027-01-13T00:00:00+02:00", "2027-01-12T23:00:00+01:00")
    );
    web1.cut();
    set(&verifier.clock, utc("2027-01-12T21:59:30Z"));
    web1.redeem("alice", "login", &first.password);
    assert!(web1.is_granted("alice", "login"));
    set(&verifier.clock, utc("2027-01-12T22:00:01Z"));
    web1.redeem("bob", "login", &second.password);
    assert!(!web1.is_granted("bob", "login"), "it was for the day before");
    assert!(web1.is_granted("alice", "login"), "what was used on its day goes on");
}

// covers: N6, D05
#[test]
fn four_in_the_afternoon_at_the_host_is_three_at_the_server() {
    let _machine = Machine::new();
    let verifier = verifier_at(utc("2027-01-12T10:00:00Z"));
    let mut web1 = CutOffHost::start(1, "web1", &verifier.clock, Some("Europe/Helsinki"));
    let window = |zone: &str, from: &str, until: &str| {
        issue(
            "web1",
            &["--service", "login", "--user", "alice", "--tz", zone, "--from", from, "--until", until],
        )
    };
    let by_host = window("host", "2027-01-12T16:00", "2027-01-12T18:00");
    let by_server = window("server", "2027-01-12T15:00", "2027-01-12T17:00");
    for made in [&by_host, &by_server] {
        let from = made.made.from.as_ref().expect("a start");
        assert_eq!(
            *from,
            BothClocks {
                utc: "2027-01-12T14:00:00Z".into(),
                host: "2027-01-12T16:00:00+02:00".into(),
                server: "2027-01-12T15:00:00+01:00".into(),
            }
        );
        assert_eq!(made.made.until.utc, "2027-01-12T16:00:00Z");
    }
    let shown = postern::done(&["offline", "show", &by_host.made.id]);
    assert!(
        shown.contains("2027-01-12T16:00:00+02:00 at the host, 2027-01-12T15:00:00+01:00 at the verifier"),
        "{shown}"
    );
    web1.cut();
    set(&verifier.clock, utc("2027-01-12T13:59:50Z"));
    web1.redeem("alice", "login", &by_host.password);
    assert!(!web1.is_granted("alice", "login"), "ten seconds early");
    set(&verifier.clock, utc("2027-01-12T14:00:00Z"));
    web1.redeem("alice", "login", &by_host.password);
    assert!(web1.is_granted("alice", "login"));
    set(&verifier.clock, utc("2027-01-12T16:00:00Z"));
    assert!(!web1.is_granted("alice", "login"), "its end is outside");
    web1.redeem("alice", "login", &by_server.password);
    assert!(!web1.is_granted("alice", "login"), "the other one is over too");
}

/// A day on which clocks change in Bucharest.
struct Change {
    /// Early on that day, before they do.
    morning: &'static str,
    /// A time that is left out, or comes twice.
    unclear: &'static str,
    /// What is said of it.
    said: &'static str,
    /// The same, said clearly, and what it is in UTC.
    clear: (&'static str, &'static str),
    /// The end of the day in UTC.
    midnight: &'static str,
}

// covers: N5, N6, D05
#[test]
fn on_the_days_of_the_clock_change_a_time_is_asked_for_again_and_days_have_23_and_25_hours() {
    let changes = [
        Change {
            morning: "2027-03-27T23:30:00Z",
            unclear: "2027-03-28T03:30",
            said: "does not exist in Europe/Bucharest",
            clear: ("2027-03-28T04:30+03:00", "2027-03-28T01:30:00Z"),
            midnight: "2027-03-28T21:00:00Z",
        },
        Change {
            morning: "2027-10-30T22:30:00Z",
            unclear: "2027-10-31T03:30",
            said: "comes twice in Europe/Bucharest",
            clear: ("2027-10-31T03:30+02:00", "2027-10-31T01:30:00Z"),
            midnight: "2027-10-31T22:00:00Z",
        },
    ];
    for Change { morning, unclear, said, clear: (clear, start), midnight } in changes {
        let _machine = Machine::new();
        let verifier = verifier_at(utc(morning));
        let mut web1 = CutOffHost::start(1, "web1", &verifier.clock, Some("Europe/Bucharest"));
        let preset = issue("web1", &["--service", "login", "--user", "bob", "--for", "15m"]);
        assert_eq!(preset.made.until.utc, midnight, "the whole day");
        let order = ["offline", "issue", "--host", "web1", "--service", "login", "--user", "alice"];
        let refused = postern::run(&[&order[..], &["--from", unclear, "--until", midnight]].concat());
        let text = postern::said(&refused);
        assert!(!refused.status.success() && text.contains(said) && text.lines().count() == 1, "{text}");
        let until = moment(utc(start) + 3_600);
        let made =
            issue("web1", &["--service", "login", "--user", "alice", "--from", clear, "--until", &until]);
        assert_eq!(made.made.from.expect("a start").utc, start);
        web1.cut();
        set(&verifier.clock, utc(start) - 5);
        web1.redeem("alice", "login", &made.password);
        assert!(!web1.is_granted("alice", "login"), "{clear}: early");
        set(&verifier.clock, utc(start));
        web1.redeem("alice", "login", &made.password);
        assert!(web1.is_granted("alice", "login"), "{clear}");
        set(&verifier.clock, utc(start) + 3_600);
        assert!(!web1.is_granted("alice", "login"), "{clear}: over");
        set(&verifier.clock, utc(midnight) - 30);
        web1.redeem("bob", "login", &preset.password);
        assert!(web1.is_granted("bob", "login"), "half a minute before midnight");
    }
}
