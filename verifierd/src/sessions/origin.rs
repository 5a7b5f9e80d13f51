//! Whether the login that a session names is one: only the audit trail says so.

use std::sync::Arc;

use ledger::ReadError;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Sessions;
use super::record::{Origin, Session};
use crate::audit::{self, AuditRecord, Reference};

/// How long after its login a session may begin, in seconds: other modules ask for a password after ours, and a new one
/// that has expired, while people look for it.
const AFTER_LOGIN_SECONDS_MAX: u64 = 10 * 60;

/// How much earlier than its login a session may seem to have begun: an agent tells whole seconds, rounded down.
const BEFORE_LOGIN_SECONDS_MAX: u64 = 2;

/// Services that open the session of somebody else than whom they ask: there PAM_RUSER is who calls, as the program
/// itself knows. Elsewhere it is what the client says (rlogin), or a host's root made it up.
const CHANGING_THE_USER: [&str; 7] = ["sudo", "sudo-i", "su", "su-l", "runuser", "runuser-l", "doas"];

impl Sessions {
    /// The login with this reference, if it led to this session; none otherwise, whatever the host says.
    ///
    /// # Errors
    /// When the trail cannot be read at this place.
    pub(super) async fn look_for_origin(
        &self,
        claimed: &str,
        session: &Session,
    ) -> Result<Option<Origin>, ReadError> {
        let Some(reference) = Reference::parse(claimed) else { return Ok(None) };
        let _turn = self.looks.acquire().await.map_err(|_| ReadError::Closed)?;
        let ledger = Arc::clone(&self.ledger);
        let looked = tokio::task::spawn_blocking(move || ledger.audit_by_reference(reference.bytes()));
        let line = looked.await.map_err(|_| ReadError::Closed)??;
        let record = line.map(|line| audit::record(&line)).filter(|record| led_to(record, session));
        let Some(AuditRecord { reason, token, person, .. }) = record else { return Ok(None) };
        let email = match &person {
            Some(login) => self.email_of(login).await,
            None => None,
        };
        Ok(Some(Origin { reference: reference.to_string(), reason, token, person, email }))
    }

    /// Where mails to a person go, as it is a moment after his login: later the name may be somebody else's. A directory that
    /// does not answer leaves it out.
    async fn email_of(&self, login: &str) -> Option<String> {
        let person = self.people.by_login(login).await.ok().flatten()?;
        person.email.as_ref().map(ToString::to_string)
    }
}

/// Whether a record is of a login that let this user in, at this service and host, a moment before. sudo asks the code of
/// whoever calls it (PAM_RUSER), and opens the session of whom he becomes.
fn led_to(record: &AuditRecord, session: &Session) -> bool {
    let let_in = matches!(record.verdict.as_deref(), Some("allow" | "not_required"));
    let host = session.host.as_ref().map(|host| host.name.as_str());
    let asker = session.ruser.as_ref().filter(|_| CHANGING_THE_USER.contains(&session.service.as_str()));
    record.event == "login"
        && let_in
        && record.user.is_some()
        && (record.user.as_ref() == Some(&session.user) || record.user.as_ref() == asker)
        && record.service.as_ref() == Some(&session.service)
        && record.host.as_deref() == host
        && unix_time(&record.at).is_some_and(|at| {
            (at.saturating_sub(BEFORE_LOGIN_SECONDS_MAX)..=at.saturating_add(AFTER_LOGIN_SECONDS_MAX))
                .contains(&session.since)
        })
}

/// The time of a record, seconds since the Unix epoch.
fn unix_time(text: &str) -> Option<u64> {
    u64::try_from(OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::super::record::SessionId;
    use super::*;
    use crate::audit::rfc3339;
    use crate::hosts::{HostId, HostIdentity, HostName};

    const LOGIN: u64 = 1_800_000_000;

    fn session(since: u64) -> Session {
        let name = HostName::new("web1").unwrap();
        let host = HostIdentity { id: HostId::from_random([1; 16]), name, group: None };
        let id = SessionId::parse(&"0".repeat(32)).unwrap();
        Session { user: "alice".into(), service: "sshd".into(), ..Session::new(id, Some(host), since) }
    }

    fn record() -> AuditRecord {
        AuditRecord {
            at: rfc3339(LOGIN),
            event: "login".into(),
            verdict: Some("allow".into()),
            user: Some("alice".into()),
            service: Some("sshd".into()),
            host: Some("web1".into()),
            ..AuditRecord::default()
        }
    }

    // covers: R10
    #[test]
    fn only_a_login_that_let_this_user_in_here_a_moment_before_led_to_a_session() {
        assert!(led_to(&record(), &session(LOGIN)) && led_to(&record(), &session(LOGIN + 600)));
        assert!(led_to(
            &AuditRecord { verdict: Some("not_required".into()), ..record() },
            &session(LOGIN + 1)
        ));
        let others = [
            AuditRecord { event: "user_unlocked".into(), ..record() },
            AuditRecord { verdict: Some("deny".into()), ..record() },
            AuditRecord { verdict: Some("unavailable".into()), ..record() },
            AuditRecord { verdict: None, ..record() },
            AuditRecord { user: Some("bob".into()), ..record() },
            AuditRecord { service: Some("sudo".into()), ..record() },
            AuditRecord { host: Some("web2".into()), ..record() },
            AuditRecord { host: None, ..record() },
            AuditRecord { at: "yesterday".into(), ..record() },
        ];
        for other in others {
            assert!(!led_to(&other, &session(LOGIN)), "{other:?}");
        }
        let asked_by = |who: &str, service: &str| {
            let (user, service) = ("root".into(), service.into());
            Session { user, service, ruser: Some(who.into()), ..session(LOGIN) }
        };
        let at = |service: &str| AuditRecord { service: Some(service.into()), ..record() };
        for service in ["sudo", "su-l"] {
            assert!(led_to(&at(service), &asked_by("alice", service)), "{service}");
            assert!(!led_to(&at(service), &asked_by("bob", service)), "{service}");
        }
        for service in ["sshd", "login", "rlogin"] {
            assert!(!led_to(&at(service), &asked_by("alice", service)), "{service} changes no user");
        }
        let nobodys = AuditRecord { user: None, ..record() };
        assert!(!led_to(&nobodys, &session(LOGIN)), "a record of nobody is nobody's");
        for since in [LOGIN + 601, LOGIN - 3, 0, u64::MAX] {
            assert!(!led_to(&record(), &session(since)), "{since}");
        }
        let here = Session { host: None, ..session(LOGIN) };
        assert!(!led_to(&record(), &here) && led_to(&AuditRecord { host: None, ..record() }, &here));
    }
}
