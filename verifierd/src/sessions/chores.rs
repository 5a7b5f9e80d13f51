//! Ends sessions whose end nobody told: those of this machine whose leader is gone, and those of hosts that were revoked.
//!
//! Sessions of other hosts are their agents' to look after: each answer to a report asks about some.

use std::sync::Arc;
use std::time::Duration;

use serve::{leader, stopped};
use tokio::sync::watch;
use wire::admin::HostState;

use super::record::Session;
use super::{End, SessionError, Sessions, stored};
use crate::hosts::Hosts;

/// How often it is looked: as often as an agent reports.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How many ends are handed in before they are waited for; then come the next. The store writes many as one, and has
/// room for logins beside them.
const ENDED_AT_ONCE_MAX: usize = 256;

/// Goes on until `stop` says so.
pub(crate) async fn look_after(
    sessions: Arc<Sessions>,
    is_revoked: impl Fn(&Session) -> bool + Send + 'static,
    mut stop: watch::Receiver<bool>,
) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            _ = every.tick() => sessions.end_those_over(&is_revoked).await,
        }
    }
}

/// Whether a session is of a host that was revoked.
pub(crate) fn is_of_revoked(hosts: &Hosts, session: &Session) -> bool {
    let host = session.place().and_then(|id| hosts.find(id));
    host.is_some_and(|host| host.record.state() == HostState::Revoked)
}

impl Sessions {
    /// One look.
    pub(super) async fn end_those_over(&self, is_revoked: &impl Fn(&Session) -> bool) {
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            self.all().into_iter().partition(|session| session.host.is_none());
        let look = tokio::task::spawn_blocking(move || {
            let is_over = |session: &Arc<Session>| leader::is_over(session.boot.as_deref(), session.leader);
            here.into_iter().filter(is_over).collect::<Vec<_>>()
        });
        // A look that panicked ended the process.
        let lost = look.await.unwrap_or_default().into_iter().map(|session| (session, End::Lost));
        let revoked = elsewhere.into_iter().filter(|session| is_revoked(session));
        let over: Vec<_> = lost.chain(revoked.map(|session| (session, End::HostRevoked))).collect();
        for some in over.chunks(ENDED_AT_ONCE_MAX) {
            if let Err(error) = self.end_at_once(some).await {
                tracing::warn!(%error, "a session that is over is still listed");
                return;
            }
        }
    }

    async fn end_at_once(&self, over: &[(Arc<Session>, End)]) -> Result<(), SessionError> {
        let now = self.clock.now();
        let ends = over.iter().map(|(session, end)| self.begin_end(session.place(), session.id, *end, now));
        for settled in ends.collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
            stored(settled).await?;
        }
        Ok(())
    }
}
