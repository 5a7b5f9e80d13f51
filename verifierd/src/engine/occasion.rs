//! On what occasion a code is typed: at a login, or when somebody administers.

use crate::accounts::Actor;
use crate::audit::AuditRecord;
use crate::engine::Source;
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
}

impl Occasion {
    /// A login.
    pub fn login(login: Login) -> Self {
        let source = login.source();
        Self { login, event: LOGIN, actor: None, source }
    }

    /// Something that an administrator does for a user, with a code that the user tells him.
    pub fn administration(event: &'static str, user: &str, by: Actor) -> Self {
        let login = Login::at(user, COMMAND);
        Self { login, event, actor: Some(by), source: Source::administration() }
    }

    /// Something that a user does for himself, on this machine.
    pub fn self_service(event: &'static str, user: &str, by: Actor) -> Self {
        let login = Login::at(user, COMMAND);
        let source = login.source();
        Self { login, event, actor: Some(by), source }
    }

    /// Whether it is a login.
    pub fn is_login(&self) -> bool {
        self.event == LOGIN
    }

    /// Where the code comes from, as throttles count.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// A record with everything that is known about the occasion.
    pub fn record(&self) -> AuditRecord {
        let login = &self.login;
        AuditRecord {
            event: self.event.into(),
            user: Some(login.user.clone()),
            service: Some(login.service.clone()),
            rhost: login.rhost.clone(),
            tty: login.tty.clone(),
            ruser: login.ruser.clone(),
            actor: self.actor.as_ref().map(|actor| actor.name.clone()),
            ..AuditRecord::default()
        }
    }
}
