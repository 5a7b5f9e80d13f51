//! What the trail says of a start, and what an unclean stop before it means for passwords that may have been used.

use ledger::{Entry, Ledger, StartState};

use super::StartError;
use super::asking::Kept;
use crate::accounts::Accounts;
use crate::audit::{self, AuditRecord, Reference, rfc3339};
use crate::clock::Clock;

/// Puts the start on record, and after an unclean stop what may have been used under quarantine.
pub(super) async fn record_start(
    ledger: &dyn Ledger,
    clock: &dyn Clock,
    state: StartState,
    accounts: &Accounts,
    asking: &Kept,
) -> Result<(), StartError> {
    // Where nothing waits for an administrator, he has nothing to settle.
    let nothing_waits = !accounts.has_recovery_codes() && !asking.requests.has_issued();
    let quarantine =
        (state != StartState::Clean).then(|| accounts.quarantine.last().next(clock.now(), nothing_waits));
    let (reason, detail) = match state {
        StartState::Clean => ("clean", None),
        StartState::Unclean => {
            ("unclean", Some("codes that were admissible at the start are refused".into()))
        }
        StartState::Short { found, expected } => {
            tracing::error!(
                found,
                expected,
                "the store ends early: it may be an old copy; claims are missing"
            );
            ("short", Some(format!("the store ends at commit {found} of {expected}")))
        }
    };
    let record = AuditRecord {
        at: rfc3339(clock.now()),
        event: "service_started".into(),
        reason: reason.into(),
        detail,
        ..AuditRecord::default()
    };
    let audit = Some(audit::entry(&record, Reference::draw()?));
    let changes = quarantine.map(|stop| stop.put()).into_iter().collect();
    let entry = Entry { claim: None, changes, audit };
    match ledger.submit(entry).await {
        ledger::Outcome::Committed => {
            quarantine.into_iter().for_each(|stop| accounts.quarantine.set(stop));
            Ok(())
        }
        outcome => Err(StartError::NotRecorded(format!("{outcome:?}"))),
    }
}
