//! `postern user`: who is asked for a one-time password.

use wire::admin::{OnOff, SetOtp, User, UserList};

use crate::args::{Switch, UserVerb};
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::output::json::Document;
use crate::output::table::{self, joined, or_dash, yes_no};
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
        UserVerb::Set { name, otp } => {
            let wish = SetOtp { otp: if otp == Switch::On { OnOff::On } else { OnOff::Off } };
            let user: User = client.put(&format!("/v1/users/{}/otp", segment(&name)), &wish).await?;
            Ok(show(&user, format)?.saying(&told(&user)))
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
            ("tokens", joined(&user.tokens)),
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
                joined(&user.tokens),
            ]
        }),
    )
}

fn switch(position: OnOff) -> String {
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
    match (user.otp, user.activated) {
        (OnOff::On, true) => format!("every login of {} asks for a one-time password", user.name),
        (OnOff::On, false) => format!("the next login of {} shows the QR code", user.name),
        (OnOff::Off, _) => format!("no one-time password is demanded of {}", user.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> User {
        User {
            name: "alice".into(),
            otp: OnOff::On,
            activated: false,
            grace_until: Some("2026-12-01T00:00:00Z".into()),
            grace_logins_left: Some(3),
            last_login: None,
            tokens: vec!["PT1".into()],
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
        assert_eq!(told(&alice()), "the next login of alice shows the QR code");
        let off = User { otp: OnOff::Off, ..alice() };
        assert_eq!(told(&off), "no one-time password is demanded of alice");
    }
}
