use std::time::Duration;

use wire::admin::{
    Demanded, EffectiveSetting, Policy, PolicyTrial, RolloutMode, RolloutPlace, RolloutStatus,
};
use wire::login::{Begin, Next, Reply as LoginReply, Verdict};

use super::*;
use crate::accounts::UserName;
use crate::hosts::{GroupName, HostIdentity, HostName};
use crate::trial::{STEP, ended, root};

const FLEET: &str = "version = 1\n[fleet]\nlisten = \"0.0.0.0:7443\"\nnames = [\"otp1.example.org\"]";

/// Later than every login of these tests.
const UNTIL: &str = "rollout_until = \"2099-01-01\"\n";

fn reload(trial: &Trial, config: &str) {
    let config = Config::parse(&format!("version = 1\n{config}"))
        .unwrap_or_else(|faults| panic!("{config}: {faults}"));
    trial.service.dialogue.config.store(Arc::new(config));
}

async fn get<T: serde::de::DeserializeOwned>(trial: &Trial, path: &str) -> T {
    let (status, said) = ask(trial, &caller("otto", Role::Auditor), Method::GET, path, "").await;
    assert_eq!(status, StatusCode::OK, "{path}: {said}");
    serde_json::from_value(said).unwrap()
}

/// Web1 of the group web, as a request of its own names it.
async fn enrol_web1(trial: &Trial) -> HostIdentity {
    let (name, group) = (HostName::new("web1").unwrap(), GroupName::new("web").unwrap());
    let registrar = &trial.service.administration.registrar;
    registrar.enrol(name.clone(), Some(group), false, root()).await.unwrap();
    registrar.hosts().find_by_name(&name).unwrap().identity.clone()
}

/// A login that begins.
#[derive(Clone, Copy, Debug)]
struct Attempt<'a> {
    user: &'a str,
    service: &'a str,
    rhost: Option<&'a str>,
    host: Option<&'a HostIdentity>,
}

impl Attempt<'_> {
    fn path(&self) -> String {
        let Self { user, service, .. } = self;
        let from = self.rhost.map(|rhost| format!("&from={rhost}")).unwrap_or_default();
        let host = self.host.map(|host| format!("&host={}", host.name)).unwrap_or_default();
        format!("/v1/policy/try?user={user}&service={service}{from}{host}")
    }

    async fn begin(&self, trial: &Trial) -> LoginReply {
        let begin = Begin {
            api_version: 1,
            request_id: trial.request_id(),
            user: self.user.into(),
            service: self.service.into(),
            rhost: self.rhost.map(Into::into),
            ruser: None,
            tty: None,
            columns: None,
            session: None,
            offline_grant_until: None,
        };
        trial.service.dialogue.begin(begin, self.host.cloned()).await.unwrap()
    }
}

/// What a first reply asks, in the words of a dry run; a code that none could be, too.
fn asked_by(reply: &LoginReply) -> (Demanded, bool) {
    let Next::Ask { questions, .. } = &reply.next else { return (Demanded::Nothing, false) };
    let is_serial = questions[0].text.starts_with("Serial number");
    let demand = match (is_serial, reply.show.is_empty(), questions[0].empty_allowed) {
        (true, _, false) => Demanded::Association,
        (true, _, true) => Demanded::AssociationOrNothing,
        (false, false, false) => Demanded::Enrolment,
        (false, false, true) => Demanded::EnrolmentOrNothing,
        (false, true, false) => Demanded::Code,
        (false, true, true) => Demanded::CodeOrNothing,
    };
    (demand, demand == Demanded::Code)
}

/// Compares a dry run with the login that follows it.
async fn compare(trial: &Trial, attempt: Attempt<'_>, code: &str) {
    let tried: PolicyTrial = get(trial, &attempt.path()).await;
    let reply = attempt.begin(trial).await;
    let (asked, may_be_none) = asked_by(&reply);
    match tried.demand {
        Demanded::Refusal | Demanded::RecoveryCode => {
            assert!(may_be_none, "{attempt:?}: {tried:?}, but {asked:?}");
            let Next::Ask { state, .. } = &reply.next else { unreachable!("a code is asked for") };
            let request_id = trial.request_id();
            let answer = wire::login::Continue {
                api_version: 1,
                request_id,
                state: state.clone(),
                answers: vec![code.into()],
            };
            let end = trial.service.dialogue.proceed(answer, attempt.host.cloned()).await.unwrap();
            let end = ended(end);
            assert_eq!(end.verdict, Verdict::Deny, "{attempt:?}: {tried:?}");
            let record = trial.explain(&end.reference);
            assert!(
                record.rule == tried.rule || record.reason == "throttled",
                "{attempt:?}: {tried:?}, {record:?}"
            );
        }
        demand => assert_eq!(asked, demand, "{attempt:?}: {tried:?}"),
    }
    if let Next::Done { verdict, reference, .. } = &reply.next {
        let record = trial.explain(reference);
        assert_eq!(*verdict, Verdict::NotRequired, "{attempt:?}");
        assert_eq!((record.rule, Some(record.reason)), (tried.rule, tried.reason), "{attempt:?}");
    }
}

// covers: A10
#[tokio::test]
async fn a_dry_run_says_what_the_login_then_does_in_every_combination() {
    let trial = Trial::with_config(FLEET).await;
    let web1 = enrol_web1(&trial).await;
    let key = trial.activate("alice").await;
    trial.set_otp("carol", true).await;
    trial.set_otp("off", true).await;
    trial.set_otp("off", false).await;
    let steward = &trial.service.dialogue.steward;
    let bob = UserName::new("bob").unwrap();
    steward.set_otp(bob, true, wire::admin::EnrolWith::Token, root()).await.unwrap();
    let conditions = [
        "",
        "source = [\"192.0.2.0/24\"]",
        "service = [\"sudo\"]",
        "user = [\"alice\", \"off\"]",
        "group = [\"web\"]",
        "user_group = [0]",
        "time = \"mon-wed 06:00-18:00\"",
    ];
    let mut compared = 0;
    for then in ["deny", "require-token", "require-any-otp", "allow"] {
        for condition in conditions {
            for mode in ["", "rollout = \"grace\"", "rollout = \"observe\""] {
                let until = if mode.is_empty() { "" } else { UNTIL };
                reload(
                    &trial,
                    &format!(
                        "on_unenrolled = \"ignore\"\n[access]\n{mode}\n{until}[[access.rule]]\nname = \"r\"\nthen = \"{then}\"\n{condition}\n\
                         [host.web1]\non_unenrolled = \"deny\"\nrequire_token = true\n"
                    ),
                );
                for user in ["alice", "carol", "bob", "off", "mallory", "root"] {
                    for (service, rhost) in
                        [("sshd", Some("192.0.2.7")), ("sudo", None), ("sudo", Some("pc7"))]
                    {
                        // Throttles open again, and days and hours go by.
                        trial.advance(Duration::from_secs(5 * 3_600));
                        let host = (compared % 2 == 0).then_some(&web1);
                        let code = trial.code(&key, 0);
                        compare(&trial, Attempt { user, service, rhost, host }, &code).await;
                        compared += 1;
                    }
                }
            }
        }
    }
    assert_eq!(compared, 4 * 7 * 3 * 6 * 3);
}

// covers: A10
#[tokio::test]
async fn a_dry_run_is_at_the_time_that_it_is_asked_about_and_changes_nothing() {
    let trial = Trial::new().await;
    reload(
        &trial,
        "[[access.rule]]\nname = \"night\"\ntime = \"22:00-06:00\"\nzone = \"+01:00\"\nthen = \"deny\"\n",
    );
    let records = trial.audit().len();
    let at = async |time: &str| -> PolicyTrial {
        get(&trial, &format!("/v1/policy/try?user=alice&service=sshd&at={time}")).await
    };
    let (night, day) = (at("2026-12-01T21:00:00Z").await, at("2026-12-01T22%3A00%3A00%2B02%3A00").await);
    assert_eq!((night.rule.as_deref(), night.reason.as_deref()), (Some("night"), Some("denied_by_rule")));
    assert_eq!((day.rule, day.at.as_str()), (None, "2026-12-01T20:00:00Z"));
    assert_eq!(trial.audit().len(), records);
}

// covers: A10, I10
#[tokio::test]
async fn what_is_not_there_is_not_found_and_what_is_no_question_is_refused() {
    let trial = Trial::new().await;
    let otto = caller("otto", Role::Auditor);
    let get = async |path: &str| ask(&trial, &otto, Method::GET, path, "").await.0;
    for (path, status) in [
        ("/v1/policy", StatusCode::OK),
        ("/v1/policy?host=web1", StatusCode::NOT_FOUND),
        ("/v1/policy?host=Web%201", StatusCode::NOT_FOUND),
        ("/v1/policy?user=alice", StatusCode::NOT_FOUND),
        ("/v1/policy?user=1000", StatusCode::BAD_REQUEST),
        ("/v1/policy?what=alice", StatusCode::BAD_REQUEST),
        ("/v1/policy/try?user=alice&service=sshd", StatusCode::OK),
        ("/v1/policy/try?user=alice&service=sshd&host=web1", StatusCode::NOT_FOUND),
        ("/v1/policy/try?user=alice", StatusCode::BAD_REQUEST),
        ("/v1/policy/try?user=0&service=sshd", StatusCode::BAD_REQUEST),
        ("/v1/policy/try?user=alice&service=sshd&at=noon", StatusCode::BAD_REQUEST),
        ("/v1/policy/try?user=alice&service=sshd&at=1969-12-31T23:59:59Z", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(get(path).await, status, "{path}");
    }
}

// covers: A10
#[tokio::test]
async fn a_policy_is_shown_with_who_says_each_value_and_the_rules_that_may_decide() {
    let trial = Trial::with_config(FLEET).await;
    enrol_web1(&trial).await;
    trial.set_otp("alice", true).await;
    reload(
        &trial,
        "[remember]\nsu = \"0s\"\nsudo = \"10m\"\n[group.web]\nrequire_token = true\nremember.sudo = \"5m\"\n\
         approvers = [\"carol\", \"dave\"]\nprofile = \"strict\"\n[host.web1]\nlogin_step = \"request\"\nenrolment = { grace = \"limited\", grace_period = \"14d\" }\n\
         [[access.rule]]\nname = \"first\"\nuser = [\"bob\"]\nthen = \"deny\"\n\
         [[access.rule]]\nname = \"second\"\ngroup = [\"web\"]\nsource = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n\
         time = \"mon 08:00-18:00\"\nthen = \"require-token\"\n\
         [[access.rule]]\nname = \"third\"\nhost = [\"db1\"]\nthen = \"allow\"\n",
    );
    let policy: Policy = get(&trial, "/v1/policy?host=web1&user=alice&service=sshd").await;
    assert_eq!((policy.host.as_deref(), policy.group.as_deref()), (Some("web1"), Some("web")));
    let setting = |name: &str, value: &str, source: &str| EffectiveSetting {
        name: name.into(),
        value: value.into(),
        source: source.into(),
    };
    let expected = [
        setting("on_unenrolled", "deny", "default"),
        setting("require_token", "true", "group web"),
        setting("login_step", "request", "host web1"),
        setting("request_mode", "approval", "default"),
        setting("approvers", "carol, dave", "group web"),
        setting("request_ttl", "30m", "default"),
        setting("password_ttl", "10m", "group web"),
        setting("profile", "strict", "group web"),
        setting("rollout", "enforce", "default"),
        setting("enrolment.with", "app", "default"),
        setting("enrolment.open_for", "no limit", "default"),
        setting("enrolment.at_hosts", "false", "default"),
        setting("enrolment.grace", "limited", "host web1"),
        setting("enrolment.grace_period", "14days", "host web1"),
        setting("remember.su", "0s", "default"),
        setting("remember.sudo", "5m", "group web"),
    ];
    assert_eq!(policy.settings, expected);
    let [rule] = policy.rules.as_slice() else { panic!("{:?}", policy.rules) };
    assert_eq!(rule.name, "second");
    let conditions =
        ["source 192.0.2.0/24 or 2001:db8::/32", "group web", "time mon 08:00-18:00 UTC"].map(str::to_owned);
    assert_eq!(rule.conditions, conditions);
    let everywhere: Policy = get(&trial, "/v1/policy").await;
    assert_eq!(everywhere.rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["first"]);
}

// covers: P9
#[tokio::test]
async fn the_roll_out_is_counted_by_host_group_and_default() {
    let trial = Trial::with_config(FLEET).await;
    let web1 = enrol_web1(&trial).await;
    let key = trial.activate("alice").await;
    let observe = format!(
        "[group.web]\nrollout = \"observe\"\n{UNTIL}[host.db1]\nrollout = \"enforce\"\n[group.other]\n"
    );
    reload(&trial, &observe);
    for user in ["bob", "bob", "carol"] {
        let attempt = Attempt { user, service: "sshd", rhost: None, host: Some(&web1) };
        assert_eq!(ended(attempt.begin(&trial).await).verdict, Verdict::NotRequired);
    }
    assert_eq!(trial.login("alice", "sshd", &trial.code(&key, 0)).await.verdict, Verdict::Allow);
    trial.advance(STEP);
    assert_eq!(trial.login("mallory", "sshd", "000000").await.verdict, Verdict::Deny);
    let status: RolloutStatus = get(&trial, "/v1/rollout").await;
    let place = |place: &str, mode, users, with_token, would_be_refused| RolloutPlace {
        place: place.into(),
        mode,
        until: None,
        days_left: None,
        users,
        with_token,
        would_be_refused,
    };
    let left = (4_070_908_800 - trial.service.dialogue.clock.now()).div_ceil(86_400);
    let web = RolloutPlace {
        until: Some("2099-01-01".into()),
        days_left: Some(left),
        ..place("group web", RolloutMode::Observe, 2, 0, 3)
    };
    let expected = [
        place("default", RolloutMode::Enforce, 1, 1, 0),
        place("group other", RolloutMode::Enforce, 0, 0, 0),
        web,
        place("host db1", RolloutMode::Enforce, 0, 0, 0),
    ];
    assert_eq!(status.items, expected);
    assert_eq!(
        status.since,
        trial.audit().iter().find(|record| record.event == "login").map(|record| record.at.clone())
    );
}
