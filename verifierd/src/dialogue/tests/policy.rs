use std::borrow::Cow;
use std::time::Duration;

use wire::admin::EnrolWith;
use wire::verify::{Verified, Verify};

use super::*;
use crate::accounts::UserName;
use crate::hosts::{GroupName, HostId, HostName};
use crate::trial::{End, Fob};

const SERIAL: &str = "2600000000001";

fn rule(lines: &str) -> String {
    format!("[[access.rule]]\nname = \"the rule\"\n{lines}\n")
}

async fn trial_with(config: &str) -> Trial {
    Trial::with_config(&format!("version = 1\n{config}")).await
}

/// Exchanges the configuration, as a reload does.
fn reload(trial: &Trial, config: &str) {
    let config = Config::parse(&format!("version = 1\n{config}")).unwrap();
    trial.service.dialogue.config.store(Arc::new(config));
}

fn host(name: &str, group: Option<&str>) -> HostIdentity {
    HostIdentity {
        id: HostId::from_random([9; 16]),
        name: HostName::new(name).unwrap(),
        group: group.map(|group| GroupName::new(group).unwrap()),
    }
}

async fn begin_at(trial: &Trial, user: &str, host: &HostIdentity) -> Reply {
    let begin = Begin {
        api_version: 1,
        request_id: trial.request_id(),
        user: user.into(),
        service: "sshd".into(),
        rhost: None,
        ruser: None,
        tty: None,
        columns: None,
        session: None,
        offline_grant_until: None,
    };
    trial.service.dialogue.begin(begin, Some(host.clone())).await.unwrap()
}

async fn verify_at(trial: &Trial, host: Option<&HostIdentity>, user: &str, code: &str) -> Verified<'static> {
    let request = Verify {
        request_id: Cow::Owned(trial.request_id()),
        user: Cow::Owned(user.into()),
        service: "vpn".into(),
        rhost: Some("192.0.2.7".into()),
        code: Cow::Owned(code.into()),
    };
    let told = trial.service.dialogue.verify(request, host).await.unwrap();
    let Verified { verdict, reference, message, .. } = told;
    Verified {
        request_id: "".into(),
        user: "".into(),
        service: "".into(),
        host: None,
        verdict,
        reference,
        message,
    }
}

/// What a record says of the decision: verdict, reason, rule, roll-out.
fn told(trial: &Trial, reference: &str) -> [String; 4] {
    let record = trial.explain(reference);
    [record.verdict, Some(record.reason), record.rule, record.rollout].map(|said| said.unwrap_or_default())
}

fn told_of(trial: &Trial, end: &End) -> [String; 4] {
    told(trial, &end.reference)
}

// covers: A10
#[tokio::test]
async fn a_denied_user_is_asked_like_everybody_and_refused_whatever_he_types() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let free = trial.ask("alice", "sshd", None).await;
    reload(&trial, &rule("then = \"deny\"\nuser = [\"alice\"]"));
    let asked = trial.ask("alice", "sshd", None).await;
    assert_eq!((&asked.show, &asked.question, asked.empty_allowed), (&free.show, &free.question, false));
    let code = trial.code(&key, 0);
    let end = trial.answer(&asked, &code).await;
    assert!(end.text.starts_with("Access denied. Reference "), "{}", end.text);
    assert_eq!(told_of(&trial, &end), ["deny", "denied_by_rule", "the rule", ""]);
    reload(&trial, "");
    assert_eq!(trial.login("alice", "sshd", &code).await.verdict, Verdict::Allow, "it was not looked at");
}

// covers: A10
#[tokio::test]
async fn a_denied_user_cannot_be_told_from_one_who_types_wrong_codes() {
    let (denied, wrong) = (trial_with(&rule("then = \"deny\"")).await, Trial::new().await);
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        one.push(denied.login("alice", "sshd", "000000").await.text);
        other.push(wrong.login("alice", "sshd", "000000").await.text);
    }
    let words = |texts: &[String]| -> Vec<String> {
        texts.iter().map(|text| text.split(" Reference").next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(words(&one), words(&other));
    assert!(one[6].starts_with("Too many attempts."), "{one:?}");
}

// covers: A10
#[tokio::test]
async fn a_deny_rule_holds_for_codes_that_are_verified_without_a_dialogue() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    reload(&trial, &rule("then = \"deny\"\nsource = [\"192.0.2.0/24\"]"));
    let code = trial.code(&key, 0);
    let refused = verify_at(&trial, None, "alice", &code).await;
    assert_eq!(refused.verdict, Verdict::Deny);
    assert_eq!(told(&trial, &refused.reference), ["deny", "denied_by_rule", "the rule", ""]);
    assert!(refused.message.unwrap().starts_with("Access denied."));
    let web1 = host("web1", None);
    assert_eq!(verify_at(&trial, Some(&web1), "alice", &code).await.verdict, Verdict::Deny, "at a host too");
    reload(&trial, &rule("then = \"deny\"\nsource = [\"198.51.100.0/24\"]"));
    assert_eq!(
        verify_at(&trial, None, "alice", &code).await.verdict,
        Verdict::Allow,
        "the code is still unused"
    );
}

// covers: A10
#[tokio::test]
async fn a_rule_that_demands_a_code_stands_in_the_record_of_every_way() {
    for then in ["require-token", "require-any-otp"] {
        let trial = Trial::new().await;
        let key = trial.activate("alice").await;
        reload(&trial, &rule(&format!("then = \"{then}\"")));
        let verified = verify_at(&trial, None, "alice", &trial.code(&key, 0)).await;
        assert_eq!(told(&trial, &verified.reference), ["allow", "accepted", "the rule", ""], "{then}");
        trial.advance(STEP);
        let end = trial.login("alice", "sshd", &trial.code(&key, 0)).await;
        assert_eq!(told_of(&trial, &end), ["allow", "accepted", "the rule", ""], "{then}");
    }
}

// covers: A9, A10
#[tokio::test]
async fn where_a_rule_demands_a_token_the_next_login_associates_one() {
    let trial = trial_with(&rule("then = \"require-token\"\nservice = [\"sshd\"]")).await;
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, None).await;
    trial.set_otp("alice", true).await;
    trial.set_otp("alice", false).await;
    assert_eq!(ended(trial.begin("alice", "sudo", None).await).verdict, Verdict::NotRequired);
    let serial = trial.ask("alice", "sshd", None).await;
    assert_eq!((serial.question.as_str(), serial.empty_allowed), ("Serial number of your token: ", false));
    let end = trial.answer(&trial.go_on(&serial, SERIAL).await, &fob.code(0)).await;
    assert_eq!(told_of(&trial, &end), ["allow", "associated", "the rule", ""]);
}

// covers: A10
#[tokio::test]
async fn no_grace_counts_where_a_rule_demands_a_code() {
    for then in ["require-token", "require-any-otp"] {
        let trial = Trial::new().await;
        trial.set_otp("alice", true).await;
        let early = trial.ask("alice", "sshd", None).await;
        assert!(early.empty_allowed);
        reload(&trial, &rule(&format!("then = \"{then}\"")));
        let end = trial.answer(&early, "").await;
        assert_eq!(told_of(&trial, &end), ["deny", "grace_over", "the rule", ""], "{then}");
        let asked = trial.ask("alice", "sshd", None).await;
        assert!(!asked.empty_allowed && asked.show.contains("Secret key: "), "{then}");
    }
}

// covers: A10
#[tokio::test]
async fn an_allow_rule_asks_nothing_where_it_holds_and_changes_nothing_elsewhere() {
    let trial = Trial::new().await;
    trial.activate("alice").await;
    reload(&trial, &rule("then = \"allow\"\nservice = [\"sudo\"]\nsource = [\"192.0.2.0/24\"]"));
    let end = ended(trial.begin("alice", "sudo", Some("192.0.2.7")).await);
    assert_eq!((end.verdict, end.text.as_str()), (Verdict::NotRequired, ""));
    assert_eq!(told_of(&trial, &end), ["not_required", "allowed_by_rule", "the rule", ""]);
    for (service, rhost) in [("sshd", Some("192.0.2.7")), ("sudo", Some("192.0.3.7")), ("sudo", None)] {
        assert_eq!(
            trial.ask("alice", service, rhost).await.question,
            "One-time password: ",
            "{service} {rhost:?}"
        );
    }
}

// covers: A10, B05
#[tokio::test]
async fn what_is_no_account_name_is_allowed_by_no_rule() {
    let trial = trial_with(&rule("then = \"allow\"")).await;
    for name in ["alice@corp", " alice", "1000", "", "\u{430}lice"] {
        assert_eq!(trial.login(name, "sshd", "000000").await.verdict, Verdict::Deny, "{name:?}");
    }
}

// covers: A10
#[tokio::test]
async fn a_rule_that_begins_between_question_and_answer_refuses_and_never_accepts() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let (first, second) = (trial.ask("alice", "sshd", None).await, trial.ask("alice", "sshd", None).await);
    reload(&trial, &rule("then = \"allow\""));
    let end = trial.answer(&first, &trial.wrong_code(&key)).await;
    assert_eq!(told_of(&trial, &end)[..2], ["deny", "wrong_code"]);
    reload(&trial, &rule("then = \"deny\""));
    let end = trial.answer(&second, &trial.code(&key, 0)).await;
    assert_eq!(told_of(&trial, &end)[..2], ["deny", "denied_by_rule"]);
}

// covers: A10
#[tokio::test]
async fn every_answer_that_ends_a_dialogue_is_refused_where_a_rule_denies() {
    let trial = Trial::new().await;
    let (fob, pressed) = (Fob::hotp(SERIAL), Fob::hotp("2600000000002"));
    trial.add(&fob, None).await;
    trial.add(&pressed, Some("alice")).await;
    let steward = &trial.service.dialogue.steward;
    let name = |user: &str| UserName::new(user).unwrap();
    let codes = steward.make_recovery_codes(name("alice"), root()).await.unwrap();
    steward.set_otp(name("bob"), true, EnrolWith::Token, root()).await.unwrap();
    trial.set_otp("carol", true).await;
    let serial_code = trial.go_on(&trial.ask("bob", "sshd", None).await, SERIAL).await;
    let enrolment = trial.ask("carol", "sshd", None).await;
    let recovery = trial.ask("alice", "sshd", None).await;
    let out_of_step = trial.go_on(&trial.ask("alice", "sshd", None).await, &pressed.code(50)).await;
    reload(&trial, &rule("then = \"deny\""));
    let carol = secret_shown(&enrolment.show);
    for (asked, answer) in [
        (&serial_code, fob.code(0)),
        (&enrolment, trial.code(&carol, 0)),
        (&enrolment, String::new()),
        (&recovery, codes[0].expose().to_string()),
        (&out_of_step, pressed.code(51)),
    ] {
        let end = trial.answer(asked, &answer).await;
        assert_eq!(told_of(&trial, &end)[..2], ["deny", "denied_by_rule"], "{answer:?}");
    }
    assert_eq!(trial.token_of(SERIAL).record.user, None);
}

// covers: I14
#[tokio::test]
async fn where_groups_cannot_be_told_everybody_is_refused_on_every_way() {
    for then in ["deny", "allow", "require-token"] {
        let trial = Trial::new().await;
        let key = trial.activate("nobody-here").await;
        reload(&trial, &rule(&format!("then = \"{then}\"\nuser_group = [0]")));
        let code = trial.code(&key, 0);
        let verified = verify_at(&trial, None, "nobody-here", &code).await;
        let end = trial.login("nobody-here", "sshd", &code).await;
        for reference in [&verified.reference, &end.reference] {
            assert_eq!(told(&trial, reference), ["deny", "rule_undecidable", "the rule", ""], "{then}");
            let detail = trial.explain(reference).detail;
            assert_eq!(detail.as_deref(), Some("the name service knows no such user"), "{then}");
        }
        assert_eq!((verified.verdict, end.verdict), (Verdict::Deny, Verdict::Deny));
        reload(&trial, "");
        assert_eq!(trial.login("nobody-here", "sshd", &code).await.verdict, Verdict::Allow, "{then}");
    }
}

// covers: I14
#[tokio::test]
async fn who_is_refused_because_nobody_can_tell_is_not_slowed_and_whom_a_rule_denies_is() {
    for (rules, is_slowed) in
        [(rule("then = \"allow\"\nuser_group = [0]"), false), (rule("then = \"deny\""), true)]
    {
        let trial = Trial::new().await;
        let key = trial.activate("nobody-here").await;
        let code = trial.code(&key, 0);
        reload(&trial, &rules);
        for _ in 0..30 {
            assert_eq!(verify_at(&trial, None, "nobody-here", &code).await.verdict, Verdict::Deny);
        }
        reload(&trial, "");
        let verdict = verify_at(&trial, None, "nobody-here", &code).await.verdict;
        assert_eq!(verdict, if is_slowed { Verdict::Deny } else { Verdict::Allow }, "{rules}");
    }
}

// covers: I14
#[tokio::test]
async fn membership_is_that_of_the_machine_and_only_members_are_meant() {
    let trial = Trial::new().await;
    trial.activate("root").await;
    reload(&trial, &rule("then = \"allow\"\nuser_group = [\"root\"]"));
    assert_eq!(ended(trial.begin("root", "sshd", None).await).verdict, Verdict::NotRequired);
    reload(&trial, &rule("then = \"allow\"\nuser_group = [1]"));
    assert_eq!(trial.ask("root", "sshd", None).await.question, "One-time password: ");
    reload(&trial, &rule("then = \"allow\"\nuser_group = [\"no-such-group-here\"]"));
    let end = trial.login("root", "sshd", "000000").await;
    assert_eq!(told_of(&trial, &end)[1], "rule_undecidable");
}

// covers: A10
#[tokio::test]
async fn hosts_and_their_groups_have_settings_and_rules_of_their_own() {
    let trial = trial_with(
        "on_unenrolled = \"ignore\"\n[host.web1]\non_unenrolled = \"deny\"\n[group.web]\nrequire_token = true\n\
         [[access.rule]]\nname = \"databases\"\ngroup = [\"db\"]\nthen = \"deny\"",
    )
    .await;
    let (web1, web2, db1) = (host("web1", Some("web")), host("web2", Some("web")), host("db1", Some("db")));
    assert_eq!(ended(trial.begin("root", "sshd", None).await).verdict, Verdict::NotRequired);
    assert_eq!(asked(begin_at(&trial, "root", &web1).await).question, "One-time password: ");
    assert_eq!(asked(begin_at(&trial, "root", &web2).await).question, "Serial number of your token: ");
    let key = trial.activate("alice").await;
    let code = trial.code(&key, 0);
    let refused = verify_at(&trial, Some(&db1), "alice", &code).await;
    assert_eq!(told(&trial, &refused.reference), ["deny", "denied_by_rule", "databases", ""]);
    assert_eq!(trial.explain(&refused.reference).host.as_deref(), Some("db1"));
    assert_eq!(verify_at(&trial, Some(&web1), "alice", &code).await.verdict, Verdict::Allow);
}

/// Two weeks from the trial's noon.
const UNTIL: &str = "rollout_until = \"2027-01-29\"\n";

fn rollout(mode: &str) -> String {
    format!("[access]\nrollout = \"{mode}\"\n{UNTIL}")
}

// covers: P9
#[tokio::test]
async fn observing_lets_in_whatever_is_typed_and_records_what_it_would_have_been() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    reload(&trial, &rollout("observe"));
    let code = trial.code(&key, 0);
    let asked = trial.ask("alice", "sshd", None).await;
    assert_eq!(
        (asked.question.as_str(), asked.empty_allowed),
        ("One-time password (Enter to continue without): ", true)
    );
    for (answer, expected) in [
        (trial.wrong_code(&key), ["not_required", "wrong_code", "", "observe"]),
        (code.clone(), ["allow", "accepted", "", ""]),
        (code.clone(), ["not_required", "replayed", "", "observe"]),
        ("nonsense".into(), ["not_required", "malformed", "", "observe"]),
        (String::new(), ["not_required", "rollout", "", "observe"]),
    ] {
        let end = trial.login("alice", "sshd", &answer).await;
        assert_eq!(told_of(&trial, &end), expected, "{answer:?}");
        assert_eq!(end.text, "", "nothing is told of it");
    }
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, Some("bob")).await;
    let end = trial.login("bob", "sshd", &fob.code(50)).await;
    assert_eq!(
        told_of(&trial, &end),
        ["not_required", "out_of_step", "", "observe"],
        "no next one is asked for"
    );
    reload(&trial, "");
    assert_eq!(trial.login("alice", "sshd", &code).await.verdict, Verdict::Deny, "it was used up");
}

// covers: P9
#[tokio::test]
async fn observing_asks_nobody_who_has_nothing_to_type() {
    let trial = trial_with(&rollout("observe")).await;
    let steward = &trial.service.dialogue.steward;
    steward.set_otp(UserName::new("bob").unwrap(), true, EnrolWith::Token, root()).await.unwrap();
    for (user, reason) in [("mallory", "unknown_user"), ("root", "unknown_user"), ("bob", "token_missing")] {
        let end = ended(trial.begin(user, "sshd", None).await);
        assert_eq!(told_of(&trial, &end), ["not_required", reason, "", "observe"], "{user}");
        let verified = verify_at(&trial, None, user, "000000").await;
        assert_eq!((verified.verdict, verified.message), (Verdict::NotRequired, None), "{user}");
    }
}

// covers: P9
#[tokio::test]
async fn observing_lets_in_whom_rules_and_throttles_would_refuse_and_no_day_longer_than_it_says() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let with_rule = format!("{}{}", rollout("observe"), rule("then = \"deny\"\nservice = [\"su\"]"));
    reload(&trial, &with_rule);
    let end = ended(trial.begin("alice", "su", None).await);
    assert_eq!(told_of(&trial, &end), ["not_required", "denied_by_rule", "the rule", "observe"]);
    let wrong = trial.wrong_code(&key);
    for _ in 0..6 {
        assert_eq!(trial.login("alice", "sshd", &wrong).await.verdict, Verdict::NotRequired);
    }
    let throttled = verify_at(&trial, None, "alice", &wrong).await;
    assert_eq!(throttled.verdict, Verdict::NotRequired);
    let last = trial.login("alice", "sshd", &wrong).await;
    assert_eq!(told_of(&trial, &last)[1], "throttled");
    trial.advance(Duration::from_secs(20 * 86_400));
    for service in ["su", "sshd"] {
        let end = trial.login("alice", service, &wrong).await;
        assert_eq!((end.verdict, told_of(&trial, &end)[3].as_str()), (Verdict::Deny, ""), "{service}");
    }
}

// covers: P9
#[tokio::test]
async fn in_grace_only_who_has_activated_no_token_may_go_without() {
    let trial = trial_with(&format!("{}[enrolment]\ngrace = \"none\"", rollout("grace"))).await;
    let key = trial.activate("alice").await;
    let asked = trial.ask("alice", "sshd", None).await;
    assert!(!asked.empty_allowed);
    assert_eq!(trial.answer(&asked, &trial.wrong_code(&key)).await.verdict, Verdict::Deny);
    assert_eq!(trial.login("alice", "sshd", "").await.verdict, Verdict::Deny);
    trial.set_otp("carol", true).await;
    let steward = &trial.service.dialogue.steward;
    steward.set_otp(UserName::new("bob").unwrap(), true, EnrolWith::Token, root()).await.unwrap();
    trial.add(&Fob::hotp(SERIAL), Some("dan")).await;
    for user in ["carol", "bob", "dan"] {
        let asked = trial.ask(user, "sshd", None).await;
        assert!(
            asked.empty_allowed && asked.question.ends_with("(Enter to continue without): "),
            "{user}: {asked:?}"
        );
        let end = trial.answer(&asked, "").await;
        assert_eq!(told_of(&trial, &end), ["not_required", "rollout", "", "grace"], "{user}");
        let end = trial.answer(&trial.ask(user, "sshd", None).await, "").await;
        assert_eq!(end.verdict, Verdict::NotRequired, "{user}");
    }
    let end = ended(trial.begin("root", "sshd", None).await);
    assert_eq!(told_of(&trial, &end), ["not_required", "rollout", "", "grace"]);
    for spelled_otherwise in ["Alice", "mallory"] {
        assert_eq!(trial.login(spelled_otherwise, "sshd", "000000").await.verdict, Verdict::Deny);
    }
}

// covers: P9
#[tokio::test]
async fn in_grace_a_deny_rule_refuses_and_after_the_day_everybody_needs_a_code() {
    let trial = Trial::new().await;
    let rule = rule("then = \"deny\"\nservice = [\"su\"]");
    reload(&trial, &format!("{}{rule}[enrolment]\ngrace = \"none\"", rollout("grace")));
    trial.set_otp("carol", true).await;
    assert_eq!(trial.login("carol", "su", "").await.verdict, Verdict::Deny);
    let early = trial.ask("carol", "sshd", None).await;
    assert!(early.empty_allowed);
    trial.advance(Duration::from_secs(20 * 86_400));
    assert!(!trial.ask("carol", "sshd", None).await.empty_allowed);
    let carol = trial.ask("root", "sshd", None).await;
    assert_eq!(trial.answer(&carol, "000000").await.verdict, Verdict::Deny);
}

// covers: P9, G05
#[tokio::test]
async fn while_commits_are_missing_the_roll_out_enforces() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    for mode in ["observe", "grace"] {
        reload(&trial, &rollout(mode));
        trial.service.dialogue.has_loss.store(true, Ordering::SeqCst);
        assert_eq!(
            trial.login("alice", "sshd", &trial.wrong_code(&key)).await.verdict,
            Verdict::Deny,
            "{mode}"
        );
        assert_eq!(trial.login("root", "sshd", "").await.verdict, Verdict::Deny, "{mode}");
    }
    reload(&trial, &rule("then = \"allow\""));
    let end = ended(trial.begin("alice", "sshd", None).await);
    assert_eq!((end.verdict, trial.reason(&end).as_str()), (Verdict::Unavailable, "store_short"));
}

// covers: P9
#[tokio::test]
async fn a_question_that_could_be_left_is_no_way_in_once_it_is_enforced() {
    let trial = trial_with(&rollout("grace")).await;
    let steward = &trial.service.dialogue.steward;
    steward.set_otp(UserName::new("bob").unwrap(), true, EnrolWith::Token, root()).await.unwrap();
    trial.add(&Fob::hotp(SERIAL), Some("dan")).await;
    let (serial, code) = (trial.ask("bob", "sshd", None).await, trial.ask("dan", "sshd", None).await);
    reload(&trial, "");
    assert_eq!(trial.answer(&code, "").await.verdict, Verdict::Deny);
    let next = trial.go_on(&serial, "").await;
    assert_eq!(trial.answer(&next, "").await.verdict, Verdict::Deny);
}
