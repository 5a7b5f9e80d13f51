//! Whether an answer belongs to what was asked.
//!
//! A verdict is taken over only if it repeats the request's id, its user and its service, and names this very host by
//! its id. Anything else is refused as if nobody had answered, and told loudly: it is a fault of a program or somebody's
//! attempt, never bad luck. An unknown verdict is a refusal (DESIGN.md, invariant 4).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wire::API_VERSION;
use wire::login::{Next, Verdict};
use wire::verify::Verified;

/// A [`wire::login::Reply`] whose texts are passed on unread: an enrolment shows a secret, and whoever reads a text
/// leaves copies of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step<'a> {
    /// As in the reply, like all that follows.
    pub api_version: u16,
    /// The request's id.
    #[serde(borrow)]
    pub request_id: Cow<'a, str>,
    /// The user.
    #[serde(borrow)]
    pub user: Cow<'a, str>,
    /// The service.
    #[serde(borrow)]
    pub service: Cow<'a, str>,
    /// The host.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Cow<'a, str>>,
    /// The texts; the module looks whether they are some.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub show: Option<&'a RawValue>,
    /// What follows.
    pub next: Next,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The id of the request.
    pub request_id: &'a str,
    /// Whose login.
    pub user: &'a str,
    /// To which service.
    pub service: &'a str,
    /// Our own id.
    pub host: &'a str,
}

/// How an answer does not belong to what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It is not in the form of an answer.
    #[error("what came is not an answer")]
    Form,
    /// It is of another version.
    #[error(
        "the verifier speaks version {theirs} and this agent version {API_VERSION}: upgrade the older of the two"
    )]
    Version {
        /// The version that it names.
        theirs: u16,
    },
    /// It answers another request.
    #[error("the answer is to another request")]
    Request,
    /// It is about another user.
    #[error("the answer is about another user")]
    User,
    /// It is about another service.
    #[error("the answer is about another service")]
    Service,
    /// It is for another host, or for none.
    #[error("the answer is for another host")]
    Host,
    /// A batch has another number of answers than questions.
    #[error("there are {answers} answers to {questions} questions")]
    Count {
        /// How many came.
        answers: usize,
        /// How many were asked for.
        questions: usize,
    },
}

/// Takes over a step of a dialogue, or its end.
///
/// # Errors
/// See [`Mismatch`].
pub fn step<'a>(mut step: Step<'a>, asked: &Asked<'_>) -> Result<Step<'a>, Mismatch> {
    if step.api_version != API_VERSION {
        return Err(Mismatch::Version { theirs: step.api_version });
    }
    belongs(asked, &step.request_id, &step.user, &step.service, step.host.as_deref())?;
    if let Next::Done { verdict, person, .. } = &mut step.next {
        *verdict = known(*verdict);
        // Whoever is not let in is nobody yet.
        if *verdict != Verdict::Allow {
            *person = None;
        }
    }
    // Between agent and module there is only this host.
    step.host = None;
    Ok(step)
}

/// Takes over a verdict about one code.
///
/// # Errors
/// See [`Mismatch`].
pub fn verified<'a>(mut verified: Verified<'a>, asked: &Asked<'_>) -> Result<Verified<'a>, Mismatch> {
    belongs(asked, &verified.request_id, &verified.user, &verified.service, verified.host.as_deref())?;
    verified.verdict = known(verified.verdict);
    verified.host = None;
    Ok(verified)
}

fn belongs(
    asked: &Asked<'_>,
    request_id: &str,
    user: &str,
    service: &str,
    host: Option<&str>,
) -> Result<(), Mismatch> {
    if request_id != asked.request_id {
        return Err(Mismatch::Request);
    }
    if user != asked.user {
        return Err(Mismatch::User);
    }
    if service != asked.service {
        return Err(Mismatch::Service);
    }
    if host != Some(asked.host) {
        return Err(Mismatch::Host);
    }
    Ok(())
}

/// A verdict of a newer version is a refusal.
fn known(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Allow => Verdict::Allow,
        Verdict::NotRequired => Verdict::NotRequired,
        Verdict::Unavailable => Verdict::Unavailable,
        Verdict::Deny | Verdict::Unknown => Verdict::Deny,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wire::login::Reply;

    use super::*;

    const ASKED: Asked<'_> = Asked {
        request_id: "00112233445566778899aabbccddeeff",
        user: "alice",
        service: "sshd",
        host: "ffffffff-ffff-4fff-bfff-ffffffffffff",
    };

    /// An answer that is right, but for one field.
    fn answer(field: &str, value: Value) -> Value {
        let mut answer = json!({
            "api_version": API_VERSION,
            "request_id": ASKED.request_id,
            "user": ASKED.user,
            "service": ASKED.service,
            "host": ASKED.host,
            "show": [],
            "next": {"done": {"verdict": "allow", "reference": "7QK2-9ZB4"}},
            "verdict": "allow",
            "reference": "7QK2-9ZB4",
        });
        answer[field] = value;
        answer
    }

    /// What the module reads.
    fn judge(answer: &Value) -> Result<Reply, Mismatch> {
        let text = answer.to_string();
        let step = step(serde_json::from_str(&text).unwrap(), &ASKED)?;
        Ok(serde_json::from_str(&serde_json::to_string(&step).unwrap()).unwrap())
    }

    fn judge_verified(answer: &Value) -> Result<Verdict, Mismatch> {
        let text = answer.to_string();
        verified(serde_json::from_str(&text).unwrap(), &ASKED).map(|verified| verified.verdict)
    }

    fn verdict(reply: &Reply) -> Verdict {
        match reply.next {
            Next::Done { verdict, .. } => verdict,
            Next::Ask { .. } => panic!("asked"),
        }
    }

    // covers: F13
    #[test]
    fn an_answer_that_repeats_everything_is_taken_over_without_the_host() {
        let taken = judge(&answer("show", json!([]))).unwrap();
        assert_eq!((verdict(&taken), taken.host), (Verdict::Allow, None));
        let shown = json!(["\n\u{2580}", "otpauth://"]);
        assert_eq!(json!(judge(&answer("show", shown.clone())).unwrap().show), shown);
        assert_eq!(judge_verified(&answer("show", json!([]))), Ok(Verdict::Allow));
    }

    // covers: F13
    #[test]
    fn an_answer_for_another_request_user_service_or_host_is_refused() {
        let cases = [
            ("request_id", json!("ffeeddccbbaa99887766554433221100"), Mismatch::Request),
            ("request_id", json!(""), Mismatch::Request),
            ("user", json!("bob"), Mismatch::User),
            ("user", json!("Alice"), Mismatch::User),
            ("service", json!("sudo"), Mismatch::Service),
            ("host", json!("00000000-0000-4000-8000-000000000000"), Mismatch::Host),
            ("host", json!("FFFFFFFF-FFFF-4FFF-BFFF-FFFFFFFFFFFF"), Mismatch::Host),
            ("host", Value::Null, Mismatch::Host),
        ];
        for (field, value, expected) in cases {
            let answer = answer(field, value);
            assert_eq!(judge(&answer).unwrap_err(), expected, "{answer}");
            assert_eq!(judge_verified(&answer).unwrap_err(), expected, "{answer}");
        }
    }

    // covers: F13
    #[test]
    fn a_question_is_judged_like_a_verdict() {
        let question = json!({"ask": {"state": "sealed", "questions": []}});
        let mut other = answer("next", question.clone());
        assert!(judge(&other).is_ok());
        other["host"] = json!("somebody else");
        assert_eq!(judge(&other).unwrap_err(), Mismatch::Host);
    }

    // covers: F14
    #[test]
    fn a_verdict_of_a_newer_version_is_a_refusal_and_unknown_fields_are_nothing() {
        let newer = answer("next", json!({"done": {"verdict": "allow_mostly", "reference": "7QK2-9ZB4"}}));
        assert_eq!(verdict(&judge(&newer).unwrap()), Verdict::Deny);
        assert_eq!(judge_verified(&answer("verdict", json!("allow_mostly"))), Ok(Verdict::Deny));
        let more = answer("weather", json!({"outlook": "fair"}));
        assert_eq!(verdict(&judge(&more).unwrap()), Verdict::Allow);
        assert_eq!(judge_verified(&more), Ok(Verdict::Allow));
        for kept in ["allow", "not_required", "deny", "unavailable"] {
            let reply = judge(&answer("next", json!({"done": {"verdict": kept, "reference": ""}}))).unwrap();
            assert_eq!(serde_json::to_value(verdict(&reply)).unwrap(), kept);
        }
    }

    // covers: F14
    #[test]
    fn a_future_version_is_refused_and_says_what_to_do() {
        let refused = judge(&answer("api_version", json!(API_VERSION + 1))).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the verifier speaks version 2 and this agent version 1: upgrade the older of the two"
        );
    }
}
