//! Persons of a directory, which is a real `slapd`: who is found, who is let in, and what a directory that fails does.

use system_tests::login_socket::{Login, verdict};
use system_tests::machine::{DORA, Machine};
use system_tests::slapd::{PASSWORD, Shows, Slapd, person};
use system_tests::time;
use system_tests::verifier::{Verifier, config};
use system_tests::{persons, postern};
use wire::admin::{Person, PersonOrigin, Role};
use wire::login::{Reply, Verdict};

/// Everybody gives login name and password of a person.
const SECONDARY: &str = "[access]\nlogin_step = \"secondary\"\n";

/// Exit status where there is no such thing.
const NOT_FOUND: i32 = 4;
/// Exit status where it cannot be told at the moment.
const NOT_READY: i32 = 7;

/// A daemon that asks a directory.
fn start(slapd: &Slapd, section: &str) -> Verifier {
    let mut verifier = Verifier::prepare(&config(&format!("{SECONDARY}{section}")));
    slapd.write_files();
    verifier.initialise();
    verifier.launch();
    verifier
}

/// carol, an admin who shares an account with dave; erin, who left.
fn people() -> String {
    [
        person("carol", "description: deploy\nou: cn=admins,dc=example,dc=org\n"),
        person("dave", "description: deploy\n"),
        person("erin", "description: deploy\nemployeeType: left\n"),
        person("frank", ""),
    ]
    .concat()
}

/// Login name and password for an account.
fn login(account: &str, name: &str, password: &str) -> Reply {
    let dialogue = Login::by_ssh(account).begin().expect("an answer");
    dialogue.follow(name).answer(password).expect("an answer")
}

/// The exit status of looking for somebody.
fn looked_for(name: &str) -> Option<i32> {
    postern::run(&["person", "show", name]).status.code()
}

/// covers: E1, E5
#[test]
fn a_person_of_the_directory_uses_a_shared_account_whichever_way_it_is_encrypted() {
    let _machine = Machine::without_module();
    for encrypted_at_once in [true, false] {
        let mut slapd = Slapd::new(&people());
        slapd.start(Shows::Right);
        let verifier = start(&slapd, &Slapd::section(encrypted_at_once, ""));
        let carol: Person = postern::ask(&["person", "show", "CAROL"]);
        assert_eq!((carol.login.as_str(), carol.email.as_deref()), ("carol", Some("carol@example.org")));
        assert_eq!(
            (carol.origin, carol.role, carol.has_password),
            (PersonOrigin::Directory, Role::Admin, None)
        );
        assert_eq!(
            (carol.accounts, carol.name.as_str()),
            (vec!["carol".into(), "deploy".into()], "carol of the directory")
        );
        for nobody in ["erin", "nobody", "*", "carol)(uid=*", "postern", ""] {
            assert_ne!(looked_for(nobody), Some(0), "{nobody:?}");
        }
        assert_eq!(looked_for("*"), Some(NOT_FOUND));
        for name in ["carol", "dave"] {
            assert_eq!(verdict(&login("deploy", name, PASSWORD)), Verdict::Allow, "{name}");
        }
        for (name, password) in [
            ("carol", "wrong"),
            ("carol", ""),
            ("erin", PASSWORD),
            ("frank", PASSWORD),
            ("nobody", PASSWORD),
            ("*", PASSWORD),
        ] {
            let reply = login("deploy", name, password);
            assert_ne!(verdict(&reply), Verdict::Allow, "{name:?} {password:?}");
        }
        drop(verifier);
    }
}

/// covers: I05
#[test]
fn the_help_desk_does_not_reach_an_administrator_of_the_directory_nor_whom_nobody_knows_at_the_moment() {
    let machine = Machine::without_module();
    machine.add_staff();
    let mut slapd = Slapd::new(&people());
    slapd.start(Shows::Right);
    let roles = "[roles]\nhelpdesk = [\"dora\"]\n";
    let _verifier = start(&slapd, &format!("{roles}{}", Slapd::section(true, "")));
    ["carol", "dave", "frank"].iter().for_each(|name| postern::otp_on(name));
    let unlock = |user| postern::run_by(&machine, DORA, &["--yes", "user", "unlock", user], "").status.code();
    assert_eq!(unlock("carol"), Some(postern::NOT_ALLOWED));
    assert_eq!(unlock("dave"), Some(0));
    slapd.stop();
    assert_eq!(unlock("frank"), Some(NOT_READY));
}

/// covers: E5
#[test]
fn a_directory_that_fails_never_means_nobody() {
    let _machine = Machine::without_module();
    let mut slapd = Slapd::new(&people());
    let _verifier = start(&slapd, &Slapd::section(true, ""));
    persons::add("alice");
    assert_eq!(looked_for("carol"), Some(NOT_READY), "it is down");
    assert_eq!(verdict(&login("deploy", "carol", PASSWORD)), Verdict::Unavailable);
    for shows in [Shows::WrongName, Shows::Untrusted] {
        slapd.start(shows);
        assert_eq!(looked_for("carol"), Some(NOT_READY), "{shows:?}");
        slapd.stop();
    }
    slapd.start(Shows::Right);
    assert_eq!(looked_for("carol"), Some(0), "it is well");
    slapd.freeze();
    let begun = time::now();
    assert_eq!(looked_for("dave"), Some(NOT_READY), "it is mute");
    let reply = login("deploy", "dave", PASSWORD);
    let took = begun.elapsed().as_secs();
    assert_eq!(verdict(&reply), Verdict::Unavailable, "after {took} s");
    slapd.thaw();
    assert_eq!(verdict(&login("deploy", "dave", PASSWORD)), Verdict::Allow);
}

/// covers: C05
#[test]
fn whoever_has_a_login_name_of_our_own_records_is_nobody_in_the_directory() {
    let _machine = Machine::without_module();
    let mut slapd = Slapd::new(&people());
    slapd.start(Shows::Right);
    let _verifier = start(&slapd, &Slapd::section(true, ""));
    persons::add("carol");
    let carol: Person = postern::ask(&["person", "show", "carol"]);
    assert_eq!((carol.origin, carol.role), (PersonOrigin::Internal, Role::User));
    assert_eq!(verdict(&login("carol", "carol", persons::PASSWORD)), Verdict::Allow);
    assert_ne!(verdict(&login("carol", "carol", PASSWORD)), Verdict::Allow);
    assert_ne!(verdict(&login("deploy", "carol", PASSWORD)), Verdict::Allow);
}

#[test]
fn one_of_ten_thousand_is_found_and_one_address_of_two_is_nobodys() {
    let _machine = Machine::without_module();
    let mut more: String = (0..10_000).map(|number| person(&format!("p{number}"), "")).collect();
    for name in ["one", "two"] {
        let twin = person("twin", "").replace("dn: uid=twin", &format!("dn: cn={name}"));
        more.push_str(&twin.replace("cn: twin of the directory", &format!("cn: {name}")));
    }
    let mut slapd = Slapd::new(&more);
    slapd.start(Shows::Right);
    let _verifier = start(&slapd, &Slapd::section(true, ""));
    let found: Person = postern::ask(&["person", "show", "p9876"]);
    assert_eq!(found.email.as_deref(), Some("p9876@example.org"));
    assert_eq!(verdict(&login("p1234", "p1234", PASSWORD)), Verdict::Allow);
    assert_eq!(looked_for("p10000"), Some(NOT_FOUND));
    assert_eq!(looked_for("twin"), Some(NOT_FOUND));
}
