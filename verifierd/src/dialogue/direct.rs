//! A verdict about a code without a dialogue around it, for programs that ask for the code themselves.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use wire::login::{ANSWER_BYTES_MAX, Verdict};
use wire::verify::{Verified, Verify};
use zeroize::Zeroizing;

use super::{Dialogue, DialogueError, check_request_id, texts};
use crate::audit::Reason;
use crate::engine::{Attempt, Decision, Judgement, LastCode, Occasion, RequestKey, Ruling};
use crate::login::Login;
use crate::policy::{Demand, demand};

impl Dialogue {
    /// Decides about one code. What a dialogue would have to ask for is refused.
    ///
    /// # Errors
    /// See [`DialogueError`].
    pub async fn verify<'a>(self: &Arc<Self>, request: Verify<'a>) -> Result<Verified<'a>, DialogueError> {
        check(&request)?;
        let Verify { request_id, user, service, rhost, code } = request;
        let from = rhost.as_deref().unwrap_or_default();
        let key = self.request_hasher.key(&[
            b"verify",
            request_id.as_bytes(),
            user.as_bytes(),
            service.as_bytes(),
            from.as_bytes(),
            code.as_bytes(),
        ]);
        let login = Login::from(&user, &service, rhost.as_deref());
        let begun = self.clock.elapsed();
        let typed = Zeroizing::new(code.into_owned());
        let work = || Arc::clone(self).judge_directly(login, key, typed);
        let judged = self.recent.once(key, begun, work).await.ok_or(DialogueError::Unavailable)?;
        let decision = match judged {
            Judgement::Decided(decision) | Judgement::NextCode { decision, .. } => decision,
            Judgement::LastRecoveryCode => return Err(DialogueError::Unavailable),
        };
        if decision.verdict == Verdict::Deny {
            self.wait_for_the_next_beat(begun).await;
        }
        Ok(verified(request_id, user, service, &decision))
    }

    /// Decides about each of many codes by itself, all at once. Nothing is decided where one of them has not the form
    /// of a request, so that nobody has to guess which were.
    ///
    /// # Errors
    /// See [`DialogueError`]. `Unavailable` when some could not be decided: asked again with the same ids, the others
    /// get the verdicts that they have.
    pub async fn verify_batch<'a>(
        self: &Arc<Self>,
        requests: Vec<Verify<'a>>,
    ) -> Result<Vec<Verified<'a>>, DialogueError> {
        requests.iter().try_for_each(check)?;
        all(requests.into_iter().map(|request| Box::pin(self.verify(request))).collect())
            .await
            .into_iter()
            .collect()
    }

    async fn judge_directly(
        self: Arc<Self>,
        login: Login,
        request: RequestKey,
        typed: Zeroizing<String>,
    ) -> Judgement {
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
        match self.verify_attempt(attempt.clone(), Some(demanded)).await {
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

fn verified<'a>(
    request_id: Cow<'a, str>,
    user: Cow<'a, str>,
    service: Cow<'a, str>,
    decision: &Decision,
) -> Verified<'a> {
    let message = match decision.verdict {
        Verdict::Allow | Verdict::NotRequired => texts::welcome(decision),
        Verdict::Deny | Verdict::Unavailable | Verdict::Unknown => Some(texts::refusal(decision)),
    };
    let reference = decision.reference.to_string();
    Verified { request_id, user, service, verdict: decision.verdict, reference, message }
}
