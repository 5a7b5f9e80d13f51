//! What follows from an answer: a decision, or one more question.
//!
//! A code that needs a second answer (the next code of a token out of step, the wish for new recovery codes)
//! is kept in the sealed state, and used up with that answer or not at all.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use wire::login::{Next, Verdict};
use zeroize::Zeroizing;

use super::state::Asked;
use super::{Answer, Dialogue, DialogueError, terms, texts};
use crate::accounts::{RecoveryCode, Token, TokenId, User, draw_codes};
use crate::audit::Reason;
use crate::clock::UnixTime;
use crate::config::Lenience;
use crate::engine::throttle::Admission;
use crate::engine::{
    Association, Attempt, Decision, Judgement, LastCode, Occasion, RequestKey, Resynchronization, Ruling,
    TOTP_REACH,
};
use crate::login::Login;
use crate::policy::{Demand, Leave, Terms, demand, is_enrolment_over};

/// Longest serial number that is looked at: twice the longest that is stored.
const SERIAL_CHARACTERS_MAX: usize = 128;

impl Dialogue {
    pub(super) async fn next_step(
        self: &Arc<Self>,
        login: &Login,
        asked: Asked,
        key: RequestKey,
        answer: Zeroizing<String>,
    ) -> Result<Answer, DialogueError> {
        let asked = match asked {
            Asked::Acknowledgement { reference, denied } => {
                let verdict = if denied { Verdict::Deny } else { Verdict::Unavailable };
                return Ok(Answer {
                    show: Vec::new(),
                    next: Next::Done { verdict, reference, person: None },
                });
            }
            Asked::Serial if answer.is_empty() && self.may_leave_the_serial(login).await => {
                let terms = self.terms(login, self.clock.now()).await;
                return self.rule(login, &terms, Reason::Rollout).await;
            }
            // Who is asked for a serial number may have recovery codes, and no other place to type one.
            Asked::Serial if self.is_recovery_code(login, &answer) => {
                Asked::Code { enrolling: None, grace: false }
            }
            Asked::Serial => {
                let asked = Asked::SerialCode { serial: serial_of(&answer) };
                return self.ask(login, Vec::new(), texts::code_question(false), asked);
            }
            Asked::NewCodesWish { last } if texts::is_yes(&answer) => {
                return self.show_new_codes(login, last);
            }
            Asked::NewCodesShown { last, codes } if !texts::is_yes(&answer) => {
                let asked = Asked::NewCodesShown { last, codes };
                return self.ask(login, Vec::new(), texts::codes_shown_question(), asked);
            }
            asked => asked,
        };
        if self.has_loss.load(Ordering::Relaxed) && !asked.needs_a_known_secret() {
            let terms = self.terms(login, self.clock.now()).await;
            return self.rule(login, &terms, Reason::StoreShort).await;
        }
        if let Some(next) = self.next_of_request(login, &asked, key, &answer).await? {
            return Ok(next);
        }
        let associates = matches!(asked, Asked::SerialCode { .. });
        let begun = self.clock.elapsed();
        let typed = answer.clone();
        let work = || Arc::clone(self).judge(login.clone(), key, asked, answer);
        let judged = self.recent.once(key, begun, work).await.ok_or(DialogueError::Unavailable)?;
        match judged {
            Judgement::Decided(decision) => {
                if decision.verdict == Verdict::Deny {
                    self.wait_for_the_next_beat(begun).await;
                }
                if decision.verdict == Verdict::Allow {
                    self.remember(login);
                }
                self.conclude(login, &decision)
            }
            // What would be refused is let in: no reason to ask for more.
            Judgement::NextCode { decision, .. } if decision.verdict == Verdict::NotRequired => {
                self.conclude(login, &decision)
            }
            Judgement::NextCode { serial, .. } => {
                self.wait_for_the_next_beat(begun).await;
                let asked = Asked::NextCode { serial, first: typed, associates };
                self.ask(login, Vec::new(), texts::next_code_question(), asked)
            }
            Judgement::LastRecoveryCode => {
                let show = vec![texts::LAST_RECOVERY_CODE.into()];
                self.ask(login, show, texts::new_codes_question(), Asked::NewCodesWish { last: typed })
            }
        }
    }

    /// Decides about an answer, once for each request.
    async fn judge(
        self: Arc<Self>,
        login: Login,
        request: RequestKey,
        asked: Asked,
        typed: Zeroizing<String>,
    ) -> Judgement {
        let name = login.user_name();
        let user = name.as_ref().ok().and_then(|name| self.accounts.find(name));
        // What was demanded when the question was asked may have changed while the user looked for his token.
        let now = self.clock.now();
        let terms = self.terms(&login, now).await;
        let occasion = terms::occasion(login, &terms);
        if let Some(reason) = terms.refusal() {
            let ruling = terms::ruling(&terms, reason);
            let attempt = Attempt { occasion, request, user, typed };
            return Judgement::Decided(self.engine.refuse_whatever(attempt, None, ruling).await);
        }
        let demanded = user.as_deref().map(|user| demand(Some(user), true, &terms, now));
        match asked {
            Asked::Code { enrolling, grace } => {
                let may_be_empty = grace && typed.is_empty();
                let attempt = Attempt { occasion, request, user, typed };
                match enrolling {
                    Some(id) => self.judge_enrolment(attempt, id, may_be_empty, &terms).await,
                    None if may_be_empty && may_leave(demanded.as_ref()) => Judgement::Decided(
                        self.engine.record(&attempt.occasion, Ruling::new(Reason::Rollout)).await,
                    ),
                    None => self.verify_attempt(attempt, demanded, &terms, None).await,
                }
            }
            Asked::SerialCode { .. } | Asked::NextCode { associates: true, .. }
                if demanded
                    .as_ref()
                    .is_some_and(|demanded| !matches!(demanded, Demand::Association { .. })) =>
            {
                Judgement::Decided(self.engine.record(&occasion, Ruling::new(Reason::TokenMissing)).await)
            }
            Asked::SerialCode { serial } => {
                let Ok(name) = name else { return self.no_such_user(&occasion).await };
                let wish = Association { occasion, request, name, serial, code: typed, next_code: None };
                self.engine.associate(wish).await
            }
            Asked::NextCode { serial, first, associates: true } => {
                let Ok(name) = name else { return self.no_such_user(&occasion).await };
                let (code, next_code) = (first, Some(typed));
                self.engine.associate(Association { occasion, request, name, serial, code, next_code }).await
            }
            Asked::NextCode { serial, first: code, associates: false } => {
                let (next_code, reach) = (typed, TOTP_REACH);
                let wish = Resynchronization { occasion, request, user, serial, code, next_code, reach };
                Judgement::Decided(self.engine.resynchronize(wish).await)
            }
            Asked::NewCodesWish { last } => {
                let attempt = Attempt { occasion, request, user, typed: last };
                self.use_last_code(attempt, None).await
            }
            Asked::NewCodesShown { last, codes } => {
                let attempt = Attempt { occasion, request, user, typed: last };
                self.use_last_code(attempt, Some(codes)).await
            }
            Asked::Issued { .. } | Asked::SecondaryLogin { .. } | Asked::SecondaryPassword { .. } => {
                let attempt = Attempt { occasion, request, user, typed };
                Judgement::Decided(self.judge_person(attempt, asked, &terms).await)
            }
            Asked::RequestEmail { .. }
            | Asked::RequestReason { .. }
            | Asked::RequestConfirm
            | Asked::RequestLogin
            | Asked::RequestPassword { .. }
            | Asked::Acknowledgement { .. }
            | Asked::Serial => {
                unreachable!("these are answered without a judgement")
            }
        }
    }

    /// Uses up a last recovery code.
    ///
    /// * `codes`: new ones, which he has seen; none where he wanted none.
    async fn use_last_code(&self, attempt: Attempt, codes: Option<Vec<Zeroizing<String>>>) -> Judgement {
        let read = |codes: Vec<Zeroizing<String>>| {
            codes.iter().filter_map(|code| RecoveryCode::from_typed(code)).collect()
        };
        let wish = LastCode { new_codes: codes.map(read) };
        Judgement::Decided(self.engine.use_last_recovery_code(attempt, wish).await)
    }

    /// The answer of a user whom the secret of an app was shown.
    ///
    /// * `is_left`: whether he left it, and was told that he may.
    async fn judge_enrolment(
        &self,
        attempt: Attempt,
        id: TokenId,
        is_left: bool,
        terms: &Terms,
    ) -> Judgement {
        let token = attempt.user.as_ref().and_then(|user| token_of(&user.tokens, id));
        match token {
            None => {
                let ruling = Ruling::new(Reason::TokenMissing);
                Judgement::Decided(self.engine.record(&attempt.occasion, ruling).await)
            }
            Some(token) if is_left => {
                Judgement::Decided(self.go_without(&attempt.occasion, attempt.request, &token, terms).await)
            }
            Some(_) => {
                let now = self.clock.now();
                let demanded = attempt.user.as_deref().map(|user| demand(Some(user), true, terms, now));
                self.verify_attempt(attempt, demanded, terms, None).await
            }
        }
    }

    /// A code, of whomever it may be; of one whose time to enrol is over, only a recovery code.
    pub(super) async fn verify_attempt(
        &self,
        attempt: Attempt,
        demanded: Option<Demand>,
        terms: &Terms,
        admission: Option<Admission>,
    ) -> Judgement {
        match demanded {
            Some(Demand::Closed) => self.engine.verify_recovery_only(attempt, Reason::EnrolmentClosed).await,
            _ => {
                let open_for = terms.settings.open_for.value;
                let user = attempt.user.clone().map(|user| without_closed(user, open_for, self.clock.now()));
                let judged = self.engine.verify(Attempt { user, ..attempt.clone() }, admission).await;
                match judged {
                    // Whoever is let in whatever he types is not asked whether he wants new ones.
                    Judgement::LastRecoveryCode if terms.lenience == Some(Lenience::Observe) => {
                        let last = LastCode { new_codes: None };
                        Judgement::Decided(self.engine.use_last_recovery_code(attempt, last).await)
                    }
                    judged => judged,
                }
            }
        }
    }

    /// Whether this is one of the user's recovery codes, used or not. With 80 random bits in each, nobody learns one by
    /// asking.
    fn is_recovery_code(&self, login: &Login, answer: &str) -> bool {
        let user = login.user_name().ok().and_then(|name| self.accounts.find(&name));
        let known = user.as_ref().and_then(|user| Some((user.id, user.recovery.as_ref()?)));
        let (Some((user, set)), Some(code)) = (known, RecoveryCode::from_typed(answer)) else { return false };
        let credential = code.credential(user, set.record.id, self.steward.recovery_hasher());
        set.is_unused(credential).is_some()
    }

    async fn no_such_user(&self, occasion: &Occasion) -> Judgement {
        Judgement::Decided(self.engine.record(occasion, Ruling::new(Reason::UnknownUser)).await)
    }

    /// Whether a user who is asked for a serial number may have none.
    async fn may_leave_the_serial(&self, login: &Login) -> bool {
        let (_, demanded) = self.demanded(login, self.clock.now()).await;
        matches!(demanded, Demand::Association { leave: Leave::Rollout })
    }

    async fn go_without(
        &self,
        occasion: &Occasion,
        request: RequestKey,
        token: &Token,
        terms: &Terms,
    ) -> Decision {
        let name = occasion.login.user_name().ok();
        let leave = |token: &Token| {
            let user = name.as_ref().and_then(|name| self.accounts.find(name));
            match demand(user.as_deref(), true, terms, self.clock.now()) {
                Demand::Enrolment { token: now, leave } if now.record.id == token.record.id => leave,
                _ => Leave::No,
            }
        };
        if leave(token) == Leave::Rollout {
            let ruling = Ruling::new(Reason::Rollout).token(&token.record.serial);
            return self.engine.record(occasion, ruling).await;
        }
        self.engine.claim_grace(occasion, request, token, |token| leave(token) == Leave::Grace).await
    }

    fn show_new_codes(&self, login: &Login, last: Zeroizing<String>) -> Result<Answer, DialogueError> {
        let codes = draw_codes().map_err(|_| DialogueError::Unavailable)?;
        let codes: Vec<_> = codes.iter().map(RecoveryCode::expose).collect();
        let show = vec![texts::new_recovery_codes(&codes).to_string()];
        self.ask(login, show, texts::codes_shown_question(), Asked::NewCodesShown { last, codes })
    }
}

/// The user without apps whose time to enrol is over: a secret that was shown then opens nothing any more.
fn without_closed(user: Arc<User>, open_for: Option<Duration>, now: UnixTime) -> Arc<User> {
    let is_over = |token: &Arc<Token>| token.is_enrolling() && is_enrolment_over(token, open_for, now);
    if !user.tokens.iter().any(is_over) {
        return user;
    }
    Arc::new(user.with_only(|token| !is_over(token)))
}

/// Whether the roll-out lets a user leave the question for a code.
fn may_leave(demanded: Option<&Demand>) -> bool {
    matches!(demanded, Some(Demand::Code { leave: Leave::Rollout }))
}

fn token_of(tokens: &[Arc<Token>], id: TokenId) -> Option<Arc<Token>> {
    tokens.iter().find(|token| token.record.id == id).cloned()
}

/// What was typed as a serial number, at most as much of it as one could be long.
fn serial_of(answer: &str) -> String {
    answer.trim().chars().take(SERIAL_CHARACTERS_MAX).collect()
}
