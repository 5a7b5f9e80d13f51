//! The pages of offline passwords: who sees them, making one, revoking.

use system_tests::agent::fleet_section;
use system_tests::cut_off::{ADDRESS, CutOffHost};
use system_tests::machine::Machine;
use system_tests::postern;
use system_tests::staff::{Staff, send};
use system_tests::time::{DaemonClock, wait_for};
use wire::admin::{OfflinePassword, OfflinePasswordList, OfflineState};

// covers: N6, N9, N12, N14
#[test]
fn an_administrator_makes_a_password_on_a_page_that_shows_both_clocks_and_revokes_it() {
    let _machine = Machine::new();
    let more = format!("[offline]\njustification = \"required\"\n{}", fleet_section(&[ADDRESS]));
    let mut site = Staff::start(&more);
    let clock = DaemonClock::new(&system_tests::machine::folder());
    let mut web1 = CutOffHost::start(1, "web1", &clock, Some("Pacific/Auckland"));
    let [ann, otto] = ["ann", "otto"].map(|name| site.visitor(name));
    let page = ann.get("/hosts/web1").body;
    assert!(page.contains("/offline?host=web1"), "one starts from the host: {page}");
    assert!(ann.get("/offline?host=web1").body.contains("/offline/new?host=web1"));
    assert!(ann.get("/offline/new?host=web1").body.contains("value=\"web1\""));
    assert!(!otto.get("/offline").body.contains("/offline/new"));
    let fields = |why| {
        [
            ("host", "web1"),
            ("user", "alice"),
            ("scope", "service"),
            ("service", "login"),
            ("for", "2h"),
            ("zone", "host"),
            ("why", why),
        ]
    };
    let refused = send(&ann, "/offline/new", &fields(""));
    assert!(refused.status == 400 && refused.body.contains("ay why"), "{refused:?}");
    let made = wait_for("the host to have its key", || {
        let made = send(&ann, "/offline/new", &fields("the line is cut"));
        (made.status == 200).then_some(made)
    });
    let list: OfflinePasswordList = postern::ask(&["offline", "list"]);
    let [one] = &list.items[..] else { panic!("{list:?}") };
    assert!(made.body.contains(&one.until.host) && made.body.contains(&one.until.server), "side by side");
    assert!(one.until.host.contains("+13:00") || one.until.host.contains("+12:00"), "{one:?}");
    let password = made.body.split("<code").find_map(|part| {
        let text = part.split('>').nth(1)?.split('<').next()?.trim();
        (text.len() == 17 && text.matches('-').count() == 2).then(|| text.to_owned())
    });
    let password = password.unwrap_or_else(|| panic!("a password: {}", made.body));
    for path in ["/offline".to_owned(), format!("/offline/{}", one.id)] {
        let page = ann.get(&path).body;
        assert!(page.contains(&one.id) && !page.contains(&password), "{path}: it is shown once");
    }
    web1.cut();
    web1.redeem("alice", "login", &password);
    assert!(web1.is_granted("alice", "login"));
    web1.reconnect();
    system_tests::cut_off::used(&one.id);
    // What it gave ends too.
    let revoked = send(&ann, &format!("/offline/{}/revoke", one.id), &[]);
    assert_eq!(revoked.status, 303, "{revoked:?}");
    let shown: OfflinePassword = postern::ask(&["offline", "show", &one.id]);
    assert!(shown.state == OfflineState::Used && shown.revoked_by.is_some(), "{shown:?}");
    web1.restart_agent();
    wait_for("the grant to end", || web1.standing()["frozen_until"].is_null().then_some(()));
    let asked = web1.login("alice", "login").begin().expect("an answer");
    assert!(asked.question().contains("code") || asked.question().contains("password"), "{asked:?}");
}

// covers: N14
#[test]
fn a_password_that_is_mailed_is_on_no_page_and_the_page_says_how_its_mail_stands() {
    let _machine = Machine::new();
    // Nobody listens there.
    let mail = "[mail]\nserver = \"127.0.0.1:9\"\ntls = \"none\"\nfrom = \"postern@example.org\"\n";
    let mut site = Staff::start(&format!("{mail}{}", fleet_section(&[ADDRESS])));
    let clock = DaemonClock::new(&system_tests::machine::folder());
    let _web1 = CutOffHost::start(1, "web1", &clock, None);
    let ann = site.visitor("ann");
    assert!(ann.get("/offline/new").body.contains("name=\"mail\""));
    let fields =
        |to| [("host", "web1"), ("scope", "all_services"), ("for", "15m"), ("zone", "host"), ("mail", to)];
    let refused = send(&ann, "/offline/new", &fields("operator"));
    assert!(refused.status == 400 && refused.body.contains("e-mail address"), "{refused:?}");
    let made = wait_for("the host to have its key", || {
        let made = send(&ann, "/offline/new", &fields("operator@example.org"));
        (made.status == 200).then_some(made)
    });
    assert!(!made.body.contains("<code"), "{}", made.body);
    let list: OfflinePasswordList = postern::ask(&["offline", "list"]);
    let page = ann.get(&format!("/offline/{}", list.items[0].id)).body;
    for page in [made.body, page] {
        assert!(page.contains("operator@example.org, on its way"), "{page}");
    }
    // What is shown, with a start and an end.
    let form = ann.get("/offline/new").body;
    assert!(form.contains("value=\"window\"") && !form.contains("value=\"window\" selected"), "{form}");
    let until = system_tests::time::moment(clock.unix_now() / 60 * 60 + 3_600);
    let fields = [("host", "web1"), ("scope", "all_services"), ("for", "window"), ("until", until.as_str())];
    let made = send(&ann, "/offline/new", &fields);
    assert!(made.status == 200 && made.body.contains("<code"), "{made:?}");
    let list: OfflinePasswordList = postern::ask(&["offline", "list"]);
    assert_eq!((&list.items[0].until.utc, list.items[0].minutes), (&until, None));
}
