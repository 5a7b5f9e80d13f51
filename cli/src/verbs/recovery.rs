//! `postern recovery`: codes on paper for when a token is not at hand.

use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;
use wire::admin::{Proof, RecoveryCodes, RecoveryStatus};
use zeroize::Zeroize;

use super::proof;
use crate::args::RecoveryVerb;
use crate::client::segment;
use crate::failure::Failure;
use crate::output::escape::escaped;
use crate::output::json::Document;
use crate::output::table::{self, or_dash, yes_no};
use crate::output::{Answer, Format};
use crate::verbs::Session;

/// Runs one of the verbs.
pub async fn run(session: &Session, verb: RecoveryVerb) -> Result<Answer, Failure> {
    match verb {
        RecoveryVerb::Status(whose) => {
            let name = match whose.user {
                Some(name) => name,
                None => proof::caller(&session.client).await?.name,
            };
            let status: RecoveryStatus = session.client.get(&path(&name)).await?;
            show(&status, session.format)
        }
        RecoveryVerb::Regenerate(whose) => {
            let caller = proof::caller(&session.client).await?;
            let proof: Proof = proof::proof(session, &caller)?;
            let name = whose.user.unwrap_or(caller.name);
            let codes: RecoveryCodes = session.client.post(&path(&name), &proof).await?;
            print(session, codes)
        }
    }
}

fn path(name: &str) -> String {
    format!("/v1/users/{}/recovery", segment(name))
}

fn show(status: &RecoveryStatus, format: Format) -> Result<Answer, Failure> {
    let answer = Answer::one(format, &Document::new("recovery_status", status), || {
        table::properties([
            ("user", status.user.clone()),
            ("left", status.left.to_string()),
            ("made", or_dash(status.made.as_deref())),
            ("waiting", yes_no(status.waiting)),
        ])
    })?;
    Ok(match status.waiting {
        true => answer.saying("they wait for an administrator: `postern store settle`"),
        false => answer,
    })
}

/// A set of codes with what belongs on the paper.
#[derive(Serialize)]
struct Sheet<'a> {
    user: &'a str,
    host: String,
    /// RFC 3339, as in the status.
    made: String,
    codes: &'a [String],
}

/// Prints the codes, which nobody can ask for again.
fn print(session: &Session, mut told: RecoveryCodes) -> Result<Answer, Failure> {
    let sheet = Sheet {
        user: &told.user,
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        made: second(session.now.into()),
        codes: &told.codes,
    };
    let answer = Answer::one(session.format, &Document::new("recovery_codes", &sheet), || block(&sheet));
    told.codes.iter_mut().for_each(Zeroize::zeroize);
    Ok(answer?.saying("print or write them down: they are not shown again, and the old ones are void"))
}

/// The second, in UTC.
fn second(now: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    now.format(&form).unwrap_or_default()
}

/// One code a line between two rules, so that it can be cut out of what the printer gives.
fn block(sheet: &Sheet<'_>) -> String {
    const RULE: &str = "----------------------------------------\n";
    let Sheet { user, host, made, codes } = sheet;
    // On paper the day will do.
    let day = made.split('T').next().unwrap_or_default();
    let head =
        format!("Recovery codes of {} on {}, {day}\nEach works once.\n\n", escaped(user), escaped(host));
    let lines: String = codes.iter().map(|code| format!("    {}\n", escaped(code))).collect();
    [RULE, &head, &lines, RULE].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_holds_name_host_date_and_one_code_a_line() {
        let codes = ["ABCD-0000-1111-2222".to_owned(), "EFGH-0000-1111-2222".to_owned()];
        let now = OffsetDateTime::from_unix_timestamp(1_793_000_000).expect("in range");
        let sheet = Sheet { user: "alice", host: "gate\u{1b}[2J".into(), made: second(now), codes: &codes };
        assert_eq!(sheet.made, "2026-10-26T07:33:20Z");
        let text = block(&sheet);
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('-')).collect();
        assert_eq!(
            lines,
            [
                r"Recovery codes of alice on gate\x1b[2J, 2026-10-26",
                "Each works once.",
                "",
                "    ABCD-0000-1111-2222",
                "    EFGH-0000-1111-2222",
            ]
        );
    }
}
