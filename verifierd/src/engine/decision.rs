//! What was decided, and the record of it.

use std::time::Duration;

use wire::login::Verdict;

use crate::audit::{AuditRecord, Reason, Reference, rfc3339};
use crate::clock::UnixTime;
use crate::login::Login;

/// A decision that has been recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the host is told.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// What the user quotes.
    pub reference: Reference,
    /// How long until another try makes sense.
    pub wait: Option<Duration>,
}

/// A decision on its way into the ledger.
#[derive(Clone, Debug)]
pub struct Ruling {
    /// Why; the verdict follows from it.
    pub reason: Reason,
    /// For the administrator.
    pub detail: Option<String>,
    /// For the user.
    pub wait: Option<Duration>,
    /// The token that was asked for.
    pub token: Option<String>,
    /// Refusals it stands for besides its own.
    pub repeats: Option<u64>,
}

impl Ruling {
    /// A ruling that needs no more words.
    pub fn new(reason: Reason) -> Self {
        Self { reason, detail: None, wait: None, token: None, repeats: None }
    }

    /// With a word for the administrator.
    pub fn detail(self, detail: String) -> Self {
        Self { detail: Some(detail), ..self }
    }

    /// With a time after which another try makes sense.
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait: Some(wait), ..self }
    }

    /// About a token.
    pub fn token(self, serial: &str) -> Self {
        Self { token: Some(serial.into()), ..self }
    }

    /// The audit record.
    pub fn record(&self, login: &Login, at: UnixTime) -> AuditRecord {
        let verdict = serde_json::to_value(verdict_of(self.reason)).ok();
        AuditRecord {
            at: rfc3339(at),
            event: "login".into(),
            verdict: verdict.and_then(|value| value.as_str().map(str::to_owned)),
            reason: self.reason.word(),
            detail: self.detail.clone(),
            user: Some(login.user.clone()),
            service: Some(login.service.clone()),
            rhost: login.rhost.clone(),
            tty: login.tty.clone(),
            ruser: login.ruser.clone(),
            token: self.token.clone(),
            repeats: self.repeats.filter(|repeats| *repeats > 0),
            ..AuditRecord::default()
        }
    }

    /// The decision, once it is recorded.
    pub fn decided(self, reference: Reference) -> Decision {
        Decision { verdict: verdict_of(self.reason), reason: self.reason, reference, wait: self.wait }
    }
}

/// The one table from reasons to verdicts.
pub fn verdict_of(reason: Reason) -> Verdict {
    match reason {
        Reason::Accepted | Reason::Activated => Verdict::Allow,
        Reason::OtpOff | Reason::Unenrolled | Reason::Grace => Verdict::NotRequired,
        Reason::GraceOver
        | Reason::WrongCode
        | Reason::Replayed
        | Reason::Malformed
        | Reason::Throttled
        | Reason::TokenDisabled
        | Reason::TokenMissing
        | Reason::UnknownUser
        | Reason::Quarantined => Verdict::Deny,
        Reason::StoreShort | Reason::StorageFull | Reason::Busy | Reason::OutcomeUnknown => {
            Verdict::Unavailable
        }
    }
}
