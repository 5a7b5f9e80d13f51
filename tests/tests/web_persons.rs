//! The pages of persons: who sees them, who changes what, and what is asked twice.

use system_tests::machine::Machine;
use system_tests::pages::{Visitor, sign_in_for};
use system_tests::persons::PASSWORD;
use system_tests::postern;
use system_tests::staff::{Staff, send};
use wire::admin::{Person, Role};

fn person(login: &str) -> Person {
    postern::ask(&["person", "show", login])
}

// covers: P13, E6
#[test]
fn an_administrator_looks_after_persons_on_their_pages() {
    let _machine = Machine::without_module();
    let mut site = Staff::start("");
    let ann = site.visitor("ann");
    let form = ann.get("/persons/new");
    assert!(form.status == 200 && form.body.contains("Add a person"), "{form:?}");
    let frank = [
        ("login", "frank"),
        ("email", "frank@example.org"),
        ("name", "Frank <b>& Sons</b>"),
        ("accounts", "frank  deploy"),
        ("role", "auditor"),
    ];
    let added = send(&ann, "/persons/new", &frank);
    assert_eq!((added.status, added.header("location")), (303, Some("/persons/frank")), "{added:?}");
    let kept = person("frank");
    assert_eq!((kept.role, kept.accounts), (Role::Auditor, vec!["deploy".to_owned(), "frank".into()]));
    let page = ann.get("/persons/frank").body;
    assert!(page.contains("Frank &#60;b&#62;") && !page.contains("<b>"), "{page}");
    // What does not fit is said in one line, above what was typed.
    let twice = send(&ann, "/persons/new", &frank);
    assert_eq!(twice.status, 409);
    assert!(twice.body.contains("login name of a person already") && twice.body.contains("value=\"frank\""));
    let above =
        send(&ann, "/persons/frank/set", &[("email", "f@example.org"), ("name", "F"), ("role", "super")]);
    assert!(above.status == 403 && above.body.contains("more rights than you"), "{above:?}");
    let short = send(&ann, "/persons/frank/password", &[("password", "short")]);
    assert!(short.status == 400 && short.body.contains("12 to 256 characters"), "{short:?}");
    for (path, fields) in [
        ("set", &[("email", "f@example.org"), ("name", "Frank"), ("role", "user")][..]),
        ("password", &[("password", PASSWORD)]),
        ("share", &[("account", "backup")]),
        ("unshare", &[("account", "deploy")]),
        ("disable", &[]),
    ] {
        let changed = send(&ann, &format!("/persons/frank/{path}"), fields);
        assert_eq!(changed.header("location"), Some("/persons/frank"), "{path}: {changed:?}");
        assert!(!changed.body.contains(PASSWORD));
    }
    let kept = person("frank");
    assert_eq!((kept.email.as_deref(), kept.name.as_str()), (Some("f@example.org"), "Frank"));
    assert_eq!((kept.role, kept.enabled, kept.has_password), (Role::User, false, Some(true)));
    assert_eq!(kept.accounts, ["backup", "frank"]);
    let wrong = send(&ann, "/persons/frank/remove", &[("login", "fran")]);
    assert!(wrong.status == 409 && wrong.body.contains("not his login name"), "{wrong:?}");
    assert_eq!(
        send(&ann, "/persons/frank/remove", &[("login", "frank")]).header("location"),
        Some("/persons")
    );
    assert_eq!(ann.get("/persons/frank").status, 404);
    let listed = ann.get("/persons?q=DORA").body;
    assert!(listed.contains("/persons/dora") && !listed.contains("/persons/otto"), "{listed}");
}

// covers: P13, I05, I06, C04
#[test]
fn whoever_may_not_change_persons_is_offered_nothing_and_changes_nothing() {
    let _machine = Machine::without_module();
    let mut site = Staff::start("");
    let [ann, dora, otto, alice] = ["ann", "dora", "otto", "alice"].map(|name| site.visitor(name));
    let stranger = Visitor::new("stranger");
    let before = postern::audit().len();
    for path in ["/persons", "/persons/ann", "/persons/new"] {
        assert_eq!(stranger.get(path).header("location"), Some(&*sign_in_for(path)), "{path}");
        assert_eq!(alice.get(path).status, 403, "{path}");
    }
    for who in [&dora, &otto] {
        let page = who.get("/persons/ann");
        assert!(page.status == 200 && !page.body.contains("/persons/ann/set"), "{page:?}");
        assert_eq!(who.get("/persons/new").status, 403);
        assert_eq!(who.get("/persons/ann/remove").status, 403);
    }
    let posts = ["new", "ann/set", "ann/password", "ann/share", "ann/unshare", "ann/disable", "ann/remove"];
    let fields = [
        ("login", "ann"),
        ("email", "x@example.org"),
        ("name", "X"),
        ("role", "user"),
        ("account", "ann"),
        ("password", "another password of twelve"),
    ];
    for path in posts.map(|path| format!("/persons/{path}")) {
        for who in [&dora, &otto, &alice] {
            assert_eq!(send(who, &path, &fields).status, 403, "{path}");
        }
        // Whoever may, with the word of no page of his.
        assert_eq!(ann.post(&path, &fields).status, 403, "{path}");
    }
    assert_eq!(postern::audit().len(), before, "nothing changed");
}
