//! How tokens, and what was done with them, are printed.

use wire::admin::{CodeCheck, DisabledBy, Disassociated, Token, TokenList, TokenState, TokenType};

use crate::failure::Failure;
use crate::output::json::Document;
use crate::output::table::{self, NOTHING_TO_SAY, or_dash, yes_no};
use crate::output::{Answer, Format};
use crate::verbs::user::switch;

/// A list, one token a row.
pub fn list(tokens: &TokenList, format: Format) -> Result<Answer, Failure> {
    Answer::list(format, tokens, &tokens.items, || rows(&tokens.items))
}

/// One token with all its properties.
pub fn show(token: &Token, format: Format) -> Result<Answer, Failure> {
    let number = |value: Option<String>| value.unwrap_or_else(|| NOTHING_TO_SAY.to_owned());
    Answer::one(format, &Document::new("token", token), || {
        table::properties([
            ("serial", token.serial.clone()),
            ("user", owner(token).to_owned()),
            ("type", kind(token)),
            ("next counter", number(token.counter.map(|counter| counter.to_string()))),
            ("time drift", number(token.time_drift.map(drift))),
            ("state", state_and_reason(token)),
            ("failures", token.failures.to_string()),
            ("created", token.created.clone()),
            ("associated", or_dash(token.associated.as_deref())),
            ("last accepted", or_dash(token.last_accepted.as_deref())),
        ])
    })
}

/// What a test of a code found.
pub fn check(check: &CodeCheck, format: Format) -> Result<Answer, Failure> {
    Answer::one(format, &Document::new("code_check", check), || {
        table::properties([
            ("serial", check.serial.clone()),
            ("right", yes_no(check.right)),
            ("reason", check.reason.clone()),
            ("detail", or_dash(check.detail.as_deref())),
            ("reference", check.reference.clone()),
        ])
    })
}

/// A token that was taken from its user.
pub fn taken(taken: &Disassociated, format: Format) -> Result<Answer, Failure> {
    Answer::one(format, &Document::new("disassociated", taken), || {
        table::properties([
            ("serial", taken.serial.clone()),
            ("user", taken.user.clone()),
            ("wiped", yes_no(taken.wiped)),
            ("otp", switch(taken.otp)),
        ])
    })
}

/// The user that the token belongs to.
pub fn owner(token: &Token) -> &str {
    token.user.as_deref().unwrap_or(NOTHING_TO_SAY)
}

fn rows(tokens: &[Token]) -> String {
    table::list(
        ["SERIAL", "USER", "TYPE", "STATE", "FAILURES", "CREATED", "LAST ACCEPTED"],
        tokens.iter().map(|token| {
            [
                token.serial.clone(),
                owner(token).to_owned(),
                kind(token),
                state(token),
                token.failures.to_string(),
                token.created.clone(),
                or_dash(token.last_accepted.as_deref()),
            ]
        }),
    )
}

/// Type and parameters in one cell: `totp SHA1/6/30s`, `hotp SHA1/6`.
fn kind(token: &Token) -> String {
    let interval = token.time_interval.map(|seconds| format!("/{seconds}s")).unwrap_or_default();
    format!("{} {}/{}{interval}", type_name(token.token_type), token.algorithm, token.digits)
}

/// The state, who disabled the token, and how that ends.
fn state_and_reason(token: &Token) -> String {
    let why = match (token.disabled_by, &token.user) {
        (None, _) => String::new(),
        (Some(DisabledBy::Administrator), _) => " (by an administrator)".to_owned(),
        (Some(DisabledBy::WrongCodes), None) => " (too many wrong codes)".to_owned(),
        (Some(DisabledBy::WrongCodes), Some(user)) => {
            format!(" (too many wrong codes: postern user unlock {user})")
        }
    };
    format!("{}{why}", state_name(token.state))
}

/// The state in a list, and who disabled the token where that was not somebody.
fn state(token: &Token) -> String {
    let why = match token.disabled_by {
        Some(DisabledBy::WrongCodes) => " (wrong codes)",
        Some(DisabledBy::Administrator) | None => "",
    };
    format!("{}{why}", state_name(token.state))
}

fn drift(steps: i32) -> String {
    let unit = if steps.unsigned_abs() == 1 { "step" } else { "steps" };
    format!("{steps:+} {unit}")
}

/// `totp` or `hotp`.
pub fn type_name(token_type: TokenType) -> &'static str {
    match token_type {
        TokenType::Totp => "totp",
        TokenType::Hotp => "hotp",
    }
}

/// The state in the word of the messages.
pub fn state_name(state: TokenState) -> &'static str {
    match state {
        TokenState::Available => "available",
        TokenState::Assigned => "assigned",
        TokenState::Associated => "associated",
        TokenState::Disabled => "disabled",
        TokenState::Lost => "lost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token {
            serial: "PT1".into(),
            user: Some("alice".into()),
            token_type: TokenType::Totp,
            algorithm: "SHA1".into(),
            digits: 6,
            time_interval: Some(30),
            counter: None,
            time_drift: Some(-1),
            state: TokenState::Associated,
            disabled_by: None,
            failures: 2,
            created: "2026-11-01T00:00:00Z".into(),
            associated: None,
            last_accepted: None,
        }
    }

    fn check(token: &Token, expected: &str) {
        let text = rows(std::slice::from_ref(token));
        assert_eq!(text.lines().nth(1), Some(expected));
    }

    #[test]
    fn a_token_shows_its_parameters_and_state() {
        check(&token(), "PT1     alice  totp SHA1/6/30s  associated  2         2026-11-01T00:00:00Z  -");
        let box_fresh = Token {
            user: None,
            token_type: TokenType::Hotp,
            time_interval: None,
            counter: Some(7),
            state: TokenState::Available,
            ..token()
        };
        check(&box_fresh, "PT1     -     hotp SHA1/6  available  2         2026-11-01T00:00:00Z  -");
    }

    #[test]
    fn a_token_that_wrong_codes_disabled_says_so() {
        let disabled = |by| Token { state: TokenState::Disabled, disabled_by: Some(by), ..token() };
        assert_eq!(state(&disabled(DisabledBy::WrongCodes)), "disabled (wrong codes)");
        assert_eq!(state(&disabled(DisabledBy::Administrator)), "disabled");
    }

    #[test]
    fn one_token_says_who_disabled_it_and_how_that_ends() {
        let check = |by, user: Option<&str>, words: &str| {
            let token = Token {
                state: TokenState::Disabled,
                disabled_by: Some(by),
                user: user.map(Into::into),
                ..token()
            };
            assert_eq!(state_and_reason(&token), words);
        };
        check(DisabledBy::Administrator, Some("alice"), "disabled (by an administrator)");
        let unlock = "disabled (too many wrong codes: postern user unlock alice)";
        check(DisabledBy::WrongCodes, Some("alice"), unlock);
        check(DisabledBy::WrongCodes, None, "disabled (too many wrong codes)");
        assert_eq!(state_and_reason(&token()), "associated");
    }

    #[test]
    fn a_drift_shows_its_direction() {
        assert_eq!((drift(1), drift(-3), drift(0)), ("+1 step".into(), "-3 steps".into(), "+0 steps".into()));
    }

    #[test]
    fn names_are_those_of_the_messages() {
        use TokenState::{Assigned, Associated, Available, Disabled, Lost};
        for state in [Available, Assigned, Associated, Disabled, Lost] {
            assert_eq!(serde_json::to_value(state).expect("a word"), state_name(state));
        }
        for token_type in [TokenType::Totp, TokenType::Hotp] {
            assert_eq!(serde_json::to_value(token_type).expect("a word"), type_name(token_type));
        }
    }
}
