//! `postern ban`: who has to wait after wrong codes.

use wire::admin::{Ban, BanList, Lifted};

use crate::args::BanVerb;
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::output::json::Document;
use crate::output::table::{self, joined};
use crate::output::{Answer, Format};

/// Runs one of the verbs.
pub async fn run(client: &Client, verb: BanVerb, format: Format) -> Result<Answer, Failure> {
    match verb {
        BanVerb::List => {
            let bans: BanList = client.get("/v1/bans").await?;
            Answer::list(format, &bans, &bans.items, || rows(&bans.items))
        }
        BanVerb::Lift { id } => {
            let lifted: Lifted = client.post_nothing(&format!("/v1/bans/{}/lift", segment(&id))).await?;
            Answer::one(format, &Document::new("lifted", &lifted), || {
                let whose = whose(lifted.user.as_deref(), lifted.host.as_deref(), lifted.from.as_deref());
                table::properties([("ban", lifted.id.clone()), ("whose", whose), ("lifted", "yes".into())])
            })
        }
    }
}

fn rows(bans: &[Ban]) -> String {
    table::list(
        ["ID", "WHOSE", "FAILURES", "UNTIL"],
        bans.iter().map(|ban| {
            [
                ban.id.clone(),
                whose(ban.user.as_deref(), ban.host.as_deref(), ban.from.as_deref()),
                ban.failures.to_string(),
                ban.until.clone(),
            ]
        }),
    )
}

/// What a count tells apart, in words.
fn whose(user: Option<&str>, host: Option<&str>, from: Option<&str>) -> String {
    let user = user.map_or_else(|| "users new to the place".to_owned(), |user| format!("user {user}"));
    let host = host.map(|host| format!("host {host}"));
    let from = from.map_or_else(|| "unusual places".to_owned(), str::to_owned);
    joined(&[Some(user), host, Some(from)].into_iter().flatten().collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_told_in_words() {
        let all = whose(Some("alice"), Some("web1"), Some("address 192.0.2.1"));
        assert_eq!(all, "user alice, host web1, address 192.0.2.1");
        assert_eq!(whose(Some("alice"), None, None), "user alice, unusual places");
        assert_eq!(whose(None, None, Some("local")), "users new to the place, local");
    }
}
