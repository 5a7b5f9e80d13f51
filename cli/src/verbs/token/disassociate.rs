//! `postern token disassociate`: says what follows, asks, and takes the token from its user.

use wire::admin::{Disassociated, OnOff, SelfInfo, Token, TokenType, User};

use super::{form, path};
use crate::client::segment;
use crate::confirm;
use crate::failure::Failure;
use crate::output::Answer;
use crate::output::escape::escaped;
use crate::verbs::{Session, proof};

/// Takes a token from its user.
pub async fn run(session: &Session, serial: &str) -> Result<Answer, Failure> {
    let caller = proof::caller(&session.client).await?;
    if !session.yes {
        let token: Token = session.client.get(&path(serial, "")).await?;
        let user = holder(session, &caller, &token).await?;
        confirm::consent(session, question(&token, user.as_ref())).await?;
    }
    let proof = proof::proof(session, &caller)?;
    let taken: Disassociated = session.client.post(&path(serial, "/disassociate"), &proof).await?;
    let end = if taken.wiped { "is gone with its secret" } else { "is available" };
    let demand = match taken.otp {
        OnOff::On => String::new(),
        OnOff::Off => format!("; no one-time password is demanded of {}", taken.user),
    };
    Ok(form::taken(&taken, session.format)?.saying(&format!("token {} {end}{demand}", taken.serial)))
}

/// The user who has the token. Nobody may ask for a user but those who see all of them, so the caller's own stands
/// in what he was told of himself.
async fn holder(session: &Session, caller: &SelfInfo, token: &Token) -> Result<Option<User>, Failure> {
    match &token.user {
        None => Ok(None),
        Some(name) if *name == caller.name && caller.user.is_some() => Ok(caller.user.clone()),
        Some(name) => session.client.get(&format!("/v1/users/{}", segment(name))).await.map(Some),
    }
}

fn question(token: &Token, user: Option<&User>) -> String {
    let serial = escaped(&token.serial);
    let Some(user) = user else { return format!("Take token {serial} from its user?") };
    let name = escaped(&user.name);
    let is_last = user.tokens.iter().all(|other| other.serial == token.serial);
    let demand = match (is_last, user.recovery_codes_left.unwrap_or(0)) {
        (false, _) => String::new(),
        (true, codes) => {
            let void = match codes {
                0 => String::new(),
                1 => ", and 1 recovery code is void".to_owned(),
                codes => format!(", and {codes} recovery codes are void"),
            };
            format!(" It is the last token of {name}: no one-time password is demanded any more{void}.")
        }
    };
    let end = match token.token_type {
        TokenType::Hotp => "It becomes available.",
        // Only verifierd knows whether it drew the secret.
        TokenType::Totp => "It becomes available; if it is an app's, it is gone and its secret is wiped.",
    };
    format!("Take token {serial} from {name}?{demand} {end}")
}

#[cfg(test)]
mod tests {
    use wire::admin::{TokenState, UserToken};

    use super::*;

    fn token(token_type: TokenType) -> Token {
        Token {
            serial: "PT1".into(),
            user: Some("alice".into()),
            token_type,
            algorithm: "SHA1".into(),
            digits: 6,
            time_interval: None,
            counter: None,
            time_drift: None,
            state: TokenState::Associated,
            disabled_by: None,
            failures: 0,
            created: String::new(),
            associated: None,
            last_accepted: None,
        }
    }

    fn user(serials: &[&str], codes: Option<u32>) -> User {
        let token = |serial: &&str| UserToken {
            serial: (*serial).to_owned(),
            token_type: TokenType::Hotp,
            is_app: false,
            state: TokenState::Associated,
        };
        User {
            name: "alice".into(),
            otp: OnOff::On,
            activated: true,
            grace_until: None,
            grace_logins_left: None,
            last_login: None,
            tokens: serials.iter().map(token).collect(),
            recovery_codes_left: codes,
        }
    }

    #[test]
    fn the_question_says_what_the_last_token_takes_with_it() {
        let check = |user: &User, words: &str| {
            let asked = question(&token(TokenType::Hotp), Some(user));
            assert_eq!(asked, format!("Take token PT1 from alice?{words} It becomes available."));
        };
        const LAST: &str = " It is the last token of alice: no one-time password is demanded any more";
        check(&user(&["PT1", "PT2"], Some(9)), "");
        check(&user(&["PT1"], None), &format!("{LAST}."));
        check(&user(&["PT1"], Some(1)), &format!("{LAST}, and 1 recovery code is void."));
        check(&user(&["PT1"], Some(9)), &format!("{LAST}, and 9 recovery codes are void."));
    }

    #[test]
    fn the_question_says_what_becomes_of_an_apps_secret() {
        let asked = question(&token(TokenType::Totp), Some(&user(&["PT1", "PT2"], None)));
        assert!(asked.ends_with("if it is an app's, it is gone and its secret is wiped."), "{asked}");
    }

    /// covers: I01
    #[test]
    fn a_name_cannot_draw_on_the_terminal() {
        let nasty = "a\u{1b}[2J";
        let token = Token { serial: nasty.into(), ..token(TokenType::Totp) };
        let user = User { name: nasty.into(), ..user(&["PT1"], None) };
        for asked in [question(&token, Some(&user)), question(&token, None)] {
            assert!(asked.contains(r"a\x1b[2J") && !asked.contains('\u{1b}'), "{asked}");
        }
    }
}
