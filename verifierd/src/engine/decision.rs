//! What was decided, and the record of it.

use std::time::Duration;

use wire::login::{Identity, Verdict};

use super::Occasion;
use crate::audit::{AuditRecord, Reason, Reference, rfc3339};
use crate::clock::UnixTime;

/// A decision that has been recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the host is told.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Why, for the administrator.
    pub detail: Option<String>,
    /// What the user quotes.
    pub reference: Reference,
    /// How long until another try makes sense.
    pub wait: Option<Duration>,
    /// Serial of the token that decided it.
    pub token: Option<String>,
    /// The person who was let in, where he is known.
    pub person: Option<Identity>,
    /// How many recovery codes are left, after one was used.
    pub recovery_codes_left: Option<u32>,
}

/// What follows from a typed code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The end.
    Decided(Decision),
    /// The code is one of a token that is out of step; its next one is needed. Nothing is used up.
    NextCode {
        /// Serial of the token.
        serial: String,
        /// The record of the code so far.
        decision: Decision,
    },
    /// The code is the user's last recovery code. Nothing is used up.
    LastRecoveryCode,
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
    /// The person.
    pub person: Option<Identity>,
    /// Refusals it stands for besides its own.
    pub repeats: Option<u64>,
    /// How many recovery codes are left.
    pub recovery_codes_left: Option<u32>,
}

impl Ruling {
    /// A ruling that needs no more words.
    pub fn new(reason: Reason) -> Self {
        let (detail, wait, token, person, repeats, recovery_codes_left) = Default::default();
        Self { reason, detail, wait, token, person, repeats, recovery_codes_left }
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

    /// About a person.
    pub fn person(self, person: Option<Identity>) -> Self {
        Self { person, ..self }
    }

    /// The audit record.
    pub fn record(&self, occasion: &Occasion, at: UnixTime) -> AuditRecord {
        let verdict = serde_json::to_value(occasion.verdict_of(self.reason)).ok();
        AuditRecord {
            at: rfc3339(at),
            verdict: verdict.and_then(|value| value.as_str().map(str::to_owned)),
            reason: self.reason.word(),
            rollout: occasion.rollout_of(self.reason),
            detail: self.detail.clone(),
            token: self.token.clone(),
            person: self.person.as_ref().map(|person| person.login.clone()),
            repeats: self.repeats.filter(|repeats| *repeats > 0),
            ..occasion.record()
        }
    }

    /// The decision, once it is recorded.
    pub fn decided(self, reference: Reference) -> Decision {
        let Self { reason, detail, wait, token, person, recovery_codes_left, .. } = self;
        let verdict = verdict_of(reason);
        Decision { verdict, reason, detail, reference, wait, token, person, recovery_codes_left }
    }
}

/// The one table from reasons to verdicts.
pub fn verdict_of(reason: Reason) -> Verdict {
    match reason {
        Reason::Accepted
        | Reason::Activated
        | Reason::Associated
        | Reason::Resynchronized
        | Reason::RecoveryCode
        | Reason::IssuedPassword
        | Reason::SecurityKey
        | Reason::OfflineGrant
        | Reason::Secondary => Verdict::Allow,
        Reason::OtpOff
        | Reason::NoLoginStep
        | Reason::Unenrolled
        | Reason::Remembered
        | Reason::Grace
        | Reason::Rollout
        | Reason::AllowedByRule => Verdict::NotRequired,
        Reason::GraceOver
        | Reason::EnrolmentClosed
        | Reason::WrongCode
        | Reason::Replayed
        | Reason::OutOfStep
        | Reason::RecoveryUsed
        | Reason::RecoveryWaiting
        | Reason::WrongHost
        | Reason::WrongUser
        | Reason::WrongService
        | Reason::IssuedExpired
        | Reason::IssuedUsed
        | Reason::IssuedVoid
        | Reason::IssuedWaiting
        | Reason::SecondaryRefused
        | Reason::SecurityKeyRefused
        | Reason::SerialUnknown
        | Reason::TokenTaken
        | Reason::Malformed
        | Reason::Throttled
        | Reason::TokenDisabled
        | Reason::TokenLost
        | Reason::TokenMissing
        | Reason::DeniedByRule
        | Reason::RuleUndecidable
        | Reason::UnknownUser
        | Reason::Quarantined => Verdict::Deny,
        Reason::StoreShort
        | Reason::StoreBehind
        | Reason::PeopleUnavailable
        | Reason::StorageFull
        | Reason::Busy
        | Reason::OutcomeUnknown => Verdict::Unavailable,
    }
}
