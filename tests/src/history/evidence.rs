//! What the store says in the end: the audit trail, and where each token stands.

use std::collections::BTreeMap;

use wire::admin::{AuditRecord, Token, TokenType};

use crate::postern;

/// What is known of a run from the store.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The whole audit trail, oldest first.
    pub trail: Vec<AuditRecord>,
    /// Where each token stands, by serial number.
    pub standings: BTreeMap<String, Standing>,
}

/// Where a token stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whose it is.
    pub user: Option<String>,
    /// The lowest step or counter that may still be accepted.
    pub next: u64,
    /// Wrong codes in a row.
    pub failures: u32,
}

impl Evidence {
    /// Asks the running daemon, and has it walk along its audit chain.
    ///
    /// # Panics
    /// When it does not answer, or the chain is broken.
    #[track_caller]
    pub fn of_daemon() -> Self {
        let trail = postern::audit();
        let walk = postern::run(&["audit", "verify"]);
        assert!(walk.status.success(), "the audit chain is broken: {}", postern::said(&walk));
        // The tokens last: what goes on meanwhile only raises them.
        Self { trail, ..Self::of_tokens() }
    }

    /// The same without the trail.
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn of_tokens() -> Self {
        Self { trail: Vec::new(), standings: postern::tokens().into_iter().map(standing).collect() }
    }
}

fn standing(token: Token) -> (String, Standing) {
    let next = match token.token_type {
        TokenType::Hotp => token.counter.unwrap_or_default(),
        TokenType::Totp => {
            let interval = u64::from(token.time_interval.unwrap_or(30));
            let accepted = token.last_accepted.as_deref().map(|text| unix_of(text) / interval);
            accepted.map_or(0, |step| step + 1)
        }
    };
    (token.serial, Standing { user: token.user, next, failures: token.failures })
}

/// Seconds since the Unix epoch of a time such as `2026-11-22T10:00:00Z`.
///
/// # Panics
/// When the text is none.
fn unix_of(text: &str) -> u64 {
    let numbers: Vec<u64> =
        text.split(|it: char| !it.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    let [year, month, day, hour, minute, second, ..] = numbers[..] else { panic!("{text} is no time") };
    // Years that begin in March, so that the leap day is the last one of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    const DAYS_TO_1970: u64 = 719_468;
    (days - DAYS_TO_1970) * 86_400 + hour * 3_600 + minute * 60 + second
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_trail_are_read() {
        for (text, unix) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:30Z", 951_825_630),
            ("2026-11-22T10:04:39Z", 1_795_341_879),
        ] {
            assert_eq!(unix_of(text), unix, "{text}");
        }
    }
}
