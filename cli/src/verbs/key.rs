//! `postern person key`: with what programs ask for a person over HTTPS.

use wire::admin::{MadePersonKey, NewPersonKey, PersonKey, PersonKeyList, PersonKeyState};
use zeroize::{Zeroize, Zeroizing};

use super::proof;
use crate::args::{KeyOrder, KeyVerb};
use crate::client::segment;
use crate::failure::Failure;
use crate::output::Answer;
use crate::output::escape::escaped;
use crate::output::json::Document;
use crate::output::table::{self, or_dash, yes_no};
use crate::verbs::Session;

/// Runs one of the verbs.
pub async fn run(session: &Session, verb: KeyVerb) -> Result<Answer, Failure> {
    let (client, format) = (&session.client, session.format);
    match verb {
        KeyVerb::List { login } => {
            let wanted = login.map(|login| format!("?person={}", segment(&login))).unwrap_or_default();
            let keys: PersonKeyList = client.get(&format!("/v1/keys{wanted}")).await?;
            Answer::list(format, &keys, &keys.items, || rows(&keys.items))
        }
        KeyVerb::Add(order) => add(session, order).await,
        KeyVerb::Revoke { id } => {
            let key: PersonKey = client.delete(&format!("/v1/keys/{}", segment(&id))).await?;
            let shown = Answer::one(format, &Document::new("person_key", &key), || {
                table::properties(properties(&key))
            })?;
            Ok(shown.saying("it opens nothing from now on"))
        }
    }
}

async fn add(session: &Session, order: KeyOrder) -> Result<Answer, Failure> {
    let caller = proof::caller(&session.client).await?;
    let proof = proof::proof(session, &caller)?;
    let mut wish = NewPersonKey {
        login: order.who.login,
        name: order.name,
        valid_seconds: order.life.as_secs(),
        role: order.role.map(Into::into),
        code: proof.code,
    };
    let made = session.client.post("/v1/keys", &wish).await;
    wish.code.zeroize();
    let mut made: MadePersonKey = made?;
    let answer = Answer::one(session.format, &Document::new("made_person_key", &made), || {
        let secret = Zeroizing::new(escaped(&made.secret));
        let mut lines = properties(&made.key);
        lines.push(("secret", secret.to_string()));
        table::properties(lines)
    });
    made.secret.zeroize();
    Ok(answer?.saying("the secret is not shown again: put it where only the program can read it"))
}

fn properties(key: &PersonKey) -> Vec<(&'static str, String)> {
    vec![
        ("key", key.name.clone()),
        ("id", key.id.clone()),
        ("of", key.login.clone()),
        ("role", key.role.word().to_owned()),
        ("state", state(key.state).to_owned()),
        ("made", key.made.clone()),
        ("made by", key.made_by.clone()),
        ("may decide requests", yes_no(key.is_his_own)),
        ("good until", key.until.clone()),
        ("last used", or_dash(key.last_used.as_deref())),
    ]
}

fn rows(keys: &[PersonKey]) -> String {
    table::list(
        ["ID", "OF", "NAME", "ROLE", "STATE", "UNTIL", "LAST USED"],
        keys.iter().map(|key| {
            [
                key.id.clone(),
                key.login.clone(),
                table::short(&key.name),
                key.role.word().to_owned(),
                state(key.state).to_owned(),
                key.until.clone(),
                or_dash(key.last_used.as_deref()),
            ]
        }),
    )
}

fn state(state: PersonKeyState) -> &'static str {
    match state {
        PersonKeyState::Good => "good",
        PersonKeyState::Expired => "expired",
        PersonKeyState::Ended => "ended",
    }
}
