//! The dialogue of a login about which no verifier can be asked: an offline password, or what one let in before.
//!
//! Only where nobody answered. Codes of tokens are not asked for: nobody here could tell whether they were used.

use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serve::Reply as HttpReply;
use wire::API_VERSION;
use wire::login::{Begin as Asked, Continue, Next, Question, Reply, Verdict};
use zeroize::Zeroize as _;

use super::link::Link;
use super::messages::{Begin, Begun, Redeem, Redeemed};
use crate::envelope::{Envelope, OfflinePlace};
use crate::secret_body;
use crate::status::rfc3339;
use offline_password::HostCode;

/// What is asked.
const QUESTION: &str = "Offline password: ";

/// Letters of a reference, as verifiers draw them.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Asks and answers without a verifier.
#[derive(Debug)]
pub struct Alone {
    link: Link,
    /// What the host is called at the prompt.
    code: Option<HostCode>,
}

impl Alone {
    /// * `host`: its id.
    pub fn new(link: Link, host: &str) -> Self {
        let digits: String = host.chars().filter(|character| *character != '-').collect();
        let id = u128::from_str_radix(&digits, 16).ok();
        Self { link, code: id.map(|id| HostCode::of(&id.to_be_bytes())) }
    }

    /// The first step; `None` where no offline password can be checked here, as if there were none.
    pub async fn begin(&self, asked: &Asked) -> Option<HttpReply> {
        if asked.api_version != API_VERSION {
            return None;
        }
        let (user, service) = (asked.user.clone(), asked.service.clone());
        let begun = self.link.begin(&Begin { user: user.clone(), service: service.clone() }).await;
        let begun = begun.inspect_err(|error| tracing::debug!(%error, "offline passwords")).ok()?;
        let (show, next) = match begun {
            Begun::Closed => return None,
            Begun::Granted { until } => {
                let reference = reference()?;
                let host_user = &asked.user;
                tracing::warn!(user = ?host_user, service = ?asked.service, reference, "let in by an offline password of before");
                (vec![access_until(until)], done(Verdict::Allow, reference))
            }
            Begun::Ask { contact } => {
                let place = place(asked);
                let envelope = Envelope { user, service, state: String::new(), offline: Some(place) };
                let question = Question { text: QUESTION.into(), echo: false, empty_allowed: false };
                (self.greeting(contact), Next::Ask { state: envelope.close(), questions: vec![question] })
            }
        };
        Some(told(&Reply {
            api_version: API_VERSION,
            request_id: asked.request_id.clone(),
            user: asked.user.clone(),
            service: asked.service.clone(),
            host: None,
            show,
            next,
        }))
    }

    /// What was typed; `None` where that is no answer to the question.
    pub async fn proceed(&self, envelope: &Envelope, proceed: &mut Continue) -> Option<HttpReply> {
        let [typed] = &mut proceed.answers[..] else {
            proceed.answers.zeroize();
            return None;
        };
        let is_console = envelope.offline == Some(OfflinePlace::Console);
        let (user, service) = (envelope.user.clone(), envelope.service.clone());
        let mut redeem = Redeem { user, service, is_console, typed: std::mem::take(typed) };
        let redeemed = self.link.redeem(&redeem).await;
        redeem.typed.zeroize();
        let reference = reference()?;
        let (show, verdict) = match redeemed {
            Ok(Redeemed::Access { until }) => (vec![access_until(until)], Verdict::Allow),
            Ok(Redeemed::Again) => {
                (vec!["You need not wait any longer. Log in again.".to_owned()], Verdict::Deny)
            }
            Ok(Redeemed::Refused { text }) => (vec![text], Verdict::Deny),
            Err(error) => {
                tracing::error!(%error, "an offline password could not be checked");
                (Vec::new(), Verdict::Unavailable)
            }
        };
        tracing::warn!(user = ?envelope.user, service = ?envelope.service, ?verdict, reference, "decided without a verifier");
        Some(told(&Reply {
            api_version: API_VERSION,
            request_id: proceed.request_id.clone(),
            user: envelope.user.clone(),
            service: envelope.service.clone(),
            host: None,
            show,
            next: done(verdict, reference),
        }))
    }

    fn greeting(&self, contact: Option<String>) -> Vec<String> {
        let code = self.code.map(|code| format!("This host is {code}."));
        let lines = ["No verifier can be reached: only an offline password opens this host now.".to_owned()];
        lines.into_iter().chain(code).chain(contact).collect()
    }
}

/// Somebody at a terminal of the machine itself. What PAM says of others is theirs to choose, and gets the other count.
fn place(asked: &Asked) -> OfflinePlace {
    let tty = asked.tty.as_deref().unwrap_or_default();
    let number = tty.strip_prefix("/dev/").unwrap_or(tty).strip_prefix("tty");
    let is_local =
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    if asked.rhost.is_none() && is_local { OfflinePlace::Console } else { OfflinePlace::Elsewhere }
}

fn access_until(until: u64) -> String {
    format!("Access until {}.", rfc3339(until))
}

fn done(verdict: Verdict, reference: String) -> Next {
    Next::Done { verdict, reference, person: None }
}

/// Eight letters that the log of this host has; no verifier knows them.
fn reference() -> Option<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).ok()?;
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 32)]);
    let (first, last) = bytes.split_at(4);
    let group = |bytes: &[u8]| bytes.iter().map(letter).collect::<String>();
    Some(format!("{}-{}", group(first), group(last)))
}

fn told(reply: &Reply) -> HttpReply {
    let mut told = Response::new(Full::new(secret_body::reply(reply, wire::BODY_BYTES_MAX)));
    told.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(tty: Option<&str>, rhost: Option<&str>) -> Asked {
        let text = serde_json::json!({
            "api_version": 1, "request_id": "0".repeat(32), "user": "alice", "service": "login", "tty": tty, "rhost": rhost,
        });
        serde_json::from_value(text).unwrap()
    }

    // covers: N12
    #[test]
    fn somebody_at_the_machine_is_told_from_everybody_else() {
        for (tty, rhost, expected) in [
            (Some("/dev/tty1"), None, OfflinePlace::Console),
            (Some("tty63"), None, OfflinePlace::Console),
            (Some("/dev/tty1"), Some("192.0.2.1"), OfflinePlace::Elsewhere),
            (Some("/dev/pts/0"), None, OfflinePlace::Elsewhere),
            (Some("ssh"), None, OfflinePlace::Elsewhere),
            (Some("/dev/tty"), None, OfflinePlace::Elsewhere),
            (None, None, OfflinePlace::Elsewhere),
        ] {
            assert_eq!(place(&asked(tty, rhost)), expected, "{tty:?} {rhost:?}");
        }
    }

    #[test]
    fn a_reference_has_the_form_of_others() {
        let one = reference().unwrap();
        assert!(one.len() == 9 && one.as_bytes()[4] == b'-' && reference().unwrap() != one, "{one}");
    }

    // covers: N12, N15
    #[test]
    fn the_prompt_says_the_hosts_code_and_whom_to_call() {
        let alone = Alone::new(Link::new("/nowhere".into()), "07070707-0707-0707-0707-070707070707");
        let lines = alone.greeting(Some("Call 4711".into()));
        assert_eq!(lines[1..], ["This host is 6KNEJ-Z4YPJ.", "Call 4711"]);
    }
}
