//! On what occasion a code is typed: at a login, or when somebody administers.

use std::sync::Arc;

use wire::admin::RolloutMode;
use wire::login::Verdict;

use super::decision::{Decision, verdict_of};
use crate::accounts::Actor;
use crate::audit::{AuditRecord, Reason};
use crate::config::Lenience;
use crate::engine::Source;
use crate::engine::throttle::Whose;
use crate::login::Login;

/// The event of every login's record.
const LOGIN: &str = "login";

/// What stands as the service in records of the `postern` command.
const COMMAND: &str = "postern";

/// A code's occasion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occasion {
    /// The login; for administration, the user whom it is about.
    pub login: Login,
    event: &'static str,
    actor: Option<Actor>,
    source: Source,
    rule: Option<Arc<str>>,
    lenience: Option<Lenience>,
}

impl Occasion {
    /// A login.
    pub fn login(login: Login) -> Self {
        let source = login.source();
        Self { login, event: LOGIN, actor: None, source, rule: None, lenience: None }
    }

    /// The same, decided by an access rule, or enforced less than it is decided.
    pub fn under(self, rule: Option<Arc<str>>, lenience: Option<Lenience>) -> Self {
        Self { rule, lenience, ..self }
    }

    /// Something that an administrator does for a user, with a code that the user tells him.
    pub fn administration(event: &'static str, user: &str, by: Actor) -> Self {
        let login = Login::at(user, COMMAND);
        let source = Source::administration();
        Self { login, event, actor: Some(by), source, rule: None, lenience: None }
    }

    /// Something that a user does for himself, on this machine.
    pub fn self_service(event: &'static str, user: &str, by: Actor) -> Self {
        let login = Login::at(user, COMMAND);
        let source = login.source();
        Self { login, event, actor: Some(by), source, rule: None, lenience: None }
    }

    /// Something that a person does for himself on a page.
    ///
    /// * `login`: the account whose codes he signs in with, and where he is.
    pub fn on_page(event: &'static str, login: Login, by: Actor) -> Self {
        Self { event, actor: Some(by), ..Self::login(login) }
    }

    /// Whether it is a login.
    pub fn is_login(&self) -> bool {
        self.event == LOGIN
    }

    /// Where the code comes from, as throttles count.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Whose try it is, in words.
    pub fn whose(&self) -> Whose {
        Whose {
            user: Some(self.login.user.clone()),
            host: self.login.host.as_ref().map(|host| host.name.to_string()),
            place: Some(self.source.place().to_owned()),
        }
    }

    /// The access rule that decides.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// The verdict of a decision: that of its reason, unless it is a refusal that the roll-out only observes.
    pub fn verdict_of(&self, reason: Reason) -> Verdict {
        match (verdict_of(reason), self.lenience) {
            (Verdict::Deny, Some(Lenience::Observe)) => Verdict::NotRequired,
            (verdict, _) => verdict,
        }
    }

    /// A decision as it is told on this occasion.
    pub fn told(&self, decision: Decision) -> Decision {
        Decision { verdict: self.verdict_of(decision.reason), ..decision }
    }

    /// The roll-out's mode, where it alone lets in.
    pub fn rollout_of(&self, reason: Reason) -> Option<String> {
        let lets_in = reason == Reason::Rollout || self.verdict_of(reason) != verdict_of(reason);
        let mode = match self.lenience.filter(|_| lets_in)? {
            Lenience::Observe => RolloutMode::Observe,
            Lenience::Grace => RolloutMode::Grace,
        };
        serde_json::to_value(mode).ok()?.as_str().map(str::to_owned)
    }

    /// A record with everything that is known about the occasion.
    pub fn record(&self) -> AuditRecord {
        let login = &self.login;
        AuditRecord {
            event: self.event.into(),
            user: Some(login.user.clone()),
            service: Some(login.service.clone()),
            rule: self.rule.as_deref().map(str::to_owned),
            host: login.host.as_ref().map(|host| host.name.to_string()),
            rhost: login.rhost.clone(),
            tty: login.tty.clone(),
            ruser: login.ruser.clone(),
            actor: self.actor.as_ref().map(|actor| actor.name.clone()),
            ..AuditRecord::default()
        }
    }
}
