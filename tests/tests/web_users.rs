//! The pages of users and tokens, and one's own: who sees what, who changes what.

use system_tests::agent::fleet_section;
use system_tests::flows::associated;
use system_tests::machine::Machine;
use system_tests::pages::{Answer, Visitor, encode, sign_in_for};
use system_tests::postern;
use system_tests::staff::{Staff, send};
use wire::admin::{OnOff, TokenState};

fn start() -> Staff {
    let mut staff = Staff::start(&fleet_section(&["127.0.0.1"]));
    associated(&mut staff.fobs[BOBS], "bob");
    postern::add_token(&staff.fobs[FREE], None);
    staff
}

/// Places in the drawer of alice's token, of bob's, and of one that nobody has.
const ALICES: usize = 3;
const BOBS: usize = 4;
const FREE: usize = 5;

fn serial(staff: &Staff, place: usize) -> String {
    staff.fobs[place].serial.clone()
}

fn is_denied(answer: &Answer) -> bool {
    answer.status == 403 && answer.body.contains("does not permit this")
}

// covers: P13, I05, I06, C04
#[test]
fn a_page_does_for_a_role_what_the_command_does_and_no_more() {
    let _machine = Machine::without_module();
    let mut site = start();
    let (bobs, free) = (serial(&site, BOBS), serial(&site, FREE));
    let [ann, dora, otto, alice] = ["ann", "dora", "otto", "alice"].map(|name| site.visitor(name));
    for path in ["/users", "/users/bob", "/tokens", &format!("/tokens/{bobs}")] {
        let stranger = Visitor::new("stranger").get(path);
        assert_eq!(
            (stranger.status, stranger.header("location")),
            (303, Some(&*sign_in_for(path))),
            "{path}"
        );
        for visitor in [&ann, &dora, &otto] {
            assert_eq!(visitor.get(path).status, 200, "{path}");
        }
        assert_eq!(alice.get(path).status, 403, "{path}");
    }
    let before = postern::audit().len();
    // Verbs that only an administrator has for everybody, then those of the help desk too.
    let admins = [
        "/users".to_owned(),
        "/tokens".into(),
        "/users/bob/on".into(),
        "/users/bob/off".into(),
        "/users/bob/app".into(),
        format!("/tokens/{free}/assign"),
        format!("/tokens/{bobs}/disable"),
        format!("/tokens/{bobs}/enable"),
        format!("/tokens/{free}/remove"),
        format!("/tokens/{bobs}/disassociate"),
        "/users/bob/recovery".into(),
    ];
    let helpdesks = [
        "/users/bob/unlock".to_owned(),
        format!("/tokens/{free}/associate"),
        format!("/tokens/{bobs}/resync"),
        format!("/tokens/{bobs}/test"),
        format!("/tokens/{bobs}/lost"),
    ];
    let fields = [("name", "bob"), ("user", "bob"), ("serial", free.as_str()), ("code", "000000")];
    for (path, who) in admins
        .iter()
        .flat_map(|path| [(path, &dora), (path, &otto), (path, &alice)])
        .chain(helpdesks.iter().flat_map(|path| [(path, &otto), (path, &alice)]))
    {
        let answer = send(who, path, &fields);
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
    }
    for path in admins.iter().chain(&helpdesks) {
        let form = ann.get("/account").form_word().expect("a form").to_owned();
        let body = encode(&[&[("form", form.as_str())][..], &fields].concat());
        let foreign = ["--header", "origin: https://evil.example", "--data-binary", "@-"];
        assert_eq!(ann.ask(path, &foreign, &body).status, 403, "{path}");
        assert_eq!(ann.post(path, &fields).status, 403, "{path}");
    }
    assert_eq!(postern::audit().len(), before, "nothing changed");
    assert!(
        is_denied(&otto.get(&format!("/tokens/{bobs}/lost")))
            || !otto.get(&format!("/tokens/{bobs}")).body.contains("/lost")
    );
    assert!(!otto.get("/users/bob").body.contains("action=\"/users/bob"), "nothing is offered");
    let to_bob = send(&dora, &format!("/tokens/{}/lost", serial(&site, 0)), &[]);
    assert!(to_bob.status == 403 && to_bob.body.contains("more rights than you"), "{to_bob:?}");
}

// covers: A2, A4, A6, A8, A9, P13
#[test]
fn the_help_desk_resyncs_and_an_administrator_disassociates_after_a_second_question() {
    let _machine = Machine::without_module();
    let mut site = start();
    let (bobs, free) = (serial(&site, BOBS), serial(&site, FREE));
    let [ann, dora] = ["ann", "dora"].map(|name| site.visitor(name));
    let list = dora.get("/users?q=BO").body;
    assert!(list.contains(&format!("{bobs} (associated)")) && !list.contains(">alice<"), "{list}");
    assert!(dora.get(&format!("/users?q={bobs}")).body.contains(">bob<"), "by a serial number");
    let none = dora.get("/users?q=%3Cb%3Ex").body;
    assert!(none.contains("no such user") && !none.contains("<b>x"), "{none}");
    let found = dora.get("/tokens?state=available").body;
    assert!(found.contains(&free) && !found.contains(&bobs), "{found}");
    let wrong = dora.get("/tokens?state=broken");
    assert!(wrong.status == 400 && wrong.body.contains("role=\"alert\""), "{wrong:?}");

    let resync = format!("/tokens/{bobs}/resync");
    let refused = send(&dora, &resync, &[("code", "000000"), ("next_code", "000000")]);
    assert!(refused.status >= 400 && refused.body.contains("role=\"alert\""), "{refused:?}");
    let (code, next_code) = (site.fobs[BOBS].press(), site.fobs[BOBS].press());
    let done = send(&dora, &resync, &[("code", &code), ("next_code", &next_code)]);
    let to = format!("/tokens/{bobs}?done=resync");
    assert_eq!(done.header("location"), Some(to.as_str()), "{done:?}");
    assert!(dora.get(&to).body.contains("in step again"));
    let code = site.fobs[BOBS].press();
    let tested = send(&dora, &format!("/tokens/{bobs}/test"), &[("code", &code)]);
    assert!(tested.status == 200 && tested.body.contains("The code is right"), "{tested:?}");

    // A wrong serial number and a wrong code read the same, but for the reference.
    let says = |serial: &str| {
        let answer = send(&dora, "/users/bob/associate", &[("serial", serial), ("code", "000000")]);
        let said = answer.body.split("role=\"alert\">").nth(1).and_then(|rest| rest.split('<').next());
        let said = said.expect("why").split(" Reference").next().expect("a text").to_owned();
        (answer.status, said)
    };
    let known = says(&free);
    assert!(known.1.contains("serial number or the code is wrong"), "{known:?}");
    assert_eq!(known, says("9999999999999"));
    let code = site.fobs[FREE].press();
    let done = send(&dora, "/users/bob/associate", &[("serial", &free), ("code", &code)]);
    assert_eq!(done.header("location"), Some("/users/bob?done=associated"), "{done:?}");
    assert_eq!(postern::token(&free).state, TokenState::Associated);

    let asked = ann.get(&format!("/tokens/{free}/disassociate"));
    assert!(asked.status == 200 && asked.body.contains("It belongs to bob."), "{asked:?}");
    assert_eq!(postern::token(&free).state, TokenState::Associated, "a page changes nothing");
    let done = send(&ann, &format!("/tokens/{free}/disassociate"), &[]);
    assert_eq!(done.status, 303, "{done:?}");
    assert_eq!(postern::token(&free).state, TokenState::Available);
    assert_eq!(send(&ann, "/users/bob/off", &[]).status, 303);
    assert_eq!(postern::user("bob").otp, OnOff::Off);
    assert_eq!(send(&ann, "/users", &[("name", "zed"), ("with", "token")]).status, 303);
    assert_eq!(postern::user("zed").otp, OnOff::On);
}

// covers: P13, I06
#[test]
fn a_user_sees_and_changes_his_own_alone() {
    let _machine = Machine::without_module();
    let mut site = start();
    let (alices, bobs) = (serial(&site, ALICES), serial(&site, BOBS));
    let alice = site.visitor("alice");
    let page = alice.get("/account").body;
    assert!(page.contains(&alices) && !page.contains(&bobs) && !page.contains("href=\"/users\""), "{page}");
    assert!(alice.get(&format!("/tokens/{alices}")).body.contains("Re-sync"));
    // Another's, and what does not exist, look alike.
    let text = |path: &str| {
        let answer = alice.get(path);
        (
            answer.status,
            answer.body.contains("this is not yours") || answer.body.contains("This is not yours"),
        )
    };
    for path in [format!("/tokens/{bobs}"), "/tokens/9999999999999".into()] {
        assert_eq!(text(&path), (403, true), "{path}");
    }
    let wrong = send(&alice, "/users/alice/recovery", &[("code", "000000")]);
    assert!(wrong.status >= 400 && wrong.body.contains("role=\"alert\""), "{wrong:?}");
    let code = site.fobs[ALICES].press();
    assert_eq!(send(&alice, "/users/bob/recovery", &[("code", &code)]).status, 403);
    let made = send(&alice, "/users/alice/recovery", &[("code", &code)]);
    assert_eq!((made.status, made.body.matches("<li><code>").count()), (200, 10), "{made:?}");
    assert_eq!(made.header("cache-control"), Some("no-store"));
    assert!(!alice.get("/users/alice/recovery").body.contains("<li><code>"), "they are shown once");
    let code = site.fobs[ALICES].press();
    let last = send(&alice, &format!("/tokens/{alices}/disassociate"), &[("code", &code)]);
    assert!(last.status == 409 && last.body.contains("role=\"alert\""), "his last one stays: {last:?}");
    assert_eq!(send(&alice, &format!("/tokens/{alices}/lost"), &[]).status, 303);
    assert_eq!(postern::token(&alices).state, TokenState::Lost);
}
