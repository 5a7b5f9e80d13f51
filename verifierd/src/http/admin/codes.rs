//! Requests that carry a code: on what occasion it is typed, and what a refused one tells.
//!
//! No message repeats a code.

use wire::admin::Proof;
use wire::error::ErrorCode;
use wire::login::Verdict;
use zeroize::Zeroizing;

use super::Administration;
use super::refusals::{Refusal, refusal};
use super::routes::Granted;
use crate::accounts::UserName;
use crate::audit::Reason;
use crate::engine::{Attempt, Decision, Occasion, RequestKey};
use crate::keys::random_bytes;

/// On what occasion a code is sent. A user's own counts against him as one at a login on this machine does.
pub(super) fn occasion(event: &'static str, granted: &Granted, user: &str) -> Occasion {
    if granted.is_only_for_himself() {
        Occasion::self_service(event, user, granted.actor())
    } else {
        Occasion::administration(event, user, granted.actor())
    }
}

/// Names the claim that a request makes: a new name each time, because none of these requests is sent again.
pub(super) fn request_key() -> Result<RequestKey, Refusal> {
    random_bytes().map_err(|error| refusal(ErrorCode::Unavailable, error.to_string()))
}

/// Goes on where the caller is an administrator, or has shown a code of one of his own tokens; it is used up.
pub(super) async fn proved(
    admin: &Administration,
    granted: &Granted,
    name: &UserName,
    proof: Proof,
) -> Result<(), Refusal> {
    let code = proof.code.map(Zeroizing::new);
    if !granted.is_only_for_himself() {
        return Ok(());
    }
    let code = code.ok_or_else(|| {
        refusal(ErrorCode::Malformed, "a code of one of your tokens is needed: `code` is missing".into())
    })?;
    let attempt = Attempt {
        occasion: occasion("self_service", granted, name.as_str()),
        request: request_key()?,
        user: admin.dialogue.accounts.find(name),
        typed: code,
    };
    allowed(&admin.dialogue.engine.prove(attempt).await, Telling::Why)
}

/// What a refused code tells whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// Nothing but that it was refused: a wrong serial number and a wrong code look alike.
    Nothing,
    /// Why: he named a token that he may see.
    Why,
}

/// Goes on where a decision allows it.
pub(super) fn allowed(decision: &Decision, telling: Telling) -> Result<(), Refusal> {
    let reference = decision.reference;
    let (code, why) = match (decision.verdict, decision.reason) {
        (Verdict::Allow, _) => return Ok(()),
        (Verdict::Unavailable, _) => (ErrorCode::Unavailable, "nothing can be decided at the moment".into()),
        (_, Reason::Throttled) => {
            let wait = decision.wait.map_or(1, |wait| wait.as_secs().max(1));
            (ErrorCode::Throttled, format!("too many wrong codes: wait {wait} s"))
        }
        (_, Reason::OutOfStep) => {
            (ErrorCode::WrongCode, "the token is out of step: send the code after this one as well".into())
        }
        _ if telling == Telling::Nothing => {
            (ErrorCode::WrongCode, "the serial number or the code is wrong".into())
        }
        (_, Reason::TokenDisabled | Reason::TokenLost) => {
            (ErrorCode::Conflict, "the token is disabled or lost: enable it first".into())
        }
        (_, Reason::TokenMissing) => {
            (ErrorCode::Conflict, "there is no token that a code could be of".into())
        }
        (_, Reason::Replayed) => (ErrorCode::WrongCode, "the code was used before: take the next one".into()),
        _ => (ErrorCode::WrongCode, "the code is wrong".to_owned()),
    };
    Err(refusal(code, format!("{why}. Reference {reference}")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::audit::Reference;
    use crate::engine::verdict_of;

    fn decision(reason: Reason) -> Decision {
        let wait = Some(Duration::from_secs(30));
        let reference = Reference::parse("0A1BZ9XK").unwrap();
        Decision {
            verdict: verdict_of(reason),
            reason,
            detail: None,
            reference,
            wait,
            token: None,
            person: None,
            recovery_codes_left: None,
        }
    }

    fn told(reason: Reason, telling: Telling) -> (ErrorCode, String) {
        let refused = allowed(&decision(reason), telling).expect_err("is refused");
        (refused.code, refused.message)
    }

    // covers: A2, B03
    #[test]
    fn a_wrong_serial_and_a_wrong_code_are_told_alike() {
        let wrong = "the serial number or the code is wrong. Reference 0A1B-Z9XK".to_owned();
        for reason in [
            Reason::WrongCode,
            Reason::Replayed,
            Reason::Malformed,
            Reason::TokenDisabled,
            Reason::TokenMissing,
            Reason::TokenLost,
            Reason::TokenTaken,
            Reason::SerialUnknown,
            Reason::UnknownUser,
            Reason::Quarantined,
        ] {
            assert_eq!(told(reason, Telling::Nothing), (ErrorCode::WrongCode, wrong.clone()), "{reason:?}");
        }
    }

    #[test]
    fn each_refusal_has_its_code_and_an_allow_has_none() {
        assert!(allowed(&decision(Reason::Accepted), Telling::Nothing).is_ok());
        let why = |reason| told(reason, Telling::Why).0;
        assert_eq!(why(Reason::WrongCode), ErrorCode::WrongCode);
        assert_eq!(why(Reason::Replayed), ErrorCode::WrongCode);
        assert_eq!(why(Reason::TokenDisabled), ErrorCode::Conflict);
        assert_eq!(why(Reason::StorageFull), ErrorCode::Unavailable);
        for telling in [Telling::Nothing, Telling::Why] {
            let throttled =
                (ErrorCode::Throttled, "too many wrong codes: wait 30 s. Reference 0A1B-Z9XK".into());
            assert_eq!(told(Reason::Throttled, telling), throttled);
        }
    }

    // covers: I05
    #[test]
    fn only_an_explicit_allow_goes_on() {
        for reason in [Reason::OtpOff, Reason::Unenrolled, Reason::Grace] {
            assert!(allowed(&decision(reason), Telling::Why).is_err(), "{reason:?}");
        }
    }
}
