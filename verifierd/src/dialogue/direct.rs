//! Verdicts about codes without a dialogue around them, for programs that ask for the code themselves.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use wire::login::{ANSWER_BYTES_MAX, FIELD_BYTES_MAX, Verdict};
use wire::verify::{Verified, Verify};
use zeroize::Zeroizing;

use super::{Dialogue, DialogueError, check_request_id, texts};
use crate::audit::Reason;
use crate::engine::throttle::{Admission, Refused};
use crate::engine::{
    Attempt, Claimed, Decision, Judgement, LastCode, Looked, Occasion, RequestKey, Ruling, Typed,
};
use crate::login::Login;
use crate::policy::{Demand, demand};

/// A request whose code has been looked at.
struct Begun<'a> {
    request: Verify<'a>,
    key: RequestKey,
    at: Duration,
    first: First,
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
    /// # Errors
    /// See [`DialogueError`].
    pub async fn verify<'a>(self: &Arc<Self>, request: Verify<'a>) -> Result<Verified<'a>, DialogueError> {
        let begun = self.look(request)?;
        Ok(self.conclude_look(begun).await)
    }

    /// Decides about each of many codes by itself, all at once; their claims become durable together. Nothing is decided
    /// where one of them has not the form of a request, so that nobody has to guess which were.
    ///
    /// # Errors
    /// See [`DialogueError`].
    pub async fn verify_batch<'a>(
        self: &Arc<Self>,
        requests: Vec<Verify<'a>>,
    ) -> Result<Vec<Verified<'a>>, DialogueError> {
        requests.iter().try_for_each(check)?;
        let begun = requests.into_iter().map(|request| self.look(request)).collect::<Result<Vec<_>, _>>()?;
        Ok(all(begun.into_iter().map(|begun| Box::pin(self.conclude_look(begun))).collect()).await)
    }

    fn look<'a>(&self, request: Verify<'a>) -> Result<Begun<'a>, DialogueError> {
        check(&request)?;
        let Verify { request_id, user, service, rhost, code } = &request;
        let from = rhost.as_deref().unwrap_or_default();
        let parts = [&**request_id, user, service, from, code].map(str::as_bytes);
        let key = self.request_hasher.key(&parts);
        let fits = service.len() <= FIELD_BYTES_MAX && from.len() <= FIELD_BYTES_MAX;
        let at = self.clock.elapsed();
        // A request that comes again gets its first verdict, whatever its code would be by then.
        let known = self.accounts.find_named(user).filter(|_| fits && !self.recent.knows(&key));
        let typed = Typed { user, service, rhost: rhost.as_deref(), code, request: key };
        let first = match known.map(|user| self.engine.claim_expected(&user, typed)) {
            Some(Ok(Looked::Claimed(claimed))) => First::Claimed(claimed),
            Some(Ok(Looked::Admitted(admission))) => First::Open(Some(admission)),
            Some(Err(refused)) => First::Refused(refused),
            Some(Ok(Looked::Not)) | None => First::Open(None),
        };
        Ok(Begun { request, key, at, first })
    }

    async fn conclude_look<'a>(self: &Arc<Self>, begun: Begun<'a>) -> Verified<'a> {
        let Begun { request, key, at, first } = begun;
        let (refused, admission) = match first {
            First::Claimed(claimed) => match self.engine.conclude(claimed).await {
                Some(decision) => return verified(request, &decision),
                None => (None, None),
            },
            First::Refused(refused) => (Some(refused), None),
            First::Open(admission) => (None, admission),
        };
        // Apart: the usual request carries no room for what follows.
        let decision = Box::pin(self.judge_once(&request, key, at, refused, admission)).await;
        verified(request, &decision)
    }

    /// The verdict of the long way, the same for a request that comes again.
    async fn judge_once(
        self: &Arc<Self>,
        request: &Verify<'_>,
        key: RequestKey,
        at: Duration,
        refused: Option<Refused>,
        admission: Option<Admission>,
    ) -> Decision {
        let login = Login::from(&request.user, &request.service, request.rhost.as_deref());
        let typed = Zeroizing::new(request.code.clone().into_owned());
        let work = || Arc::clone(self).judge_directly(login, key, typed, refused, admission);
        let decision = match self.recent.once(key, at, work).await {
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
        if let Some(refused) = refused {
            return Judgement::Decided(self.engine.throttled(&Occasion::login(login), refused).await);
        }
        let user = login.user_name().ok().and_then(|name| self.accounts.find(&name));
        let occasion = Occasion::login(login);
        let demanded = demand(user.as_deref(), false, &self.config.load(), self.clock.now());
        if self.has_loss.load(Ordering::Relaxed) && !matches!(demanded, Demand::Code) {
            return Judgement::Decided(self.engine.record(&occasion, Ruling::new(Reason::StoreShort)).await);
        }
        if let Demand::Nothing(reason) = demanded {
            return Judgement::Decided(self.engine.record(&occasion, Ruling::new(reason)).await);
        }
        let attempt = Attempt { occasion, request, user, typed };
        match self.verify_attempt(attempt.clone(), Some(demanded), admission).await {
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

fn verified<'a>(request: Verify<'a>, decision: &Decision) -> Verified<'a> {
    let Verify { request_id, user, service, .. } = request;
    let message = match decision.verdict {
        Verdict::Allow | Verdict::NotRequired => texts::welcome(decision),
        Verdict::Deny | Verdict::Unavailable | Verdict::Unknown => Some(texts::refusal(decision)),
    };
    let reference = decision.reference.to_string();
    Verified { request_id, user, service, verdict: decision.verdict, reference, message }
}
