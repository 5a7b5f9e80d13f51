//! `postern whoami`: the caller as `verifierd` sees him, and his tokens.

use wire::admin::{SelfInfo, User};

use super::{proof, user};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::json::Document;
use crate::output::table::{self, NOTHING_TO_SAY};
use crate::output::{Answer, Format};

/// Asks and shows.
pub async fn run(client: &Client, format: Format) -> Result<Answer, Failure> {
    let caller = proof::caller(client).await?;
    Answer::one(format, &Document::new("self", &caller), || properties(&caller))
}

fn properties(caller: &SelfInfo) -> String {
    let own = caller.user.as_ref();
    let of_user = |show: fn(&User) -> String| own.map_or_else(|| NOTHING_TO_SAY.to_owned(), show);
    table::properties([
        ("name", caller.name.clone()),
        ("role", caller.role.word().to_owned()),
        ("otp", of_user(|user| user::switch(user.otp))),
        ("tokens", of_user(user::tokens)),
        ("recovery codes", of_user(user::recovery_codes)),
    ])
}
