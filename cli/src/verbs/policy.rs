//! `postern policy` and `postern rollout`: what holds where, what a login would meet, how far the roll-out is.

use wire::admin::{
    AccessRule, Demanded, Policy, PolicyTrial, RolloutMode, RolloutPlace, RolloutStatus, Then,
};

use crate::args::{Attempt, PolicyVerb, PolicyWish, RolloutVerb};
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::output::table::{self, NOTHING_TO_SAY, joined, or_dash};
use crate::output::{Answer, Format};

/// What stands for the verifier's own machine.
const HERE: &str = "the verifier's own machine";

/// Runs one of the verbs of `policy`.
pub async fn run(client: &Client, verb: PolicyVerb, format: Format) -> Result<Answer, Failure> {
    match verb {
        PolicyVerb::Show(wish) => {
            let PolicyWish { host, user, service } = wish;
            let path = path("/v1/policy", [("host", host), ("user", user), ("service", service)]);
            let policy: Policy = client.get(&path).await?;
            Answer::one(format, &policy, || shown(&policy))
        }
        PolicyVerb::Try(attempt) => {
            let Attempt { user, host, service, from, at } = attempt;
            let at = at.map(|at| humantime::format_rfc3339_seconds(at).to_string());
            let asked = [
                ("user", Some(user)),
                ("host", host),
                ("service", Some(service)),
                ("from", from),
                ("at", at),
            ];
            let trial: PolicyTrial = client.get(&path("/v1/policy/try", asked)).await?;
            Answer::one(format, &trial, || tried(&trial))
        }
    }
}

/// Runs the verb of `rollout`.
pub async fn run_rollout(client: &Client, verb: &RolloutVerb, format: Format) -> Result<Answer, Failure> {
    match verb {
        RolloutVerb::Status => {
            let status: RolloutStatus = client.get("/v1/rollout").await?;
            let answer = Answer::list(format, &status, &status.items, || places(&status.items))?;
            Ok(match &status.since {
                Some(since) => answer.saying(&format!("logins since {since}")),
                None => answer.saying("nobody has logged in yet"),
            })
        }
    }
}

/// A path with a query of those values that there are.
pub(super) fn path<const COUNT: usize>(path: &str, values: [(&str, Option<String>); COUNT]) -> String {
    let said = values.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", segment(&value?))));
    let said: Vec<String> = said.collect();
    if said.is_empty() { path.to_owned() } else { format!("{path}?{}", said.join("&")) }
}

fn shown(policy: &Policy) -> String {
    let place = table::properties([
        ("host", policy.host.clone().unwrap_or_else(|| HERE.to_owned())),
        ("group", or_dash(policy.group.as_deref())),
    ]);
    let settings = policy
        .settings
        .iter()
        .map(|setting| [setting.name.clone(), setting.value.clone(), setting.source.clone()]);
    let settings = table::list(["SETTING", "VALUE", "FROM"], settings);
    let rules = table::list(["RULE", "THEN", "WHERE"], policy.rules.iter().map(rule_row));
    format!("{place}\n{settings}\n{rules}")
}

fn rule_row(rule: &AccessRule) -> [String; 3] {
    let conditions = match rule.conditions.as_slice() {
        [] => "always".to_owned(),
        conditions => conditions.join("; "),
    };
    [rule.name.clone(), then(rule.then).to_owned(), conditions]
}

fn tried(trial: &PolicyTrial) -> String {
    table::properties([
        ("user", trial.user.clone()),
        ("host", trial.host.clone().unwrap_or_else(|| HERE.to_owned())),
        ("group", or_dash(trial.group.as_deref())),
        ("service", trial.service.clone()),
        ("from", trial.from.clone().unwrap_or_else(|| "the host itself".to_owned())),
        ("at", trial.at.clone()),
        ("rule", trial.rule.clone().unwrap_or_else(|| "none: the settings decide".to_owned())),
        ("then", trial.then.map_or(NOTHING_TO_SAY, then).to_owned()),
        ("roll-out", mode(trial.rollout).to_owned()),
        ("login", demanded(trial.demand).to_owned()),
        ("why", why(trial)),
    ])
}

fn why(trial: &PolicyTrial) -> String {
    joined(&[&trial.reason, &trial.why].into_iter().flatten().cloned().collect::<Vec<_>>())
}

fn places(items: &[RolloutPlace]) -> String {
    table::list(
        ["PLACE", "MODE", "UNTIL", "DAYS LEFT", "USERS", "WITH TOKEN", "WOULD BE REFUSED"],
        items.iter().map(|item| {
            [
                item.place.clone(),
                mode(item.mode).to_owned(),
                or_dash(item.until.as_deref()),
                or_dash(item.days_left.map(|days| days.to_string()).as_deref()),
                item.users.to_string(),
                item.with_token.to_string(),
                item.would_be_refused.to_string(),
            ]
        }),
    )
}

fn then(then: Then) -> &'static str {
    match then {
        Then::Deny => "deny",
        Then::RequireToken => "require-token",
        Then::RequireAnyOtp => "require-any-otp",
        Then::Allow => "allow",
    }
}

fn mode(mode: RolloutMode) -> &'static str {
    match mode {
        RolloutMode::Observe => "observe",
        RolloutMode::Grace => "grace",
        RolloutMode::Enforce => "enforce",
    }
}

fn demanded(demanded: Demanded) -> &'static str {
    match demanded {
        Demanded::Nothing => "is let in without being asked",
        Demanded::Code => "is asked for a code",
        Demanded::CodeOrNothing => "is asked for a code, and may leave it",
        Demanded::Enrolment => "is shown the secret of an app, and asked for a code of it",
        Demanded::EnrolmentOrNothing => {
            "is shown the secret of an app, and asked for a code of it, and may leave it"
        }
        Demanded::Association => "is asked for the serial number of a token, and a code of it",
        Demanded::AssociationOrNothing => {
            "is asked for the serial number of a token, and a code of it, and may leave it"
        }
        Demanded::Request => "is asked for a password that is issued on request",
        Demanded::RequestOrNothing => "is asked for a password that is issued on request, and may leave it",
        Demanded::Secondary => "is asked for the login name and password of a person",
        Demanded::SecondaryOrNothing => {
            "is asked for the login name and password of a person, and may leave it"
        }
        Demanded::RecoveryCode => "is asked for a code, and only a recovery code is right",
        Demanded::Refusal => "is asked for a code, and refused whatever it is",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_stands_in_the_query_and_nothing_breaks_out_of_it() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(path("/v1/policy", [("host", None), ("user", None)]), "/v1/policy");
        assert_eq!(
            path("/v1/policy", [("host", None), ("user", some("a&b=c"))]),
            "/v1/policy?user=a%26b%3Dc"
        );
        assert_eq!(
            path("/p", [("host", some("web1.x")), ("from", some("::1"))]),
            "/p?host=web1%2Ex&from=%3A%3A1"
        );
    }

    // covers: A10
    #[test]
    fn a_trial_names_the_rule_and_what_the_login_is_asked() {
        let trial = PolicyTrial {
            api_version: wire::API_VERSION,
            kind: "policy_trial".into(),
            user: "alice".into(),
            host: None,
            group: None,
            service: "sshd".into(),
            from: None,
            at: "2026-12-01T09:00:00Z".into(),
            rule: Some("contractors".into()),
            then: None,
            rollout: RolloutMode::Enforce,
            demand: Demanded::Refusal,
            reason: Some("rule_undecidable".into()),
            why: Some("the name service knows no such user".into()),
        };
        let text = tried(&trial);
        for line in [
            "host      the verifier's own machine",
            "rule      contractors",
            "then      -",
            "login     is asked for a code, and refused whatever it is",
            "why       rule_undecidable, the name service knows no such user",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{text}");
        }
        let by_settings = tried(&PolicyTrial { rule: None, reason: None, why: None, ..trial });
        assert!(by_settings.contains("none: the settings decide"), "{by_settings}");
    }
}
