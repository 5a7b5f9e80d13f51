//! One record for each decision and each change.
//!
//! A record travels in the same commit as the claim it tells about; the ledger numbers and chains it. It
//! never holds a code, a secret or an answer.

pub mod checkpoint;
pub mod class;
pub mod damage;
mod reference;
pub mod retention;
pub mod search;
pub mod sinks;
pub mod witness;

use ledger::{AuditEntry, AuditLine};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use reference::Reference;
pub use wire::admin::AuditRecord;

use crate::clock::UnixTime;

/// Why a login was decided as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A code was right and had not been used.
    Accepted,
    /// The same, and it was the token's first.
    Activated,
    /// The same, and the user has shown that he holds a token that was nobody's.
    Associated,
    /// Two successive codes told where the token stands.
    Resynchronized,
    /// A recovery code was right and had not been used.
    RecoveryCode,
    /// An issued password was right, for this person, host and user, and had not been used.
    IssuedPassword,
    /// A person who may use the account gave his login name and password.
    Secondary,
    /// Nothing is demanded of this user.
    OtpOff,
    /// Nothing is demanded at this host.
    NoLoginStep,
    /// Postern has no record of the user, and policy asks nothing of such.
    Unenrolled,
    /// A code was accepted in this session of the terminal a moment ago.
    Remembered,
    /// An offline password that was used at the host before lets him in.
    OfflineGrant,
    /// The user has not activated his token and may still do without.
    Grace,
    /// No code was given, and the roll-out still permits that.
    Rollout,
    /// An access rule asks nothing.
    AllowedByRule,
    /// He may do so no longer.
    GraceOver,
    /// He has not enrolled in the time that policy leaves for it.
    EnrolmentClosed,
    /// No code near the present time is like this.
    WrongCode,
    /// The code is right, and was used, or is older than one that was.
    Replayed,
    /// The code is one of the token's, but far from where the token should be.
    OutOfStep,
    /// The recovery code was used before.
    RecoveryUsed,
    /// Recovery codes may have been used before an unclean stop, and nobody has settled it.
    RecoveryWaiting,
    /// The issued password is of another host.
    WrongHost,
    /// The issued password is of another user.
    WrongUser,
    /// The issued password is for another service.
    WrongService,
    /// The issued password was usable until a while ago.
    IssuedExpired,
    /// The issued password was used before.
    IssuedUsed,
    /// The issued password was made void: by wrong tries, or because what it was issued for changed.
    IssuedVoid,
    /// Issued passwords may have been used before an unclean stop, and nobody has settled it.
    IssuedWaiting,
    /// No person who may use the account has this login name and password.
    SecondaryRefused,
    /// A person's security key signed what it was asked to.
    SecurityKey,
    /// It did not, or it is not his.
    SecurityKeyRefused,
    /// The directory of persons does not answer.
    PeopleUnavailable,
    /// No token has this serial number.
    SerialUnknown,
    /// The token with this serial number is somebody's already.
    TokenTaken,
    /// What was typed is not a code.
    Malformed,
    /// Too many wrong codes: not looked at.
    Throttled,
    /// The token is disabled.
    TokenDisabled,
    /// The token was lost.
    TokenLost,
    /// The user has no token, or not the one that was asked for.
    TokenMissing,
    /// An access rule refuses, whatever the code.
    DeniedByRule,
    /// Nobody can tell whether an access rule holds.
    RuleUndecidable,
    /// Postern does not know the user.
    UnknownUser,
    /// The code may have been used before an unclean stop.
    Quarantined,
    /// Commits are missing in the store: who needs no code is not known.
    StoreShort,
    /// A host has seen more of the audit trail than there is.
    StoreBehind,
    /// The store is full.
    StorageFull,
    /// Too many logins at once.
    Busy,
    /// A fault while storing: nobody can tell whether the code is used up.
    OutcomeUnknown,
}

impl Reason {
    /// The word that stands in records and logs.
    pub fn word(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    }
}

/// The ledger's form of a record.
pub fn entry(record: &AuditRecord, reference: Reference) -> AuditEntry {
    let body = serde_json::to_vec(record).expect("a record holds only numbers and texts");
    AuditEntry { reference: reference.bytes(), body }
}

/// A login that a code decided, as the ledger keeps it: an [`AuditRecord`] without copies of its texts.
#[derive(Clone, Copy, Debug)]
pub struct AcceptedLogin<'a> {
    /// The account.
    pub user: &'a str,
    /// The PAM service.
    pub service: &'a str,
    /// At which host of the fleet.
    pub host: Option<&'a str>,
    /// Where from.
    pub rhost: Option<&'a str>,
    /// The access rule that demanded a code.
    pub rule: Option<&'a str>,
    /// Serial of the token.
    pub token: &'a str,
    /// Which of its codes.
    pub detail: &'a str,
}

/// The fields of [`AuditRecord`] that such a login has, in its order.
#[derive(Serialize)]
struct AcceptedLine<'a> {
    at: &'a str,
    event: &'static str,
    verdict: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    detail: &'a str,
    user: &'a str,
    service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rhost: Option<&'a str>,
    token: &'a str,
}

impl AcceptedLogin<'_> {
    /// The ledger's form.
    pub fn body(&self, at: UnixTime) -> Vec<u8> {
        /// More than most lines have.
        const LINE_BYTES: usize = 256;
        let Self { user, service, host, rhost, rule, token, detail } = *self;
        let (at, rhost) = (rfc3339(at), rhost.filter(|text| !text.is_empty()));
        let (event, verdict, reason) = ("login", "allow", "accepted");
        let line =
            AcceptedLine { at: &at, event, verdict, reason, rule, detail, user, service, host, rhost, token };
        let mut body = Vec::with_capacity(LINE_BYTES);
        serde_json::to_writer(&mut body, &line).expect("a line holds only texts");
        body
    }
}

/// A line of the ledger as a record. A body that cannot be read is shown as such.
pub fn record(line: &AuditLine) -> AuditRecord {
    let reference = String::from_utf8_lossy(&line.reference).into_owned();
    let reference = Reference::parse(&reference).map_or(reference, |reference| reference.to_string());
    let kept = serde_json::from_slice(&line.body).unwrap_or_else(|error| AuditRecord {
        event: "unreadable".into(),
        reason: "unreadable".into(),
        detail: Some(error.to_string()),
        ..AuditRecord::default()
    });
    AuditRecord { sequence: line.sequence, reference, ..kept }
}

/// What [`rfc3339`] wrote, in seconds since the Unix epoch; `None` where it is no such time.
pub fn unix_time(at: &str) -> Option<UnixTime> {
    let time = OffsetDateTime::parse(at, &Rfc3339).ok()?;
    Some(u64::try_from(time.unix_timestamp()).unwrap_or(0))
}

/// RFC 3339 in UTC. Times past the year 9999 are shown as its last second.
pub fn rfc3339(at: UnixTime) -> String {
    const LAST: i64 = 253_402_300_799;
    let seconds = i64::try_from(at).unwrap_or(LAST).min(LAST);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "unknown".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: A17
    #[test]
    fn times_are_shown_up_to_the_year_9999() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(2_147_483_648), "2038-01-19T03:14:08Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
        assert_eq!(unix_time("2038-01-19T03:14:08Z"), Some(2_147_483_648));
        assert_eq!(unix_time("unknown"), None);
    }

    #[test]
    fn an_accepted_login_is_written_as_every_record_is() {
        let login = AcceptedLogin {
            user: "alice",
            service: "sshd",
            host: Some("web1"),
            rhost: Some("192.0.2.1"),
            rule: Some("office"),
            token: "PT1",
            detail: "step 7",
        };
        let record = AuditRecord {
            at: rfc3339(77),
            event: "login".into(),
            verdict: Some("allow".into()),
            reason: Reason::Accepted.word(),
            rule: Some("office".into()),
            detail: Some("step 7".into()),
            user: Some("alice".into()),
            service: Some("sshd".into()),
            host: Some("web1".into()),
            rhost: Some("192.0.2.1".into()),
            token: Some("PT1".into()),
            ..AuditRecord::default()
        };
        let reference = Reference::parse("0A1BZ9XK").unwrap();
        assert_eq!(login.body(77), entry(&record, reference).body);
        let local = AuditRecord { host: None, rhost: None, rule: None, ..record };
        assert_eq!(
            AcceptedLogin { host: None, rhost: Some(""), rule: None, ..login }.body(77),
            entry(&local, reference).body
        );
    }

    #[test]
    fn a_record_is_shown_with_what_was_written() {
        let written =
            AuditRecord { event: "login".into(), reason: Reason::WrongCode.word(), ..Default::default() };
        let kept = entry(&written, Reference::parse("0A1BZ9XK").unwrap());
        assert!(!String::from_utf8_lossy(&kept.body).contains("sequence"));
        let line = AuditLine { sequence: 7, reference: kept.reference, body: kept.body, chain: [0; 32] };
        let shown = record(&line);
        assert_eq!(
            (shown.sequence, shown.reference.as_str(), shown.reason.as_str()),
            (7, "0A1B-Z9XK", "wrong_code")
        );
        let damaged = AuditLine { body: b"{".to_vec(), ..line };
        assert_eq!(record(&damaged).event, "unreadable");
    }
}
