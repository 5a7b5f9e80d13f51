//! The first code of an authenticator app that a user adds on a page.

use std::sync::Arc;

use super::evaluation::{Finding, evaluate_all};
use super::{Attempt, Decision, Engine, Ruling, Submitted, Write};
use crate::accounts::{Token, TokenState};
use crate::audit::{Reason, Reference};

impl Engine {
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
