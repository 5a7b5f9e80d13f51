//! The pages of hosts, sessions, audit trail, bans, policy and status: who sees what, and who changes what.

use std::path::Path;

use system_tests::agent::{Agent, fleet_section, verifier};
use system_tests::login_socket::{Login, exchange, random_id};
use system_tests::machine::Machine;
use system_tests::pages::{Visitor, sign_in_for};
use system_tests::postern;
use system_tests::staff::{Staff, send};
use wire::admin::{AuditRecord, BanList, Host, HostState};
use wire::login::Verdict;

/// Where hosts find the verifier.
const VERIFIER: &str = "127.0.0.1";

/// Every page of this kind, and who may not see it: the help desk, a user.
const PAGES: [(&str, [bool; 2]); 11] = [
    ("/hosts", [false, true]),
    ("/hosts/web1", [false, true]),
    ("/offline", [true, true]),
    ("/policy", [false, true]),
    ("/policy/try", [false, true]),
    ("/sessions", [false, false]),
    ("/audit", [true, true]),
    ("/audit.csv", [true, true]),
    ("/explain?reference=0A1B-Z9XK", [false, true]),
    ("/bans", [false, true]),
    ("/status", [false, true]),
];

/// What changes something, and which role may: the help desk, an auditor, a user never.
const POSTS: [(&str, bool); 7] = [
    ("/hosts", false),
    ("/hosts/web1/rename", false),
    ("/hosts/web1/group", false),
    ("/hosts/web1/revoke", false),
    ("/offline/new", false),
    ("/offline/1-1@web1/revoke", false),
    ("/bans/0000000000/lift", true),
];

fn start() -> Staff {
    let staff = Staff::start(&fleet_section(&[VERIFIER]));
    postern::done(&["host", "enrol", "web1", "--group", "web"]);
    staff
}

fn host(name: &str) -> Host {
    postern::ask(&["host", "show", name])
}

/// Says that a session has begun, as the PAM module does.
fn open_session(user: &str, rhost: &str) {
    let id = random_id().expect("an id");
    let said = serde_json::json!({
        "api_version": 1, "session": id, "user": user, "service": "sshd", "rhost": rhost, "tty": "ssh",
    });
    exchange(Path::new(wire::LOGIN_SOCKET), wire::session::OPEN_PATH, said.to_string().as_bytes())
        .expect("it is noted");
}

/// The rows of a file, by the names of its columns.
fn column(file: &str, name: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(file.as_bytes());
    let place = reader.headers().expect("a first row").iter().position(|known| known == name).expect(name);
    reader.records().map(|row| row.expect("CSV")[place].to_owned()).collect()
}

// covers: P13, I05, I06, C04
#[test]
fn every_page_is_for_just_the_roles_that_may_and_a_form_of_others_changes_nothing() {
    let _machine = Machine::without_module();
    let mut site = start();
    let stranger = Visitor::new("stranger");
    for (path, _) in PAGES {
        let answer = stranger.get(path);
        assert_eq!((answer.status, answer.header("location")), (303, Some(&*sign_in_for(path))), "{path}");
    }
    for (path, _) in POSTS {
        assert_eq!(stranger.post(path, &[]).header("location"), Some("/sign-in"), "{path}");
    }
    let [ann, dora, otto, alice] = ["ann", "dora", "otto", "alice"].map(|name| site.visitor(name));
    for (path, [keeps_helpdesk_out, keeps_user_out]) in PAGES {
        for (visitor, is_kept_out) in
            [(&ann, false), (&otto, false), (&dora, keeps_helpdesk_out), (&alice, keeps_user_out)]
        {
            let answer = visitor.get(path);
            assert_eq!(answer.status == 403, is_kept_out, "{path}: {answer:?}");
            assert_eq!(answer.body.contains("does not permit this"), is_kept_out, "{path}: {answer:?}");
        }
    }
    let before = postern::audit().len();
    for (path, helpdesk_may) in POSTS {
        for (visitor, may) in [(&dora, helpdesk_may), (&otto, false), (&alice, false)] {
            let answer = send(visitor, path, &[("name", "web1"), ("group", "x")]);
            assert_eq!(answer.status == 403, !may, "{path}: {answer:?}");
        }
        // Whoever may, but from another page, or with the word of no page.
        let form = ann.get("/hosts").form_word().expect("a form").to_owned();
        let fields = system_tests::pages::encode(&[("form", &form), ("name", "web1")]);
        let foreign = ["--header", "origin: https://evil.example", "--data-binary", "@-"];
        assert_eq!(ann.ask(path, &foreign, &fields).status, 403, "{path}");
        assert_eq!(ann.post(path, &[("name", "web1")]).status, 403, "{path}");
    }
    assert_eq!((host("web1").state, host("web1").group.as_deref()), (HostState::Pending, Some("web")));
    assert_eq!(postern::audit().len(), before, "nothing changed");
    // What they may not, they are not offered.
    for visitor in [&dora, &otto] {
        let page = visitor.get("/hosts/web1").body;
        assert!(
            page.contains("on_unenrolled") && !page.contains("Rename") && !page.contains("revoke"),
            "{page}"
        );
        assert!(!visitor.get("/hosts").body.contains("Enrol"));
    }
    assert!(!dora.get("/bans").body.contains("href=\"/audit\""), "nor led to");
    assert!(otto.get("/bans").body.contains("href=\"/audit\""));
}

// covers: P13
#[test]
fn an_administrator_lets_a_host_join_renames_it_and_revokes_it() {
    let _machine = Machine::without_module();
    let mut site = start();
    let ann = site.visitor("ann");
    let told = send(&ann, "/hosts", &[("name", "db1"), ("group", "data")]);
    assert_eq!(told.status, 200, "{told:?}");
    let secret = told.body.split("class=\"password\">").nth(1).and_then(|rest| rest.split('<').next());
    let secret = secret.expect("a join secret").to_owned();
    assert!(!ann.get("/hosts/db1").body.contains(&secret), "it is told once");
    let mut agent = Agent::beside("db1");
    agent.configure(&[verifier(VERIFIER)], "");
    agent.join(&[verifier(VERIFIER)], &secret);
    agent.launch_ready();
    let list = ann.get("/hosts").body;
    assert!(list.contains("active, connected") && list.contains("pending"), "{list}");
    assert!(list.contains(">data<") && list.contains(">web<"), "its groups: {list}");
    let page = ann.get("/hosts/db1").body;
    assert!(page.contains("enrolment.open_for") && page.contains(">default<"), "who says what: {page}");
    let again = send(&ann, "/hosts", &[("name", "db1"), ("group", "")]);
    assert!(again.status == 409 && again.body.contains("role=\"alert\""), "{again:?}");
    let malformed = send(&ann, "/hosts/db1/rename", &[("name", "not a <name>")]);
    assert!(
        malformed.status == 400 && malformed.body.contains("not a &lt;name&gt;")
            || malformed.body.contains("not a &#60;name&#62;"),
        "{malformed:?}"
    );
    let renamed = send(&ann, "/hosts/db1/rename", &[("name", "db2")]);
    assert_eq!(renamed.header("location"), Some("/hosts/db2"), "{renamed:?}");
    assert_eq!(send(&ann, "/hosts/db2/group", &[("group", "")]).status, 303);
    assert_eq!((host("db2").group, host("db2").former_names), (None, vec!["db1".to_owned()]));
    let asked = ann.get("/hosts/db2/revoke");
    assert!(asked.status == 200 && host("db2").state == HostState::Active, "a page changes nothing");
    for typed in ["", "db1", "DB2"] {
        let answer = send(&ann, "/hosts/db2/revoke", &[("name", typed)]);
        assert!(answer.status == 409 && answer.body.contains("role=\"alert\""), "{typed}: {answer:?}");
    }
    assert_eq!(host("db2").state, HostState::Active);
    assert_eq!(send(&ann, "/hosts/db2/revoke", &[("name", "db2")]).status, 303);
    assert_eq!(host("db2").state, HostState::Revoked);
    let made: Vec<AuditRecord> = postern::audit()
        .into_iter()
        .filter(|record| record.actor.as_deref() == Some("person ann (admin)"))
        .collect();
    let events: Vec<_> = made.iter().map(|record| record.event.as_str()).collect();
    assert_eq!(events, ["host_enrolled", "host_renamed", "host_group_set", "host_revoked"]);
}

// covers: P5, P7, P13, I01, I02, I08
#[test]
fn an_auditor_searches_the_trail_and_takes_it_along() {
    let _machine = Machine::without_module();
    let mut site = start();
    // Names that a stranger chose: markup, a formula, a line that is turned around.
    let nasty = ["=cmd|' /C calc'!A0", "<script>alert(1)</script>", "eve\u{202e}txt"];
    for user in nasty {
        assert_eq!(Login::by_ssh(user).from("192.0.2.66").verdict("000000"), Verdict::Deny);
    }
    assert_eq!(Login::by_ssh("alice").from("192.0.2.7").verdict("000000"), Verdict::Deny);
    let otto = site.visitor("otto");
    let page = otto.get("/audit?event=login").body;
    for shown in ["script&", "\\u{202e}", "wrong_code"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains("<script>") && !page.contains('\u{202e}'), "{page}");
    let found = otto.get("/audit?event=login&user=alice&text=192.0.2.7&since=1d").body;
    assert!(found.contains("wrong_code") && !found.contains("script&"), "{found}");
    let wrong = otto.get("/audit?since=yesterday");
    assert!(wrong.status == 400 && wrong.body.contains("role=\"alert\""), "{wrong:?}");
    // From a record to the reason.
    let newest = postern::audit()
        .into_iter()
        .rfind(|record| record.user.as_deref() == Some("alice") && record.reason == "wrong_code")
        .expect("it");
    assert!(page.contains(&format!("/explain?reference={}", newest.reference)), "{page}");
    let explained = otto.get(&format!("/explain?reference={}", newest.reference.to_lowercase())).body;
    assert!(explained.contains("wrong_code") && explained.contains("192.0.2.7"), "{explained}");
    assert_eq!(otto.get("/explain?reference=0000-0000").status, 404);
    // The same in a file.
    let file = otto.get("/audit.csv?event=login&text=192.0.2.66");
    assert!(file.header("content-type").is_some_and(|kind| kind.starts_with("text/csv")), "{file:?}");
    assert!(file.header("content-disposition").is_some_and(|how| how.starts_with("attachment")), "{file:?}");
    let users = column(&file.body, "user");
    assert_eq!(users, ["eve\\u{202e}txt", "<script>alert(1)</script>", "'=cmd|' /C calc'!A0"]);
    let all = otto.get("/audit.csv").body;
    let sequences: Vec<u64> =
        column(&all, "sequence").iter().map(|number| number.parse().expect("a number")).collect();
    assert!(sequences.windows(2).all(|pair| pair[0] > pair[1]), "the newest first");
    assert_eq!(sequences.len(), postern::audit().len(), "all of it");
}

// covers: P3, P13, R10
#[test]
fn the_help_desk_lets_somebody_go_and_a_user_sees_his_own_sessions() {
    let _machine = Machine::without_module();
    let mut site = start();
    // Before it is her who has to wait.
    let alice = site.visitor("alice");
    for _ in 0..5 {
        assert_eq!(Login::by_ssh("alice").from("192.0.2.9").verdict("000000"), Verdict::Deny);
    }
    let bans = || postern::ask::<BanList>(&["ban", "list"]).items;
    let before = bans().len();
    let id = bans().first().expect("a ban").id.clone();
    let dora = site.visitor("dora");
    let page = dora.get("/bans").body;
    assert!(
        page.contains("user alice, address 192.0.2.9") && page.contains(&format!("/bans/{id}/lift")),
        "{page}"
    );
    assert_eq!(send(&dora, &format!("/bans/{id}/lift"), &[]).header("location"), Some("/bans"));
    assert_eq!(bans().len(), before - 1);
    let again = send(&dora, &format!("/bans/{id}/lift"), &[]);
    assert!(again.status == 404 && again.body.contains("role=\"alert\""), "{again:?}");
    open_session("alice", "192.0.2.9");
    open_session("bob", "<b>192.0.2.10</b>");
    let all = dora.get("/sessions").body;
    assert!(all.contains(">alice<") && all.contains("b&") && !all.contains("<b>"), "{all}");
    let one = dora.get("/sessions?user=bob").body;
    assert!(one.contains(">bob<") && !one.contains(">alice</td>"), "{one}");
    let own = alice.get("/sessions").body;
    assert!(own.contains(">alice</td>") && !own.contains("bob"), "{own}");
    let others = alice.get("/sessions?user=bob");
    assert!(others.status == 403 && !others.body.contains("192.0.2.10"), "{others:?}");
}

// covers: A10, P13
#[test]
fn what_a_login_would_meet_is_told_with_the_rule_that_decides() {
    let _machine = Machine::without_module();
    let mut site = start();
    let otto = site.visitor("otto");
    let tried = otto.get("/policy/try?user=alice&service=sshd&from=192.0.2.1").body;
    assert!(tried.contains("is asked for a code") && tried.contains("none: the settings decide"), "{tried}");
    let unknown = otto.get("/policy/try?user=alice&service=sshd&host=nowhere");
    assert!(unknown.status == 404 && unknown.body.contains("role=\"alert\""), "{unknown:?}");
    let policy = otto.get("/policy?host=web1").body;
    for word in ["on_unenrolled", ">default<", "web1", "enforce"] {
        assert!(policy.contains(word), "{word}: {policy}");
    }
    let status = otto.get("/status").body;
    assert!(status.contains("1 pending") && status.contains("all is well"), "{status}");
}
