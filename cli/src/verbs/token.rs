//! `postern token`: enrolled secrets and their state. The secrets themselves never come here.

use wire::admin::{Token, TokenList, TokenState};

use crate::args::TokenVerb;
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::output::json::Document;
use crate::output::table::{self, or_dash};
use crate::output::{Answer, Format};

/// Runs one of the verbs.
pub async fn run(client: &Client, verb: TokenVerb, format: Format) -> Result<Answer, Failure> {
    match verb {
        TokenVerb::List => {
            let tokens: TokenList = client.get("/v1/tokens").await?;
            Answer::list(format, &tokens, &tokens.items, || rows(&tokens.items))
        }
        TokenVerb::Show { serial } => {
            let token: Token = client.get(&format!("/v1/tokens/{}", segment(&serial))).await?;
            show(&token, format)
        }
        TokenVerb::Disable { serial } => {
            let token: Token = client.post(&format!("/v1/tokens/{}/disable", segment(&serial))).await?;
            let words = format!("token {} of {} is disabled", token.serial, token.user);
            Ok(show(&token, format)?.saying(&words))
        }
    }
}

fn show(token: &Token, format: Format) -> Result<Answer, Failure> {
    Answer::one(format, &Document::new("token", token), || {
        table::properties([
            ("serial", token.serial.clone()),
            ("user", token.user.clone()),
            ("type", kind(token)),
            ("state", state(token.state).to_owned()),
            ("failures", token.failures.to_string()),
            ("created", token.created.clone()),
            ("last accepted", or_dash(token.last_accepted.as_deref())),
        ])
    })
}

fn rows(tokens: &[Token]) -> String {
    table::list(
        ["SERIAL", "USER", "TYPE", "STATE", "FAILURES", "CREATED", "LAST ACCEPTED"],
        tokens.iter().map(|token| {
            [
                token.serial.clone(),
                token.user.clone(),
                kind(token),
                state(token.state).to_owned(),
                token.failures.to_string(),
                token.created.clone(),
                or_dash(token.last_accepted.as_deref()),
            ]
        }),
    )
}

/// Type and parameters in one cell: `totp SHA1/6/30s`.
fn kind(token: &Token) -> String {
    format!("{} {}/{}/{}s", token.token_type, token.algorithm, token.digits, token.time_interval)
}

fn state(state: TokenState) -> &'static str {
    match state {
        TokenState::Assigned => "assigned",
        TokenState::Associated => "associated",
        TokenState::Disabled => "disabled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_shows_its_parameters_and_state() {
        let token = Token {
            serial: "PT1".into(),
            user: "alice".into(),
            token_type: "totp".into(),
            algorithm: "SHA1".into(),
            digits: 6,
            time_interval: 30,
            state: TokenState::Associated,
            failures: 2,
            created: "2026-11-01T00:00:00Z".into(),
            last_accepted: None,
        };
        let text = rows(&[token]);
        let row = text.lines().nth(1).expect("one row");
        assert_eq!(row, "PT1     alice  totp SHA1/6/30s  associated  2         2026-11-01T00:00:00Z  -");
    }
}
