//! An authenticator app: that its secret was shown, and the first code of one that a user adds on a page.

use std::sync::Arc;

use ledger::{Entry, Outcome};

use super::evaluation::{Finding, evaluate_all};
use super::{Attempt, Decision, Engine, Occasion, Ruling, Submitted, Write};
use crate::accounts::{Token, TokenState};
use crate::audit::{self, AuditRecord, Reason, Reference, rfc3339};

impl Engine {
    /// Puts on record that a token's secret was shown; whether that is durable.
    pub async fn note_shown(&self, occasion: &Occasion, serial: &str) -> bool {
        let Ok(reference) = Reference::draw() else { return false };
        let record = AuditRecord {
            at: rfc3339(self.tools.clock.now()),
            reason: if occasion.is_login() { "login" } else { "owner" }.into(),
            token: Some(serial.into()),
            ..occasion.record()
        };
        let record = AuditRecord { event: "enrolment_shown".into(), ..record };
        let audit = Some(audit::entry(&record, reference));
        self.tools.ledger.submit(Entry { audit, ..Entry::default() }).await == Outcome::Committed
    }

    /// Gives a user the app that shows his code. Wrong ones count nowhere: whoever types them was just shown the secret.
    ///
    /// * `token`: as [`crate::accounts::Steward::draw_app`] made it.
    pub async fn add_app(&self, attempt: &Attempt, token: &Arc<Token>) -> Decision {
        if let Some(decision) = self.standing_still(&attempt.occasion).await {
            return decision;
        }
        let (own, serial) = (std::slice::from_ref(token), &token.record.serial);
        let found = evaluate_all(own, &attempt.typed, &[TokenState::Assigned], self.situation());
        let ruling = match found.expect("a token was looked at").finding {
            Finding::Candidate { to, detail, time_drift: _ } => {
                let ruling = Ruling::new(Reason::Associated).token(serial).detail(detail);
                let write = Some(Write::App { token: Arc::clone(token), value: to });
                let reference = Reference::of(attempt.request);
                match self.submit(&attempt.occasion, ruling, reference, write, Vec::new()).await {
                    Submitted::Decided(decision) => return decision,
                    // His other tokens were taken from him meanwhile, or he has as many as he may.
                    Submitted::Superseded { .. } | Submitted::Gone => {
                        Ruling::new(Reason::TokenMissing).token(serial)
                    }
                }
            }
            Finding::OutOfStep { detail } => Ruling::new(Reason::OutOfStep).token(serial).detail(detail),
            Finding::Ruled(ruling) => ruling,
        };
        self.record(&attempt.occasion, ruling).await
    }
}
