//! From the prompt to the mail, to the page, to the mail, to the login: real sshd, a real mail server, real pages.

use system_tests::flows::{LOGGED_IN, Outcome, SAY_WHO, answer_all, ssh_dialogue};
use system_tests::machine::{ALICE, ANN, Account, BOB, Machine};
use system_tests::pages::{Answer, Visitor, sign_in_for};
use system_tests::persons::{PASSWORD, add, approved_by};
use system_tests::site::{ADDRESS, ADDRESS_QUESTION, ANY_QUESTION, HER_QUESTION, Site, link};
use system_tests::{postern, sshd};
use wire::admin::{RequestList, RequestState};

/// Sends one of the forms of a page.
fn choose(visitor: &Visitor, page: &Answer, path: &str, fields: &[(&str, &str)]) -> Answer {
    let form = page.form_word().expect("a form");
    visitor.post(path, &[&[("form", form)], fields].concat())
}

fn log_in(question: &str, password: &str) -> Outcome {
    ssh_dialogue(ALICE, &[(question, password)])
}

// covers: R2, R3, R5, R6, R7, R8, R11, E2, E3, P13
#[test]
fn a_request_at_the_prompt_is_approved_on_the_page_and_its_mailed_password_opens_once() {
    let _machine = Machine::new();
    let mut site = Site::start();
    let number = site.ask("request", &[]);
    let to_carol = site.server.expect(1, "carol@example.org");
    assert!(to_carol.password().is_none(), "an approver is mailed no password: {to_carol:?}");
    assert!(!to_carol.text.contains(&format!("number is {number}")), "nor the number");
    let path = link(&to_carol, "/requests/");
    let carol = site.visitor("carol");
    let page = carol.get(&path);
    assert!(page.body.contains(ADDRESS) && page.body.contains("Approve"), "{page:?}");
    let wrong = if number == "10" { "11" } else { "10" };
    let refused = choose(&carol, &page, &format!("{path}/approve"), &[("number", wrong)]);
    assert_eq!(refused.status, 403, "{refused:?}");
    let approved = choose(&carol, &page, &format!("{path}/approve"), &[("number", &number)]);
    assert!(approved.status == 200 && approved.body.contains("approved by carol"), "{approved:?}");
    let again = choose(&carol, &page, &format!("{path}/deny"), &[]);
    assert!(again.status == 409 && again.body.contains("approved by carol"), "{again:?}");
    let to_alice = site.server.expect(1, ADDRESS);
    let password = to_alice.password().expect("a password").to_owned();
    assert!(!approved.body.contains(&password), "whoever approves does not see it");
    assert!(log_in(HER_QUESTION, &password).logged_in().contains(LOGGED_IN));
    let refused = log_in(ANY_QUESTION, &password).reference();
    assert_eq!(postern::explain(&refused).reason, "issued_used");
    let events: Vec<_> = postern::audit().into_iter().map(|record| record.event).collect();
    for event in ["access_requested", "access_approved"] {
        assert_eq!(events.iter().filter(|known| *known == event).count(), 1, "{event}: {events:?}");
    }
    let login = postern::audit().into_iter().find(|record| record.reason == "issued_password").unwrap();
    assert_eq!(login.person.as_deref(), Some("alice"));
}

// covers: R4, E3, E4
#[test]
fn an_emergency_is_marked_and_a_denial_is_mailed_to_who_asked() {
    let _machine = Machine::new();
    let mut site = Site::start();
    site.ask("emergency", &[("Reason: ", "the disk is full")]);
    let to_carol = site.server.expect(1, "carol@example.org");
    assert!(to_carol.header("Subject").starts_with("EMERGENCY"), "{to_carol:?}");
    let path = link(&to_carol, "/requests/");
    let carol = site.visitor("carol");
    let page = carol.get(&path);
    assert!(page.body.contains("the disk is full") && page.body.contains("Emergency"), "{page:?}");
    let denied = choose(&carol, &page, &format!("{path}/deny"), &[]);
    assert!(denied.status == 200 && denied.body.contains("denied by carol"), "{denied:?}");
    let to_alice = site.server.expect(1, ADDRESS);
    assert!(to_alice.header("Subject").contains("denied") && to_alice.password().is_none(), "{to_alice:?}");
}

/// Runs `postern` as somebody; its exit status and what it said.
fn by(machine: &Machine, account: Account, words: &[&str]) -> (Option<i32>, String) {
    let output = postern::run_by(machine, account, words, "");
    (output.status.code(), postern::said(&output))
}

/// The one request that an approver decides about.
#[track_caller]
fn to_decide(machine: &Machine, approver: Account) -> String {
    let listed = postern::run_by(machine, approver, &["--json", "request", "list", "--mine", "--open"], "");
    let mut requests = postern::read::<RequestList>(&listed).items;
    requests.retain(|request| request.state == RequestState::Pending);
    assert_eq!(requests.len(), 1, "{requests:?}");
    requests.remove(0).id
}

// covers: E3, E2, R2
#[test]
fn an_approver_decides_by_command_and_nobody_else_does() {
    let machine = Machine::new();
    machine.add_staff();
    let site = Site::start_as(&approved_by(&["ann"]), "");
    ["alice", "bob", "ann"].iter().for_each(|name| add(name));
    let number = site.ask("request", &[]);
    let id = to_decide(&machine, ANN);
    let approve = ["request", "approve", &id, "--number", &number];
    // Whoever asked sees her request, and decides nothing. Root is nobody.
    let (status, said) = by(&machine, ALICE, &["request", "show", &id]);
    assert!(status == Some(0) && said.contains("pending"), "{said}");
    for words in [&approve[..], &["request", "deny", &id]] {
        assert_ne!(by(&machine, ALICE, words).0, Some(0));
        assert_eq!(postern::run(words).status.code(), Some(postern::NOT_ALLOWED));
    }
    let (status, said) = by(&machine, ANN, &approve);
    assert!(status == Some(0) && said.contains("is on its way to the person who asked"), "{said}");
    let mail = site.server.expect(1, ADDRESS);
    let password = mail.password().expect("a password");
    assert!(!said.contains(password), "whoever approves does not see it");
    for words in [&approve[..], &["request", "deny", &id]] {
        let (status, said) = by(&machine, ANN, words);
        assert!(status == Some(postern::CONFLICT) && said.contains("approved by ann"), "{said}");
    }
    assert!(log_in(HER_QUESTION, password).logged_in().contains(LOGGED_IN));

    let mut terminal = sshd::login_up_to_password(BOB, SAY_WHO);
    answer_all(&mut terminal, &[(ANY_QUESTION, "request"), (ADDRESS_QUESTION, "bob@example.org")]);
    terminal.expect("One-time password for bob@example.org: ");
    terminal.hang_up();
    let id = to_decide(&machine, ANN);
    let (status, said) = by(&machine, ANN, &["request", "deny", &id]);
    assert!(status == Some(0) && said.contains("denied"), "{said}");
    let told = site.server.expect(1, "bob@example.org");
    assert!(told.header("Subject").contains("denied") && told.password().is_none(), "{told:?}");
    sshd::login_up_to_password(BOB, SAY_WHO).expect(ANY_QUESTION);
}

// covers: C03, C18, E3, R5
#[test]
fn a_program_that_follows_links_and_sends_forms_changes_nothing_and_alice_decides_nothing() {
    let _machine = Machine::new();
    let mut site = Site::start();
    let number = site.ask("request", &[]);
    let path = link(&site.server.expect(1, "carol@example.org"), "/requests/");
    let scanner = Visitor::new("scanner");
    for more in [&[][..], &["--head"], &["--request", "OPTIONS"], &["--header", "sec-purpose: prefetch"]] {
        let answer = scanner.ask(&path, more, "");
        assert!([303, 403].contains(&answer.status), "{more:?}: {answer:?}");
    }
    for choice in ["approve", "deny", "cancel"] {
        let answer = scanner.post(&format!("{path}/{choice}"), &[("number", &number), ("form", "")]);
        assert_eq!(answer.header("location"), Some("/sign-in"), "{answer:?}");
    }
    // With her session, and without the word of her form, or with that of another session.
    let carol = site.visitor("carol");
    for form in ["", "x"] {
        let answer = carol.post(&format!("{path}/approve"), &[("number", &number), ("form", form)]);
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    assert!(carol.get(&path).body.contains("Approve"), "it waits still");
    let page = carol.get(&path);
    assert_eq!(choose(&carol, &page, &format!("{path}/approve"), &[("number", &number)]).status, 200);
    let to_alice = site.server.expect(1, ADDRESS);
    let not_me = link(&to_alice, "/not-me/");
    for answer in
        [scanner.get(&not_me), scanner.post(&not_me, &[]), scanner.post(&not_me, &[("account", "x")])]
    {
        assert!([200, 403].contains(&answer.status), "{answer:?}");
    }
    // Without the mail nobody learns whose request it is.
    let (request, _) = not_me.rsplit_once('/').expect("a proof");
    let unproven = format!("{request}/00000000000000000000000000");
    let [right, wrong] = ["alice", "x"].map(|account| scanner.post(&unproven, &[("account", account)]));
    assert_eq!((right.status, right.body), (404, wrong.body));
    let password = to_alice.password().expect("a password").to_owned();
    // Whoever says that he did not ask makes it void.
    let said = scanner.post(&not_me, &[("account", "alice")]);
    assert!(said.status == 200 && said.body.contains("is void"), "{said:?}");
    let refused = log_in(ANY_QUESTION, &password).reference();
    assert_eq!(postern::explain(&refused).reason, "issued_void");
}

// covers: I07
#[test]
fn whoever_signs_out_is_nobody_and_his_cookie_opens_nothing() {
    let _machine = Machine::new();
    let mut site = Site::start();
    let carol = site.visitor("carol");
    let page = carol.get("/requests");
    assert!(page.status == 200 && page.body.contains("Access requests"), "{page:?}");
    let stolen = format!("cookie: __Host-postern={}", carol.cookie().expect("a cookie"));
    let thief = Visitor::new("thief");
    assert_eq!(thief.ask("/requests", &["--header", &stolen], "").status, 200, "it is who she is");
    assert_eq!(choose(&carol, &page, "/sign-out", &[]).header("location"), Some("/sign-in"));
    assert_eq!(
        thief.ask("/requests", &["--header", &stolen], "").header("location"),
        Some(&*sign_in_for("/requests"))
    );
    // Another password ends what was begun with the former one.
    let carol = site.visitor("carol");
    let changed =
        postern::run_with_input(&["person", "password", "carol"], "another password of twelve and more\n");
    assert!(changed.status.success(), "{}", postern::said(&changed));
    assert_eq!(carol.get("/requests").header("location"), Some(&*sign_in_for("/requests")));
}

// covers: B01, E10
#[test]
fn a_wrong_password_tells_nothing_and_is_slowed() {
    let _machine = Machine::new();
    let _site = Site::start();
    let visitor = Visitor::new("guesser");
    let mut said = Vec::new();
    for login in ["carol", "nobody"] {
        let answer = visitor.post("/sign-in", &[("login", login), ("password", "a wrong password")]);
        assert_eq!(answer.status, 403, "{answer:?}");
        let text =
            answer.body.split("role=\"alert\">").nth(1).and_then(|rest| rest.split(" Reference").next());
        said.push(text.expect("a line").to_owned());
    }
    assert_eq!(said[0], said[1]);
    let guess = || visitor.post("/sign-in", &[("login", "carol"), ("password", "a wrong password")]);
    let answers: Vec<_> = (0..12).map(|_| guess()).collect();
    assert!(answers.iter().all(|answer| answer.status == 403 && answer.header("set-cookie").is_none()));
    let right = visitor.post("/sign-in", &[("login", "carol"), ("password", PASSWORD)]);
    assert_eq!(right.status, 403, "the right one too, for a while: {right:?}");
    let reasons: Vec<_> = postern::audit().into_iter().map(|record| record.reason).collect();
    assert!(reasons.contains(&"throttled".to_owned()), "{reasons:?}");
}
