//! The mail with a password where the mail server fails: who waits for it and who approved it see how it stands, it is tried
//! for as long as it is of use, and it arrives once.

use system_tests::flows::{SAY_WHO, ssh_outcome};
use system_tests::machine::{ALICE, Account, BOB, Machine};
use system_tests::pages::Visitor;
use system_tests::persons::{approved_by, ask_for_approval};
use system_tests::postern;
use system_tests::site::{ADDRESS, Site, number_in};
use system_tests::smtp::{Mood, expect_failures, failures};
use system_tests::sshd;
use system_tests::time::wait_for;
use wire::admin::{AccessRequest, MailProgress, RequestList, RequestState};

/// Who asks, and who approves, each with a token to sign in with.
struct Asked<'a> {
    machine: &'a Machine,
    account: Account,
    approver: &'a Visitor,
    own: Visitor,
    id: String,
}

impl<'a> Asked<'a> {
    /// Asks for a password, and has it approved on the page when the mail server does not take what comes.
    fn approved(
        site: &mut Site,
        machine: &'a Machine,
        account: Account,
        approver: &'a Visitor,
        mood: Mood,
    ) -> Self {
        let own = site.visitor(account.name);
        let told = ask_for_approval(account.name).reply.show.join("\n");
        let requests = postern::ask::<RequestList>(&["request", "list"]).items;
        let mut open = requests.into_iter().filter(|request| request.state == RequestState::Pending);
        let id = open.next().expect("a request that waits").id;
        // The approver has hers; all that fails from here on is the one with the password.
        site.server.expect(1, "carol@example.org");
        site.server.set(mood);
        let path = format!("/requests/{id}");
        let page = approver.get(&path);
        let fields = [("form", page.form_word().expect("a form")), ("number", &*number_in(&told))];
        let decided = approver.post(&format!("{path}/approve"), &fields);
        assert!(decided.status == 200 && decided.body.contains("approved by carol"), "{decided:?}");
        Self { machine, account, approver, own, id }
    }

    /// Waits until the mail stands so, as the one who asked is told by command.
    #[track_caller]
    fn expect_told(&self, mail: MailProgress, word: &str) {
        let words = ["--json", "request", "show", &self.id];
        wait_for(&format!("a mail that is {word}"), || {
            let shown = postern::run_by(self.machine, self.account, &words, "");
            (postern::read::<AccessRequest>(&shown).mail == Some(mail)).then_some(())
        });
        let shown = postern::said(&postern::run_by(self.machine, self.account, &words[1..], ""));
        assert!(shown.lines().any(|line| line.starts_with("mail") && line.ends_with(word)), "{shown}");
    }

    /// The same; then the pages say so too, his own and the approver's.
    #[track_caller]
    fn expect_mail(&self, mail: MailProgress, word: &str) {
        self.expect_told(mail, word);
        for visitor in [&self.own, self.approver] {
            let page = visitor.get(&format!("/requests/{}", self.id)).body;
            assert!(page.contains(&format!("<dt>Mail with the password</dt><dd>{word}</dd>")), "{page}");
        }
    }
}

/// Alice, bob and carol, who approves and is signed in.
fn start() -> (Site, Visitor) {
    let mut site = Site::start_as(&approved_by(&["carol"]), "");
    ["alice", "bob", "carol"].iter().for_each(|name| site.add(name));
    let carol = site.visitor("carol");
    (site, carol)
}

// covers: C14, P13
#[test]
fn who_waits_and_who_approved_see_that_a_mail_is_late_and_it_comes_once_when_the_server_is_back() {
    let machine = Machine::new();
    let (mut site, carol) = start();
    let alice = Asked::approved(&mut site, &machine, ALICE, &carol, Mood::Later);
    let refused = || site.server.refused().iter().filter(|it| it.to.as_deref() == Some(ADDRESS)).count();
    let expect_refused = |count| wait_for("a try", || (refused() >= count).then_some(()));
    expect_refused(1);
    alice.expect_mail(MailProgress::Waiting, "on its way");
    site.verifier.clock.advance(60);
    expect_failures(2);
    alice.expect_mail(MailProgress::Waiting, "on its way");
    site.server.set(Mood::Accept);
    site.verifier.clock.advance(120);
    let mail = site.server.expect(1, ADDRESS);
    alice.expect_mail(MailProgress::Sent, "sent");
    assert_eq!(failures(), 2, "no try but those that were due");
    let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
    terminal.expect("One-time password for alice@example.org: ");
    terminal.type_line(mail.password().expect("a password"));
    ssh_outcome(terminal).logged_in();
    assert_eq!(site.server.mails().iter().filter(|it| it.recipients == mail.recipients).count(), 1);
}

// covers: C14, P13, R9
#[test]
fn a_mail_that_is_given_up_is_told_as_not_delivered_and_resend_sends_another() {
    let machine = Machine::new();
    let (mut site, carol) = start();
    let bob = Asked::approved(&mut site, &machine, BOB, &carol, Mood::Never);
    bob.expect_mail(MailProgress::Failed, "not delivered");
    // The server is mended, and nothing is tried by itself.
    site.server.set(Mood::Accept);
    site.verifier.clock.advance(120);
    bob.expect_mail(MailProgress::Failed, "not delivered");
    let mut terminal = sshd::login_up_to_password(BOB, SAY_WHO);
    terminal.expect("One-time password for bob@example.org: ");
    terminal.type_line("resend");
    let said = terminal.expect("One-time password for bob@example.org: ");
    assert!(said.contains("Sent again."), "{said}");
    let mail = site.server.expect(1, "bob@example.org");
    bob.expect_mail(MailProgress::Sent, "sent");
    terminal.type_line(mail.password().expect("a password"));
    ssh_outcome(terminal).logged_in();
    assert_eq!(site.server.mails().iter().filter(|it| it.recipients == mail.recipients).count(), 1);
}

// covers: C14
#[test]
fn a_mail_is_tried_no_longer_than_its_password_is_of_use() {
    let machine = Machine::new();
    let (mut site, carol) = start();
    let alice = Asked::approved(&mut site, &machine, ALICE, &carol, Mood::Later);
    expect_failures(1);
    site.verifier.clock.advance(31 * 60);
    alice.expect_told(MailProgress::Failed, "not delivered");
    site.server.set(Mood::Accept);
    site.verifier.clock.advance(60 * 60);
    let failed = postern::audit().into_iter().filter(|record| record.event == "mail_failed");
    let details: Vec<_> = failed.filter_map(|record| record.detail).collect();
    let [detail] = &details[..] else { panic!("{details:?}") };
    assert!(detail.contains(ADDRESS) && detail.contains("451"), "{detail}");
    assert_eq!(failures(), 1);
    assert!(site.server.mails().iter().all(|mail| mail.recipients == ["carol@example.org"]));
}
