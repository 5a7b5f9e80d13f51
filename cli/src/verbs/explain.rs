//! `postern explain`: from the reference that a user was shown to the reason that he was not.

use std::str::FromStr;

use wire::admin::{AuditRecord, Decision};

use crate::client::Client;
use crate::failure::Failure;
use crate::output::table::{self, or_dash};
use crate::output::{Answer, Format};

/// Crockford's base 32: no I, L, O, U.
const ALPHABET: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A reference as it is written: `7K2M-9QXD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference(String);

/// Why a text is no reference.
#[derive(Debug, thiserror::Error)]
#[error("a reference has 8 letters and digits, such as 7K2M-9QXD")]
pub struct ReferenceError;

impl FromStr for Reference {
    type Err = ReferenceError;

    /// Reads what a person typed or read out: in any case, with or without the hyphen, O for 0, I or L for 1.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let symbols: Vec<char> = text
            .chars()
            .filter(|character| !matches!(character, '-' | ' '))
            .map(|character| match character.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            })
            .collect();
        if symbols.len() != 8 || !symbols.iter().all(|symbol| ALPHABET.contains(*symbol)) {
            return Err(ReferenceError);
        }
        let (left, right) = symbols.split_at(4);
        Ok(Self(left.iter().chain(&['-']).chain(right).collect()))
    }
}

/// Asks for the decision and shows it whole.
pub async fn run(client: &Client, reference: &Reference, format: Format) -> Result<Answer, Failure> {
    let decision: Decision = client.get(&format!("/v1/decisions/{}", reference.0)).await?;
    Answer::one(format, &decision, || explained(&decision.record))
}

fn explained(record: &AuditRecord) -> String {
    table::properties([
        ("reference", record.reference.clone()),
        ("event", record.event.clone()),
        ("verdict", or_dash(record.verdict.as_deref())),
        ("why", why(record)),
        ("rule", or_dash(record.rule.as_deref())),
        ("roll-out", or_dash(record.rollout.as_deref())),
        ("at", record.at.clone()),
        ("user", or_dash(record.user.as_deref())),
        ("service", or_dash(record.service.as_deref())),
        ("host", or_dash(record.host.as_deref())),
        ("from", or_dash(record.rhost.as_deref())),
        ("terminal", or_dash(record.tty.as_deref())),
        ("asked by", or_dash(record.ruser.as_deref())),
        ("token", or_dash(record.token.as_deref())),
        ("done by", or_dash(record.actor.as_deref())),
        ("sequence", record.sequence.to_string()),
    ])
}

/// The reason with everything that makes it clear: `replayed, used 12 s ago (and 3 more like it)`.
pub fn why(record: &AuditRecord) -> String {
    let detail = record.detail.as_ref().map(|detail| format!(", {detail}")).unwrap_or_default();
    let repeats = record.repeats.filter(|count| *count > 0);
    let repeats = repeats.map(|count| format!(" (and {count} more like it)")).unwrap_or_default();
    format!("{}{detail}{repeats}", record.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_as_a_person_types_it() {
        let check = |text: &str| text.parse::<Reference>().expect("a reference").0;
        assert_eq!(check("7K2M-9QXD"), "7K2M-9QXD");
        assert_eq!(check("7k2m9qxd"), "7K2M-9QXD");
        assert_eq!(check("oil0 1111"), "0110-1111");
    }

    #[test]
    fn what_is_no_reference_is_refused_before_anything_is_asked() {
        for text in ["", "7K2M", "7K2M-9QXDD", "7K2M-9QXU", "../status", "7K2M-9QX\u{1b}"] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_reason_carries_its_detail_and_its_repeats() {
        let record = AuditRecord {
            reason: "throttled".into(),
            detail: Some("4 s left".into()),
            repeats: Some(3),
            ..AuditRecord::default()
        };
        assert_eq!(why(&record), "throttled, 4 s left (and 3 more like it)");
    }
}
