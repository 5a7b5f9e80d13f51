//! The dialogue of a login about which no verifier can be asked: an offline password, or what one let in before.
//!
//! Only where nobody answered. Codes of tokens are not asked for: nobody here could tell whether they were used.

use std::sync::Arc;

use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use offline_password::HostCode;
use serve::Reply as HttpReply;
use wire::API_VERSION;
use wire::login::{Begin as Asked, Continue, Next, Question, Reply, Verdict};
use zeroize::Zeroize as _;

use super::link::Link;
use super::messages::{Begin, Begun, Redeem, Redeemed};
use super::tries::Place;
use crate::clock::UnixTime;
use crate::envelope::Envelope;
use crate::secret_body;
use crate::status::rfc3339;
use crate::verifiers::Verifiers;

/// What is asked.
const QUESTION: &str = "Offline password: ";

/// Letters of a reference, as verifiers draw them.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Terminals of the machine itself, screens and serial lines, each with a number.
const TERMINALS: [&str; 4] = ["tty", "ttyS", "ttyAMA", "hvc"];

/// Asks and answers without a verifier.
#[derive(Debug)]
pub struct Alone {
    link: Link,
    /// Who are asked again where a password says so.
    verifiers: Arc<Verifiers>,
    /// What the host is called at the prompt.
    code: Option<HostCode>,
}

impl Alone {
    /// * `host`: its id.
    pub fn new(link: Link, verifiers: Arc<Verifiers>, host: &str) -> Self {
        let digits: String = host.chars().filter(|character| *character != '-').collect();
        let id = u128::from_str_radix(&digits, 16).ok();
        Self { link, verifiers, code: id.map(|id| HostCode::of(&id.to_be_bytes())) }
    }

    /// The first step; `None` where no offline password can be checked here, as if there were none.
    pub async fn begin(&self, asked: &Asked) -> Option<HttpReply> {
        if asked.api_version != API_VERSION {
            return None;
        }
        let (show, next) = match self.begun(asked, false).await? {
            Begun::Closed => return None,
            Begun::Granted { until, .. } => return self.let_in(asked, until),
            Begun::Ask { contact } => {
                let (user, service, place) = (asked.user.clone(), asked.service.clone(), place(asked));
                let envelope = Envelope { user, service, state: String::new(), offline: Some(place) };
                let question = Question { text: QUESTION.into(), echo: false, empty_allowed: false };
                (self.greeting(contact), Next::Ask { state: envelope.close(), questions: vec![question] })
            }
        };
        Some(told(&first(asked, show, next)))
    }

    /// What still lets a login in that a verifier may be asked about: until when, and whether the verifier may refuse it.
    pub async fn held(&self, asked: &Asked) -> Option<(UnixTime, bool)> {
        if asked.api_version != API_VERSION || !self.link.has_grants() {
            return None;
        }
        match self.begun(asked, true).await? {
            Begun::Granted { until, may_be_refused } => Some((until, may_be_refused)),
            Begun::Ask { .. } | Begun::Closed => None,
        }
    }

    /// Lets a login in that needs nothing more.
    pub fn let_in(&self, asked: &Asked, until: UnixTime) -> Option<HttpReply> {
        let reference = reference()?;
        let told = "let in by an offline password of before";
        tracing::warn!(user = ?asked.user, service = ?asked.service, reference, "{told}");
        Some(self::told(&first(asked, vec![access_until(until)], done(Verdict::Allow, reference))))
    }

    async fn begun(&self, asked: &Asked, is_online: bool) -> Option<Begun> {
        let begin = Begin { user: asked.user.clone(), service: asked.service.clone(), is_online };
        let begun = self.link.begin(&begin).await;
        begun.inspect_err(|error| tracing::debug!(%error, "offline passwords")).ok()
    }

    /// What was typed; `None` where that is no answer to the question.
    pub async fn proceed(&self, envelope: &Envelope, proceed: &mut Continue) -> Option<HttpReply> {
        let [typed] = &mut proceed.answers[..] else {
            proceed.answers.zeroize();
            return None;
        };
        let place = envelope.offline.unwrap_or(Place::Elsewhere);
        let (user, service) = (envelope.user.clone(), envelope.service.clone());
        let mut redeem = Redeem { user, service, place, typed: std::mem::take(typed) };
        let redeemed = self.link.redeem(&redeem).await;
        redeem.typed.zeroize();
        let reference = reference()?;
        let (show, verdict) = match redeemed {
            Ok(Redeemed::Access { until }) => (vec![access_until(until)], Verdict::Allow),
            Ok(Redeemed::Again) => {
                self.verifiers.try_again();
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
fn place(asked: &Asked) -> Place {
    let tty = asked.tty.as_deref().unwrap_or_default();
    let name = tty.strip_prefix("/dev/").unwrap_or(tty);
    let number = |kind: &&str| name.strip_prefix(*kind).unwrap_or_default();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_local = name == "console" || TERMINALS.iter().map(number).any(is_number);
    if asked.rhost.is_none() && is_local { Place::Console } else { Place::Elsewhere }
}

/// The answer to a first request.
fn first(asked: &Asked, show: Vec<String>, next: Next) -> Reply {
    Reply {
        api_version: API_VERSION,
        request_id: asked.request_id.clone(),
        user: asked.user.clone(),
        service: asked.service.clone(),
        host: None,
        show,
        next,
    }
}

/// What somebody reads who needs nothing more until then.
fn access_until(until: UnixTime) -> String {
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
    use crate::chance::SystemChance;
    use crate::identity::tests::Authority;
    use crate::tls;

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
            (Some("/dev/tty1"), None, Place::Console),
            (Some("tty63"), None, Place::Console),
            (Some("/dev/tty1"), Some("192.0.2.1"), Place::Elsewhere),
            (Some("/dev/pts/0"), None, Place::Elsewhere),
            (Some("ssh"), None, Place::Elsewhere),
            (Some("/dev/tty"), None, Place::Elsewhere),
            (Some("ttyS0"), None, Place::Console),
            (Some("/dev/ttyAMA0"), None, Place::Console),
            (Some("/dev/hvc0"), None, Place::Console),
            (Some("/dev/console"), None, Place::Console),
            (Some("ttyS"), None, Place::Elsewhere),
            (None, None, Place::Elsewhere),
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
        let verifiers = Arc::new(Verifiers::new(
            Vec::new(),
            tls::for_host(&Authority::generate().host()).unwrap(),
            Arc::new(SystemChance),
        ));
        let alone =
            Alone::new(Link::new("/nowhere".into()), verifiers, "07070707-0707-0707-0707-070707070707");
        let lines = alone.greeting(Some("Call 4711".into()));
        assert_eq!(lines[1..], ["This host is 6KNEJ-Z4YPJ.", "Call 4711"]);
    }
}
