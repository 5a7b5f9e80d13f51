//! `postern user`: who is asked for a one-time password.

use wire::admin::{EnrolWith, OnOff, SetOtp, Unlocked, User, UserList};

use super::token;
use crate::args::{Switch, UserVerb, Way};
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::output::json::Document;
use crate::output::table::{self, NOTHING_TO_SAY, joined, or_dash, yes_no};
use crate::output::{Answer, Format};

/// Runs one of the verbs.
pub async fn run(client: &Client, verb: UserVerb, format: Format) -> Result<Answer, Failure> {
    match verb {
        UserVerb::List => {
            let users: UserList = client.get("/v1/users").await?;
            Answer::list(format, &users, &users.items, || rows(&users.items))
        }
        UserVerb::Show { name } => {
            let user: User = client.get(&format!("/v1/users/{}", segment(&name))).await?;
            show(&user, format)
        }
        UserVerb::Set { name, otp, with } => {
            let wish = SetOtp {
                otp: if otp == Switch::On { OnOff::On } else { OnOff::Off },
                enrol_with: with.map(|way| match way {
                    Way::App => EnrolWith::App,
                    Way::Token => EnrolWith::Token,
                }),
            };
            let user: User = client.put(&format!("/v1/users/{}/otp", segment(&name)), &wish).await?;
            Ok(show(&user, format)?.saying(&told(&user)))
        }
        UserVerb::Unlock { name } => {
            let unlocked: Unlocked =
                client.post_nothing(&format!("/v1/users/{}/unlock", segment(&name))).await?;
            Answer::one(format, &Document::new("unlocked", &unlocked), || {
                table::properties([
                    ("user", unlocked.user.clone()),
                    ("counts cleared", unlocked.counts_cleared.to_string()),
                    ("tokens enabled", joined(&unlocked.tokens_enabled)),
                ])
            })
        }
    }
}

fn show(user: &User, format: Format) -> Result<Answer, Failure> {
    Answer::one(format, &Document::new("user", user), || {
        table::properties([
            ("name", user.name.clone()),
            ("otp", switch(user.otp)),
            ("activated", yes_no(user.activated)),
            ("grace", grace(user)),
            ("last login", or_dash(user.last_login.as_deref())),
            ("tokens", tokens(user)),
            ("recovery codes", recovery_codes(user)),
        ])
    })
}

fn rows(users: &[User]) -> String {
    table::list(
        ["USER", "OTP", "ACTIVATED", "GRACE", "LAST LOGIN", "TOKENS"],
        users.iter().map(|user| {
            [
                user.name.clone(),
                switch(user.otp),
                yes_no(user.activated),
                grace(user),
                or_dash(user.last_login.as_deref()),
                joined(&user.tokens.iter().map(|token| token.serial.clone()).collect::<Vec<_>>()),
            ]
        }),
    )
}

/// The user's tokens with their types and states, in the order in which they are tried.
pub fn tokens(user: &User) -> String {
    let each = user.tokens.iter().map(|of_user| {
        let (kind, state) = (token::type_name(of_user.token_type), token::state_name(of_user.state));
        format!("{} ({kind}, {state})", of_user.serial)
    });
    joined(&each.collect::<Vec<_>>())
}

/// How many recovery codes are left.
pub fn recovery_codes(user: &User) -> String {
    user.recovery_codes_left.map_or_else(|| NOTHING_TO_SAY.to_owned(), |left| format!("{left} left"))
}

/// `on` or `off`.
pub fn switch(position: OnOff) -> String {
    match position {
        OnOff::On => "on",
        OnOff::Off => "off",
    }
    .to_owned()
}

/// How long the user may still log in without a code.
fn grace(user: &User) -> String {
    let until = user.grace_until.as_ref().map(|time| format!("until {time}"));
    let logins = user.grace_logins_left.map(|count| format!("{count} logins left"));
    joined(&[until, logins].into_iter().flatten().collect::<Vec<_>>())
}

fn told(user: &User) -> String {
    let name = &user.name;
    let is_handed = user.tokens.iter().any(|token| !token.is_app);
    match (user.otp, user.activated) {
        (OnOff::On, true) => format!("every login of {name} asks for a one-time password"),
        (OnOff::On, false) if user.tokens.is_empty() => {
            format!("the next login of {name} asks for the serial number of a token")
        }
        (OnOff::On, false) if is_handed => format!("the next login of {name} asks for a code of the token"),
        (OnOff::On, false) => format!("the next login of {name} shows the QR code"),
        (OnOff::Off, _) => format!("no one-time password is demanded of {name}"),
    }
}

#[cfg(test)]
mod tests {
    use wire::admin::{TokenState, TokenType, UserToken};

    use super::*;

    fn token(is_app: bool) -> UserToken {
        UserToken { serial: "PT1".into(), token_type: TokenType::Totp, is_app, state: TokenState::Assigned }
    }

    fn alice() -> User {
        User {
            name: "alice".into(),
            otp: OnOff::On,
            activated: false,
            grace_until: Some("2026-12-01T00:00:00Z".into()),
            grace_logins_left: Some(3),
            last_login: None,
            tokens: vec![token(true)],
            recovery_codes_left: Some(9),
        }
    }

    #[test]
    fn a_user_row_shows_what_is_demanded_and_until_when_it_is_not() {
        let text = rows(&[alice()]);
        let row = text.lines().nth(1).expect("one row");
        let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(cells, ["alice", "on", "no", "until 2026-12-01T00:00:00Z, 3 logins left", "-", "PT1"]);
    }

    #[test]
    fn what_was_done_is_said_in_words() {
        let check = |user: User, words: &str| assert_eq!(told(&user), words);
        check(alice(), "the next login of alice shows the QR code");
        let without = User { tokens: Vec::new(), ..alice() };
        check(without, "the next login of alice asks for the serial number of a token");
        let handed = User { tokens: vec![token(false)], ..alice() };
        check(handed, "the next login of alice asks for a code of the token");
        check(User { otp: OnOff::Off, ..alice() }, "no one-time password is demanded of alice");
    }
}
