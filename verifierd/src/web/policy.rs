//! What holds where, what a login would meet, and how far the roll-out is.

use std::sync::Arc;

use serve::Reply;
use wire::admin::{
    AccessRule, Demanded, EffectiveSetting, Policy, PolicyTrial, RolloutMode, RolloutPlace, RolloutStatus,
    Then,
};

use super::asking::{Ask, Refused, query};
use super::look::{Look, Section};
use super::pages::{may, shown};
use super::parts::{Cell, Facts, Field, NOTHING_TO_SAY, Rows, or_dash};
use super::{Asked, Web};
use crate::http::roles::Verb;
use crate::people::Person;

/// What stands for the verifier's own machine.
const HERE: &str = "the verifier's own machine";

/// The questions of a login that is only thought of, and what stands above them.
const ATTEMPT: [(&str, &str); 5] = [
    ("user", "User"),
    ("host", "Host"),
    ("service", "Service"),
    ("from", "From (address)"),
    ("at", "At (time)"),
];

impl Web {
    /// What holds at a host, and how far the roll-out is.
    pub(super) async fn show_policy(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let visitor = shown(asked, person);
        let mut page = Look::new(&visitor, "Policy");
        page.action = "/policy";
        page.questions = [("host", "Host"), ("user", "User"), ("service", "Service")]
            .map(|(name, label)| Field::new(name, label, asked.form.typed(name)))
            .into();
        page.links.push(("What would a login meet?", "/policy/try".into()));
        let said = ["host", "user", "service"].map(|name| (name, asked.form.typed(name)));
        let wanted = query(said.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let policy = match self.ask::<Policy>(person, Ask::get(format!("/v1/policy{wanted}"))).await {
            Ok(policy) => policy,
            Err(refused) => return page.refused(&refused),
        };
        let rollout = match self.ask::<RolloutStatus>(person, Ask::get("/v1/rollout")).await {
            Ok(rollout) => rollout,
            Err(refused) => return page.refused(&refused),
        };
        page.sections = vec![
            Section::new(
                "Where",
                &Facts(vec![
                    ("Host", policy.host.as_deref().unwrap_or(HERE).into()),
                    ("Group", policy.group.as_deref().into()),
                ]),
            ),
            Section::new("What holds there", &settings(&policy.settings)),
            Section::new("Access rules that may decide there", &rules(&policy.rules)),
            Section::new("The roll-out", &places(&rollout.items)),
            Section::sentence(match &rollout.since {
                Some(since) => format!("Logins since {since}."),
                None => "Nobody has logged in yet.".to_owned(),
            }),
        ];
        page.reply()
    }

    /// What a login would meet, and which rule decides.
    pub(super) async fn try_policy(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let visitor = shown(asked, person);
        let mut page = Look::new(&visitor, "What would a login meet?");
        if !may(person, Verb::PolicyTry) {
            return page.refused(&Refused::denied());
        }
        (page.action, page.button) = ("/policy/try", "Try");
        let typed = ATTEMPT.map(|(name, _)| (name, asked.form.typed(name)));
        let is_asked = typed.iter().any(|(_, value)| value.is_some());
        let typed = typed.map(|(name, value)| (name, value.or((name == "service").then_some("sshd"))));
        page.questions = ATTEMPT
            .into_iter()
            .zip(typed)
            .map(|((name, label), (_, value))| {
                let field = Field::new(name, label, value);
                if matches!(name, "user" | "service") { field.required() } else { field }
            })
            .collect();
        page.links.push(("What holds where", "/policy".into()));
        if !is_asked {
            return page.reply();
        }
        let wanted = query(typed.into_iter().filter_map(|(name, value)| Some((name, value?))));
        match self.ask::<PolicyTrial>(person, Ask::get(format!("/v1/policy/try{wanted}"))).await {
            Ok(trial) => {
                page.sections.push(Section::new("The login", &tried(&trial)));
                page.reply()
            }
            Err(refused) => page.refused(&refused),
        }
    }
}

/// Settings, and who says each.
pub(super) fn settings(settings: &[EffectiveSetting]) -> Rows {
    let row = |setting: &EffectiveSetting| {
        [&setting.name, &setting.value, &setting.source].map(|text| Cell::from(text.as_str()))
    };
    Rows::new(["Setting", "Value", "From"], settings.iter().map(row), "Nothing is set.")
}

/// Access rules, in the order in which they are asked.
pub(super) fn rules(rules: &[AccessRule]) -> Rows {
    let row = |rule: &AccessRule| {
        let conditions = match rule.conditions.as_slice() {
            [] => "always".to_owned(),
            conditions => conditions.join("; "),
        };
        [rule.name.as_str().into(), then(rule.then).into(), conditions.into()]
    };
    Rows::new(["Rule", "Then", "Where"], rules.iter().map(row), "No access rule: the settings decide.")
}

fn places(places: &[RolloutPlace]) -> Rows {
    let row = |place: &RolloutPlace| {
        [
            place.place.as_str().into(),
            mode(place.mode).into(),
            place.until.as_deref().into(),
            or_dash(place.days_left.map(|days| days.to_string()).as_deref()).into(),
            place.users.to_string().into(),
            place.with_token.to_string().into(),
            place.would_be_refused.to_string().into(),
        ]
    };
    let headings = ["Place", "Mode", "Until", "Days left", "Users", "With token", "Would be refused"];
    Rows::new(headings, places.iter().map(row), "There is no roll-out.")
}

fn tried(trial: &PolicyTrial) -> Facts {
    let why: Vec<_> = [&trial.reason, &trial.why].into_iter().flatten().cloned().collect();
    Facts(vec![
        ("User", trial.user.as_str().into()),
        ("Host", trial.host.as_deref().unwrap_or(HERE).into()),
        ("Group", trial.group.as_deref().into()),
        ("Service", trial.service.as_str().into()),
        ("From", trial.from.as_deref().unwrap_or("the host itself").into()),
        ("At", trial.at.as_str().into()),
        ("Rule", trial.rule.as_deref().unwrap_or("none: the settings decide").into()),
        ("Then", trial.then.map_or(NOTHING_TO_SAY, then).into()),
        ("Roll-out", mode(trial.rollout).into()),
        ("Login", demanded(trial.demand).into()),
        ("Why", super::parts::joined(&why).into()),
    ])
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
