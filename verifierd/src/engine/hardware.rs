//! What a hardware token needs besides a login: to be associated, to be brought back into step, to be tried.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::evaluation::{Finding, Found, evaluate_all, evaluate_pair, reason_of};
use super::{Among, Attempt, Candidate, Decision, Engine, Judgement, Occasion, RequestKey, Ruling};
use crate::accounts::{Edit, Token, TokenState, User, UserName};
use crate::audit::Reason;

/// States in which a token can be associated.
const FREE_STATES: [TokenState; 2] = [TokenState::Available, TokenState::Assigned];

/// States in which an administrator can try a token.
const WORKING_STATES: [TokenState; 3] = [TokenState::Available, TokenState::Assigned, TokenState::Associated];

/// Somebody says that a user holds a token.
#[derive(Clone, Debug)]
pub struct Association {
    /// A login, or an administrator's act.
    pub occasion: Occasion,
    /// The request that carries it; names the claim.
    pub request: RequestKey,
    /// The user.
    pub name: UserName,
    /// What was given as the serial number.
    pub serial: String,
    /// A code of the token.
    pub code: Zeroizing<String>,
    /// The one after it, where the first was out of step.
    pub next_code: Option<Zeroizing<String>>,
}

/// Two successive codes of a token.
#[derive(Clone, Debug)]
pub struct Resynchronization {
    /// A login, or an administrator's act.
    pub occasion: Occasion,
    /// The request that carries it; names the claim.
    pub request: RequestKey,
    /// Whose the token is; `None` where an administrator brings one into step that is nobody's.
    pub user: Option<Arc<User>>,
    /// Which token.
    pub serial: String,
    /// The first code.
    pub code: Zeroizing<String>,
    /// The one after it.
    pub next_code: Zeroizing<String>,
    /// How far the clock of a TOTP token may be off, in steps.
    pub reach: u32,
}

impl Engine {
    /// Gives a token to a user who shows that he holds it. A wrong serial number, somebody else's and a wrong
    /// code are refused alike; only the record tells them apart.
    pub async fn associate(&self, wish: Association) -> Judgement {
        let Association { occasion, request, name, serial, code, next_code } = wish;
        let user = self.tools.accounts.find(&name);
        let attempt = Attempt { occasion, request, user, typed: code };
        if let Some(decision) = self.standing_still(&attempt.occasion).await {
            return Judgement::Decided(decision);
        }
        let admission = match self.admit(&attempt) {
            Ok(admission) => admission,
            Err(refused) => return Judgement::Decided(self.throttled(&attempt.occasion, refused).await),
        };
        let known = self.tools.accounts.find_by_typed_serial(&serial);
        let free = known.as_ref().filter(|token| is_free_for(token, attempt.user.as_deref()));
        let token = free.unwrap_or(&self.tools.nobody);
        let finding = self.evaluate_for(token, &attempt, next_code.as_deref(), &FREE_STATES);
        if free.is_none() {
            let ruling = match known {
                // What was typed may be anything, a password too: it stays out of the record.
                None => Ruling::new(Reason::SerialUnknown)
                    .detail(format!("an unknown serial number of {} characters", serial.chars().count())),
                Some(token) if token.is_usable() => {
                    Ruling::new(Reason::TokenTaken).token(&token.record.serial)
                }
                Some(token) => Ruling::new(reason_of(token.state())).token(&token.record.serial),
            };
            return Judgement::Decided(self.failed(&attempt, admission, &[], ruling).await);
        }
        match finding {
            Finding::Candidate { to, detail, time_drift } => {
                let only_if_first = attempt.occasion.is_login();
                let edit = Some(Edit { associate: Some(name), only_if_first, resynchronized: time_drift });
                let ruling = Ruling::new(Reason::Associated).token(&token.record.serial).detail(detail);
                Judgement::Decided(
                    self.claim(&attempt, admission, Candidate { token, to, ruling, edit }).await,
                )
            }
            Finding::OutOfStep { detail } => self.out_of_step(&attempt, admission, token, detail).await,
            Finding::Ruled(ruling) => {
                let charged = std::slice::from_ref(token);
                Judgement::Decided(self.failed(&attempt, admission, charged, ruling).await)
            }
        }
    }

    /// Brings a token back into step from two successive codes, which are both used up. A counter only rises.
    pub async fn resynchronize(&self, wish: Resynchronization) -> Decision {
        let Resynchronization { occasion, request, user, serial, code, next_code, reach } = wish;
        let is_login = occasion.is_login();
        let attempt = Attempt { occasion, request, user, typed: code };
        if let Some(decision) = self.standing_still(&attempt.occasion).await {
            return decision;
        }
        let admission = match self.admit(&attempt) {
            Ok(admission) => admission,
            Err(refused) => return self.throttled(&attempt.occasion, refused).await,
        };
        let owner = attempt.user.as_ref().map(|user| user.id);
        let known = self.tools.accounts.find_by_serial(&serial);
        let Some(token) = known.filter(|token| token.record.user == owner) else {
            let ruling = Ruling::new(Reason::TokenMissing);
            return self.failed(&attempt, admission, &[], ruling).await;
        };
        let charged = std::slice::from_ref(&token);
        let finding = evaluate_pair(&token, &attempt.typed, &next_code, reach, self.situation());
        match finding {
            _ if !WORKING_STATES.contains(&token.state()) => {
                let ruling = Ruling::new(reason_of(token.state())).token(&serial);
                self.failed(&attempt, admission, charged, ruling).await
            }
            Finding::Candidate { to, detail, time_drift } => {
                let first = is_login && token.record.state == TokenState::Assigned;
                let associate = attempt.user.as_ref().filter(|_| first).map(|user| user.name.clone());
                let reason = if first { Reason::Activated } else { Reason::Resynchronized };
                let edit = Some(Edit { associate, only_if_first: false, resynchronized: time_drift });
                let ruling = Ruling::new(reason).token(&serial).detail(detail);
                self.claim(&attempt, admission, Candidate { token: &token, to, ruling, edit }).await
            }
            Finding::OutOfStep { .. } => unreachable!("two codes are a place or none"),
            Finding::Ruled(ruling) => self.failed(&attempt, admission, charged, ruling).await,
        }
    }

    /// Tries a code of one token as a login would, and uses it up. Nothing is associated by it.
    pub async fn test(&self, attempt: Attempt, token: &Arc<Token>) -> Decision {
        let tokens = std::slice::from_ref(token);
        let among = Among { tokens, permitted: &WORKING_STATES, recovery_codes: false };
        match self.judge(&attempt, among, None).await {
            Judgement::Decided(decision) | Judgement::NextCode { decision, .. } => decision,
            Judgement::LastRecoveryCode => unreachable!("no recovery codes are looked at"),
        }
    }

    fn evaluate_for(
        &self,
        token: &Arc<Token>,
        attempt: &Attempt,
        next_code: Option<&String>,
        permitted: &[TokenState],
    ) -> Finding {
        let situation = self.situation();
        if let Some(next_code) = next_code {
            let reach = super::TOTP_REACH;
            return evaluate_pair(token, &attempt.typed, next_code, reach, situation);
        }
        let found = evaluate_all(std::slice::from_ref(token), &attempt.typed, permitted, situation);
        let Found { finding, .. } = found.expect("one token was looked at");
        finding
    }
}

/// Whether a user may associate a token: one that is nobody's, or that waits for his first code.
fn is_free_for(token: &Token, user: Option<&User>) -> bool {
    match token.state() {
        TokenState::Available => true,
        TokenState::Assigned => token.record.user.is_some() && token.record.user == user.map(|user| user.id),
        TokenState::Associated | TokenState::Disabled | TokenState::Lost => false,
    }
}
