//! Logins without a code, of which a user has some before he has shown his first.

use ledger::{Claim, ClaimId};

use super::{Decision, Engine, Occasion, RequestKey, Ruling, Submitted, Write};
use crate::accounts::Token;
use crate::audit::{Reason, Reference};

/// How often a login without a code tries again when another took its number: as many as come at once.
const GRACE_TRIES: u32 = 32;

impl Engine {
    /// Uses up one of the logins that a user has before he needs a code.
    ///
    /// * `may`: whether the token still leaves one; asked again after each claim that another login won.
    pub async fn claim_grace(
        &self,
        occasion: &Occasion,
        request: RequestKey,
        token: &Token,
        may: impl Fn(&Token) -> bool,
    ) -> Decision {
        let over = || Ruling::new(Reason::GraceOver).token(&token.record.serial);
        for _ in 0..GRACE_TRIES {
            if !may(token) {
                return self.record(occasion, over()).await;
            }
            let next = token.grace_used() + 1;
            let claim = Claim { credential: token.grace_credential(), to: next, id: ClaimId(request) };
            let ruling = Ruling::new(Reason::Grace).token(&token.record.serial);
            let ruling = ruling.detail(format!("login {next} without a code"));
            let write = Some(Write::Plain(claim));
            match self.submit(occasion, ruling, Reference::of(request), write, Vec::new()).await {
                Submitted::Decided(decision) => {
                    if decision.reason == Reason::Grace {
                        token.set_grace_used(next);
                    }
                    return decision;
                }
                Submitted::Superseded { value } => token.set_grace_used(value),
                Submitted::Gone => return self.record(occasion, over()).await,
            }
        }
        self.record(occasion, Ruling::new(Reason::Busy).token(&token.record.serial)).await
    }
}
