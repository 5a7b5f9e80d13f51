use std::collections::BTreeMap;

use super::*;
use crate::accounts::UserName;
use crate::config::Rollout;
use crate::trial::{Fob, NOON, Trial, root};

/// Whom a table's row is about.
struct Case {
    who: &'static str,
    settings: &'static str,
    user: Option<Arc<User>>,
    account_exists: bool,
    /// Seconds since he was made.
    later: UnixTime,
}

fn named(user: &str) -> UserName {
    UserName::new(user).unwrap()
}

/// Users in every state that policy tells apart.
async fn cases() -> Vec<Case> {
    let trial = Trial::new().await;
    let steward = &trial.service.dialogue.steward;
    let find = |name: &str| trial.service.dialogue.accounts.find_named(name);
    trial.activate("proved").await;
    trial.activate("lost").await;
    let serial = find("lost").unwrap().tokens[0].record.serial.clone();
    steward.lose(serial, None, root()).await.unwrap();
    trial.set_otp("shown", true).await;
    trial.set_otp("off", true).await;
    trial.set_otp("off", false).await;
    steward.set_otp(named("on"), true, EnrolWith::Token, root()).await.unwrap();
    trial.add(&Fob::hotp("2600000000001"), Some("handed")).await;
    let case =
        |who, settings, user: &str| Case { who, settings, user: find(user), account_exists: true, later: 0 };
    let none = "grace = \"none\"";
    vec![
        Case {
            account_exists: false,
            ..case("no record, no such account", "on_unenrolled = \"ignore\"", "")
        },
        case("no record, `on_unenrolled = \"deny\"`", "", ""),
        case("no record, `\"ignore\"`", "on_unenrolled = \"ignore\"", ""),
        case("no record, `\"enroll\"`", "on_unenrolled = \"enroll\"", ""),
        case("otp off", "", "off"),
        case("otp off, `require_token`", "[access]\nrequire_token = true", "off"),
        case("otp on, no token", "", "on"),
        case("an app not activated, with grace", "", "shown"),
        Case { who: "an app not activated, without", settings: none, ..case("", "", "shown") },
        Case {
            settings: "open_for = \"1h\"",
            later: 7_200,
            ..case("the same, after `open_for`", "", "shown")
        },
        case("a token handed out, no code shown yet", "", "handed"),
        case("an activated token", "", "proved"),
        case("his only token lost or disabled", "", "lost"),
    ]
}

fn config(settings: &str) -> Config {
    let of_enrolment = settings.starts_with("grace") || settings.starts_with("open_for");
    let section = if of_enrolment { "[enrolment]\n" } else { "" };
    Config::parse(&format!("version = 1\n{section}{settings}\n")).unwrap()
}

const RULES: [Option<Then>; 5] =
    [None, Some(Then::RequireAnyOtp), Some(Then::RequireToken), Some(Then::Deny), Some(Then::Allow)];

const MODES: [Option<Lenience>; 3] = [None, Some(Lenience::Grace), Some(Lenience::Observe)];

fn ruled(then: Option<Then>) -> Ruled {
    then.map_or(Ruled::NoRule, |then| Ruled::Decided { rule: "r".into(), then })
}

fn demand_of(case: &Case, ruled: Ruled, lenience: Option<Lenience>) -> Demand {
    let settings = Settings::at(None, &config(case.settings));
    let terms = Terms { settings, ruled, lenience, may_show_secrets: true };
    demand(case.user.as_deref(), case.account_exists, &terms, NOON + case.later)
}

/// A demand in the words of the documentation.
fn words(demanded: &Demand, case: &Case, ruled: Ruled, lenience: Option<Lenience>) -> String {
    let with = |words: &str, leave: Leave| match leave {
        Leave::No => words.to_owned(),
        Leave::Grace | Leave::Rollout => format!("{words} or Enter"),
    };
    let terms = Terms {
        settings: Settings::at(None, &config(case.settings)),
        ruled,
        lenience,
        may_show_secrets: true,
    };
    match demanded {
        Demand::Nothing(_) => "nothing".into(),
        Demand::Code { leave } if case.user.as_ref().is_some_and(|user| user.can_answer()) => {
            with("code", *leave)
        }
        Demand::Code { .. } | Demand::Refused(_) => "refused".into(),
        Demand::Enrolment { leave, .. } => with("app", *leave),
        Demand::Enrol => with("app", terms.leave_of_a_new_app()),
        Demand::Association { leave } => with("serial", *leave),
        Demand::Request { leave } => with("request", *leave),
        Demand::Secondary { leave } => with("person", *leave),
        Demand::Closed => "recovery code".into(),
    }
}

// covers: A9, A10, P9
#[tokio::test]
async fn the_documentation_has_every_combination_as_it_is() {
    let page = include_str!("../../../docs/policy.md");
    let cases = cases().await;
    for lenience in MODES {
        for case in &cases {
            let cells =
                RULES.map(|then| words(&demand_of(case, ruled(then), lenience), case, ruled(then), lenience));
            let row = format!("| {} | {} |", case.who, cells.join(" | "));
            let section = match lenience {
                None => "### Enforced",
                Some(Lenience::Grace) => "### In grace",
                Some(Lenience::Observe) => "### Observed",
            };
            let table =
                page.split(section).nth(1).and_then(|rest| rest.split("\n##").next()).unwrap_or_default();
            assert!(table.contains(&row), "docs/policy.md lacks under {section}:\n{row}");
        }
    }
}

/// The same user with a token under each `login_step`, whom Postern may not know at all.
async fn steps() -> Vec<Case> {
    let proved = cases().await.into_iter().find(|case| case.who == "an activated token").unwrap();
    let with = |who, settings| Case { who, settings, user: proved.user.clone(), ..proved };
    vec![
        with("`\"none\"`", "[access]\nlogin_step = \"none\""),
        with("`\"token\"`", "[access]\nlogin_step = \"token\""),
        with("`\"request\"`", "[access]\nlogin_step = \"request\""),
        with("`\"secondary\"`", "[access]\nlogin_step = \"secondary\""),
    ]
}

// covers: E1, A10, P9
#[tokio::test]
async fn the_documentation_has_every_login_step_as_it_is() {
    let page = include_str!("../../../docs/policy.md");
    let table = page.split("### Login steps").nth(1).and_then(|rest| rest.split("\n##").next()).unwrap();
    for lenience in MODES {
        let mode = match lenience {
            None => "enforced",
            Some(Lenience::Grace) => "in grace",
            Some(Lenience::Observe) => "observed",
        };
        for case in steps().await {
            let cells = RULES
                .map(|then| words(&demand_of(&case, ruled(then), lenience), &case, ruled(then), lenience));
            let row = format!("| {}, {mode} | {} |", case.who, cells.join(" | "));
            assert!(table.contains(&row), "docs/policy.md lacks:\n{row}");
        }
    }
}

// covers: E1
#[tokio::test]
async fn whoever_is_unknown_meets_the_same_step_as_everybody() {
    for case in steps().await.into_iter().filter(|case| case.who != "`\"token\"`") {
        for then in RULES.into_iter().filter(|then| *then != Some(Then::RequireToken)) {
            let stranger = Case { user: None, account_exists: false, ..case };
            let of = |case: &Case| words(&demand_of(case, ruled(then), None), case, ruled(then), None);
            let is_for_tokens = of(&case) == "code";
            assert!(is_for_tokens || of(&case) == of(&stranger), "{} {then:?}", case.who);
        }
    }
}

/// Whether a demand can end with a login without a code.
fn lets_go_without(demanded: &Demand) -> bool {
    match demanded {
        Demand::Nothing(_) => true,
        Demand::Code { leave }
        | Demand::Enrolment { leave, .. }
        | Demand::Association { leave }
        | Demand::Request { leave }
        | Demand::Secondary { leave } => leave.is_given(),
        Demand::Enrol => true,
        Demand::Closed | Demand::Refused(_) => false,
    }
}

// covers: A10
#[tokio::test]
async fn no_rule_but_allow_lets_anybody_go_without_who_may_not_by_the_settings() {
    let unsure = Ruled::Undecidable { rule: "r".into(), why: "down".into() };
    for case in cases().await {
        for lenience in MODES {
            let by_settings = lets_go_without(&demand_of(&case, Ruled::NoRule, lenience));
            let strict = [Then::RequireAnyOtp, Then::RequireToken, Then::Deny];
            for ruled in strict.map(|then| ruled(Some(then))).into_iter().chain([unsure.clone()]) {
                let by_rule = lets_go_without(&demand_of(&case, ruled.clone(), lenience));
                assert!(by_settings || !by_rule || lenience.is_some(), "{} {ruled:?} {lenience:?}", case.who);
            }
            for refusing in [ruled(Some(Then::Deny)), unsure.clone()] {
                let demanded = demand_of(&case, refusing, lenience);
                let is_refused = matches!(demanded, Demand::Refused(_));
                assert_eq!(is_refused, lenience != Some(Lenience::Observe), "{} {lenience:?}", case.who);
            }
        }
    }
}

// covers: P9
#[tokio::test]
async fn a_roll_out_never_asks_for_more_than_is_enforced_and_grace_helps_only_who_has_activated_nothing() {
    for case in cases().await {
        for then in RULES {
            let enforced = demand_of(&case, ruled(then), None);
            for lenience in [Lenience::Grace, Lenience::Observe] {
                let lenient = demand_of(&case, ruled(then), Some(lenience));
                assert!(!lets_go_without(&enforced) || lets_go_without(&lenient), "{} {then:?}", case.who);
                let has_proved = case.user.as_ref().is_some_and(|user| user.has_proved());
                if lenience == Lenience::Grace && has_proved {
                    assert_eq!(format!("{lenient:?}"), format!("{enforced:?}"), "{} {then:?}", case.who);
                }
                if lenience == Lenience::Observe && !matches!(enforced, Demand::Enrol) {
                    assert!(lets_go_without(&lenient), "{} {then:?}", case.who);
                }
            }
        }
    }
}

// covers: P9
#[test]
fn a_roll_out_ends_with_the_first_second_of_its_day() {
    /// 1 December 2026, 00:00 UTC.
    const DECEMBER: UnixTime = 1_796_083_200;
    let config =
        Config::parse("version = 1\n[access]\nrollout = \"observe\"\nrollout_until = \"2026-12-01\"")
            .unwrap();
    let at = |now| Terms::new(None, Ruled::NoRule, &config, now).lenience;
    assert_eq!([at(0), at(DECEMBER - 1)], [Some(Lenience::Observe); 2]);
    assert_eq!([at(DECEMBER), at(UnixTime::MAX)], [None; 2]);
    assert_eq!(Rollout::default().lenience_at(0), None);
    assert_eq!(config.rollout.ends(), Some(DECEMBER));
    let sorted: BTreeMap<_, _> = [(config.rollout.until(), config.rollout.mode())].into();
    assert_eq!(sorted.keys().next().cloned().flatten().as_deref(), Some("2026-12-01"));
}
