//! Verdicts about codes without a dialogue around them, for programs that ask for the code themselves.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Semaphore;
use wire::admin::Then;
use wire::login::{ANSWER_BYTES_MAX, FIELD_BYTES_MAX, Verdict};
use wire::verify::{Verified, Verify};
use zeroize::Zeroizing;

use super::{Dialogue, DialogueError, check_request_id, terms, texts};
use crate::accounts::User;
use crate::audit::Reason;
use crate::config::LoginStep;
use crate::engine::throttle::{Admission, Refused};
use crate::engine::{
    Attempt, Claimed, Decision, Judgement, LastCode, Looked, Occasion, RequestKey, Ruling, Typed,
};
use crate::hosts::HostIdentity;
use crate::login::Login;
use crate::policy::{Circumstances, Demand, Ruled, Terms, Walk, decide, demand, login_step_at};

/// Codes of one batch that are on the long way at once: each holds some kilobytes until its decision is recorded.
const LONG_WAY_MAX: usize = 32;

/// A request whose code has been looked at.
struct Begun<'a> {
    request: Verify<'a>,
    key: RequestKey,
    at: Duration,
    first: First,
    host: Option<&'a HostIdentity>,
}

/// What came of the first look.
enum First {
    /// The code is the expected one, and its claim is on its way.
    Claimed(Claimed),
    /// The throttles refuse to look.
    Refused(Refused),
    /// It needs a longer one, with the admission of the first, if that was one.
    Open(Option<Admission>),
}

impl Dialogue {
    /// Decides about one code. What a dialogue would have to ask for is refused.
    ///
    /// * `host`: who asks, by its certificate; none on the machine itself and at the API.
    ///
    /// # Errors
    /// See [`DialogueError`].
    pub async fn verify<'a>(
        self: &Arc<Self>,
        request: Verify<'a>,
        host: Option<&'a HostIdentity>,
    ) -> Result<Verified<'a>, DialogueError> {
        let begun = self.look(request, host)?;
        Ok(self.conclude_look(begun, &Semaphore::new(1)).await)
    }

    /// Decides about each of many codes by itself, all at once; their claims become durable together. Nothing is decided
    /// where one of them has not the form of a request, so that nobody has to guess which were.
    ///
    /// # Errors
    /// See [`DialogueError`].
    pub async fn verify_batch<'a>(
        self: &Arc<Self>,
        requests: Vec<Verify<'a>>,
        host: Option<&'a HostIdentity>,
    ) -> Result<Vec<Verified<'a>>, DialogueError> {
        requests.iter().try_for_each(check)?;
        let begun = requests.into_iter().map(|request| self.look(request, host));
        let begun = begun.collect::<Result<Vec<_>, _>>()?;
        let turns = Semaphore::new(LONG_WAY_MAX);
        Ok(all(begun.into_iter().map(|begun| Box::pin(self.conclude_look(begun, &turns))).collect()).await)
    }

    fn look<'a>(
        &self,
        request: Verify<'a>,
        host: Option<&'a HostIdentity>,
    ) -> Result<Begun<'a>, DialogueError> {
        check(&request)?;
        let Verify { request_id, user, service, rhost, code } = &request;
        let from = rhost.as_deref().unwrap_or_default();
        let parts = [&**request_id, user, service, from, code].map(str::as_bytes);
        // One host's request is never another's, whatever its id.
        let key = match host.map(|host| host.id.bytes()) {
            None => self.request_hasher.key(&parts),
            Some(id) => self.request_hasher.key(&[parts[0], parts[1], parts[2], parts[3], parts[4], &id]),
        };
        let fits = service.len() <= FIELD_BYTES_MAX && from.len() <= FIELD_BYTES_MAX;
        let at = self.clock.elapsed();
        // A request that comes again gets its first verdict, whatever its code would be by then.
        let known = self
            .accounts
            .find_named(user)
            .filter(|_| fits && !self.recent.knows(&key) && !self.witness.is_behind());
        let looked = known.and_then(|known| {
            let rule = self.rule_of_the_short_way(&known, service, rhost.as_deref(), host)?;
            let (rhost, rule) = (rhost.as_deref(), rule.as_deref());
            let typed = Typed { user, service, host, rhost, rule, code, request: key };
            Some(self.engine.claim_expected(&known, typed))
        });
        let first = match looked {
            Some(Ok(Looked::Claimed(claimed))) => First::Claimed(claimed),
            Some(Ok(Looked::Admitted(admission))) => First::Open(Some(admission)),
            Some(Err(refused)) => First::Refused(refused),
            Some(Ok(Looked::Not)) | None => First::Open(None),
        };
        Ok(Begun { request, key, at, first, host })
    }

    /// Whether the expected code is all that a login needs, and which access rule says so, where one does: the outer
    /// `None` where rules refuse, ask for nothing, or have to ask the name service, which the long way does.
    fn rule_of_the_short_way(
        &self,
        user: &User,
        service: &str,
        rhost: Option<&str>,
        host: Option<&HostIdentity>,
    ) -> Option<Option<Arc<str>>> {
        let config = self.config.load();
        let asks_for_a_code = login_step_at(host, &config) == LoginStep::Token;
        if config.rules.is_empty() {
            return asks_for_a_code.then_some(None);
        }
        let circumstances = Circumstances { host, user: &user.name, service, rhost, now: self.clock.now() };
        match decide(&config.rules, &circumstances, None) {
            Walk::Ended(Ruled::NoRule) => asks_for_a_code.then_some(None),
            Walk::Ended(Ruled::Decided { rule, then: Then::RequireToken }) => Some(Some(rule)),
            Walk::Ended(Ruled::Decided { rule, then: Then::RequireAnyOtp }) => {
                asks_for_a_code.then_some(Some(rule))
            }
            Walk::Ended(
                Ruled::Decided { then: Then::Deny | Then::Allow, .. } | Ruled::Undecidable { .. },
            )
            | Walk::NeedsGroups(_) => None,
        }
    }

    /// * `turns`: for the long way, of the whole batch.
    async fn conclude_look<'a>(self: &Arc<Self>, begun: Begun<'a>, turns: &Semaphore) -> Verified<'a> {
        let Begun { request, key, at, first, host } = begun;
        let (refused, admission) = match first {
            First::Claimed(claimed) => match self.engine.conclude(claimed).await {
                Some(decision) => return verified(request, host, &decision),
                None => (None, None),
            },
            First::Refused(refused) => (Some(refused), None),
            First::Open(admission) => (None, admission),
        };
        // Apart: the usual request carries no room for what follows.
        let login = Login::from(&request.user, &request.service, host.cloned(), request.rhost.as_deref());
        let typed = Zeroizing::new(request.code.clone().into_owned());
        let work = || Arc::clone(self).judge_directly(login, key, typed, refused, admission);
        let decision = Box::pin(self.judge_once(key, at, turns, work)).await;
        verified(request, host, &decision)
    }

    /// The verdict of the long way, the same for a request that comes again.
    async fn judge_once<F: Future<Output = Judgement> + Send + 'static>(
        &self,
        key: RequestKey,
        at: Duration,
        turns: &Semaphore,
        work: impl FnOnce() -> F,
    ) -> Decision {
        let judged = {
            let _turn = turns.acquire().await;
            Box::pin(self.recent.once(key, at, work)).await
        };
        let decision = match judged {
            Some(Judgement::Decided(decision) | Judgement::NextCode { decision, .. }) => decision,
            Some(Judgement::LastRecoveryCode) | None => self.engine.undecided(),
        };
        if decision.verdict == Verdict::Deny {
            self.wait_for_the_next_beat(at).await;
        }
        decision
    }

    async fn judge_directly(
        self: Arc<Self>,
        login: Login,
        request: RequestKey,
        typed: Zeroizing<String>,
        refused: Option<Refused>,
        admission: Option<Admission>,
    ) -> Judgement {
        let now = self.clock.now();
        if self.witness.is_behind() {
            let occasion = Occasion::login(login);
            return Judgement::Decided(self.engine.record(&occasion, Ruling::new(Reason::StoreBehind)).await);
        }
        if let Some(refused) = refused {
            // Rules had their say before the throttles were asked; the name service is not asked for every guess.
            let terms = Terms::new(login.host.as_ref(), Ruled::NoRule, &self.config.load(), now);
            let occasion = terms::occasion(login, &self.while_whole(terms));
            return Judgement::Decided(self.engine.throttled(&occasion, refused).await);
        }
        let user = login.user_name().ok().and_then(|name| self.accounts.find(&name));
        let terms = self.terms(&login, now).await;
        let occasion = terms::occasion(login, &terms);
        let demanded = demand(user.as_deref(), false, &terms, now);
        let asks_for_a_code = matches!(demanded, Demand::Code { .. } | Demand::Refused(_));
        if self.has_loss.load(Ordering::Relaxed) && !asks_for_a_code {
            return Judgement::Decided(
                self.engine.record(&occasion, terms::ruling(&terms, Reason::StoreShort)).await,
            );
        }
        let attempt = Attempt { occasion, request, user, typed };
        match demanded {
            Demand::Nothing(reason) => {
                let ruling = terms::ruling(&terms, reason);
                return Judgement::Decided(self.engine.record(&attempt.occasion, ruling).await);
            }
            Demand::Refused(reason) => {
                let ruling = terms::ruling(&terms, reason);
                return Judgement::Decided(self.engine.refuse_whatever(attempt, admission, ruling).await);
            }
            Demand::Request { .. } => return Judgement::Decided(self.engine.verify_issued(attempt).await),
            // A person has a name besides, which nobody asked for here.
            Demand::Secondary { .. } => {
                let ruling = Ruling::new(Reason::SecondaryRefused);
                return Judgement::Decided(self.engine.refuse_whatever(attempt, admission, ruling).await);
            }
            Demand::Code { .. }
            | Demand::Enrolment { .. }
            | Demand::Enrol
            | Demand::Association { .. }
            | Demand::Closed => {}
        }
        match self.verify_attempt(attempt.clone(), Some(demanded), &terms, admission).await {
            Judgement::LastRecoveryCode => {
                let without_new_codes = LastCode { new_codes: None };
                Judgement::Decided(self.engine.use_last_recovery_code(attempt, without_new_codes).await)
            }
            judgement => judgement,
        }
    }
}

fn check(request: &Verify<'_>) -> Result<(), DialogueError> {
    check_request_id(&request.request_id)?;
    if request.code.len() > ANSWER_BYTES_MAX {
        return Err(DialogueError::Malformed("a code has at most 128 bytes"));
    }
    Ok(())
}

/// Waits for all. Each wake looks at all that are left: they share a commit or a beat, so most end together.
async fn all<F: Future + Unpin>(mut futures: Vec<F>) -> Vec<F::Output> {
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut is_done = true;
        for (future, output) in futures.iter_mut().zip(&mut outputs).filter(|(_, output)| output.is_none()) {
            match Pin::new(future).poll(context) {
                Poll::Ready(ended) => *output = Some(ended),
                Poll::Pending => is_done = false,
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

fn verified<'a>(request: Verify<'a>, host: Option<&HostIdentity>, decision: &Decision) -> Verified<'a> {
    let Verify { request_id, user, service, .. } = request;
    let message = match decision.verdict {
        Verdict::Allow | Verdict::NotRequired => texts::welcome(decision),
        Verdict::Deny | Verdict::Unavailable | Verdict::Unknown => Some(texts::refusal(decision)),
    };
    let reference = decision.reference.to_string();
    let host = host.map(|host| host.id.to_string().into());
    Verified { request_id, user, service, host, verdict: decision.verdict, reference, message }
}
