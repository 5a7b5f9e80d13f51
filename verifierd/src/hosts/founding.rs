//! The fleet's authority at a start: the site's, the store's, or a new one.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use ledger::{Entry, Ledger, Outcome};

use super::authority::{Authority, AuthorityError};
use super::record::AuthorityRecord;
use crate::audit::{self, AuditRecord, Reference, rfc3339};
use crate::clock::Clock;
use crate::config::FleetConfig;
use crate::keys::{KeyError, MasterKey, Sealer};

/// How many seconds before the authority's end each start warns: time enough for all hosts to join a new one.
const WARN_SECONDS: u64 = 90 * 86_400;

/// Why the fleet has no authority.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// It cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] KeyError),
    /// A new one could not be kept.
    #[error("the store does not take the fleet's new authority: {outcome:?}")]
    NotStored {
        /// What it said.
        outcome: Outcome,
    },
}

/// What seals the authority's key.
pub fn sealer(master: &MasterKey) -> Sealer {
    Sealer::new(master, "fleet authority")
}

/// The authority of a fleet. Postern's own is made at the first start with a fleet and durable before anything is signed.
///
/// * `kept`: what the store holds of Postern's own.
///
/// # Errors
/// See [`FoundingError`].
pub async fn authority(
    fleet: &FleetConfig,
    kept: Option<&AuthorityRecord>,
    sealer: &Sealer,
    ledger: &dyn Ledger,
    clock: &dyn Clock,
) -> Result<Arc<Authority>, FoundingError> {
    let now = clock.now();
    let authority = match (&fleet.authority, kept) {
        (Some(files), _) => Authority::of_site(files)?,
        (None, Some(record)) => Authority::open(record, sealer)?,
        (None, None) => {
            let (authority, record) = Authority::create(sealer, now)?;
            let told = AuditRecord {
                at: rfc3339(now),
                event: "authority_created".into(),
                reason: "first_start".into(),
                detail: Some(format!("SHA-256 {}", HEXLOWER.encode(&authority.fingerprint()))),
                ..AuditRecord::default()
            };
            let audit = Some(audit::entry(&told, Reference::draw()?));
            match ledger.submit(Entry { claim: None, changes: vec![record.put()], audit }).await {
                Outcome::Committed => authority,
                outcome => return Err(FoundingError::NotStored { outcome }),
            }
        }
    };
    if authority.ends().saturating_sub(now) < WARN_SECONDS {
        let ends = rfc3339(authority.ends());
        tracing::warn!(
            ends,
            "the fleet's authority ends soon: all hosts will have to join again under another"
        );
    }
    Ok(Arc::new(authority))
}
