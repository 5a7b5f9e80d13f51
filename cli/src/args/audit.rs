//! `postern audit`: its verbs and flags.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime, macros::format_description};

/// Most records that one `audit show` collects: about 50 MB of them, a hundred pages.
const AUDIT_SHOW_MAX: u32 = 100_000;

/// What can be done with the audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditVerb {
    /// Show records: the newest ones, or those after a sequence number
    Show(AuditWish),
    /// Walk the whole chain; exit 1 when it is broken, or holds not what a witness saw
    Verify {
        /// A file with a checkpoint that was kept elsewhere: what this command showed before, or an agent's
        /// /var/lib/postern-agent/checkpoint
        #[arg(long, value_name = "FILE")]
        witness: Option<PathBuf>,
    },
}

/// Which audit records are wanted.
#[derive(Debug, Args)]
pub struct AuditWish {
    /// Start after this sequence number instead of showing the newest
    #[arg(long, value_name = "SEQUENCE", value_parser = sequence)]
    pub after: Option<u64>,
    /// How many records at most
    #[arg(long, value_name = "COUNT", default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(AUDIT_SHOW_MAX)))]
    pub limit: u32,
    /// Only records about this user
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub user: Option<String>,
    /// Only records of this host of the fleet; `-` for this machine
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true)]
    pub host: Option<String>,
    /// Only records of this event, such as login or token_added
    #[arg(long, value_name = "EVENT", value_parser = NonEmptyStringValueParser::new())]
    pub event: Option<String>,
    /// Only records in which this text stands anywhere, in any case of letters
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub text: Option<String>,
    /// Only records from then on: a time (2026-11-22T08:00:00Z), a day (2026-11-22, in UTC), or how long ago (90m, 2d)
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<Moment>,
    /// Only records from before: a time, a day (to its end), or how long ago
    #[arg(long, value_name = "TIME", value_parser = until)]
    pub until: Option<Moment>,
}

/// A moment that somebody means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has a name.
    At(OffsetDateTime),
    /// So long ago.
    Ago(Duration),
}

impl Moment {
    /// The moment; for what is longer ago than time goes back, none that excludes anything.
    pub fn at(self, now: SystemTime) -> Option<OffsetDateTime> {
        match self {
            Self::At(at) => Some(at),
            Self::Ago(time) => OffsetDateTime::from(now).checked_sub(time.try_into().ok()?),
        }
    }
}

fn sequence(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a whole number is needed, as the column SEQUENCE has them".to_owned())
}

fn since(text: &str) -> Result<Moment, String> {
    moment(text, Some)
}

fn until(text: &str) -> Result<Moment, String> {
    moment(text, Date::next_day)
}

/// * `of_day`: at the begin of which day the moment is that a day means.
fn moment(text: &str, of_day: fn(Date) -> Option<Date>) -> Result<Moment, String> {
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(Moment::At(at));
    }
    let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok();
    if let Some(day) = day.and_then(of_day) {
        return Ok(Moment::At(day.midnight().assume_utc()));
    }
    humantime::parse_duration(text).map(Moment::Ago).map_err(|_| {
        "a time (2026-11-22T08:00:00Z), a day (2026-11-22) or how long ago (90m, 2d) is needed".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_moment_is_a_time_a_day_or_so_long_ago() {
        let now = SystemTime::from(datetime!(2026-11-23 01:00 UTC));
        let check = |text: &str| since(text).ok().and_then(|since| since.at(now));
        assert_eq!(check("2026-11-22T08:00:00+02:00"), Some(datetime!(2026-11-22 06:00 UTC)));
        assert_eq!(check("2026-11-22"), Some(datetime!(2026-11-22 00:00 UTC)));
        assert_eq!(check("90m"), Some(datetime!(2026-11-22 23:30 UTC)));
        let end = |text: &str| until(text).ok().and_then(|until| until.at(now));
        assert_eq!(end("2026-11-22"), Some(datetime!(2026-11-23 00:00 UTC)));
        assert_eq!(end("2026-11-22T08:00:00Z"), Some(datetime!(2026-11-22 08:00 UTC)));
        for wrong in ["", "yesterday", "2026-13-01", "22.11.2026", "7"] {
            assert!(until(wrong).is_err(), "{wrong}");
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_sequence_is_told_so_in_words() {
        assert_eq!(sequence("17"), Ok(17));
        for wrong in ["x", "-1", "", "99999999999999999999"] {
            assert!(sequence(wrong).expect_err(wrong).contains("whole number"), "{wrong}");
        }
    }
}
