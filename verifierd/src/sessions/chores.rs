//! Ends sessions whose end nobody told: those of this machine whose leader is gone, and those of hosts that were revoked.
//!
//! Sessions of other hosts are their agents' to look after: each answer to a report asks about some.

use std::sync::Arc;
use std::time::Duration;

use serve::{leader, stopped};
use tokio::sync::watch;
use wire::admin::HostState;

use super::record::Session;
use super::{End, Sessions};
use crate::hosts::Hosts;

/// How often it is looked: as often as an agent reports.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How many sessions one look ends; the next one goes on. After a machine has started anew none of them is left.
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
        let over = lost.chain(revoked.map(|session| (session, End::HostRevoked)));
        for (session, end) in over.take(ENDED_AT_ONCE_MAX) {
            if let Err(error) = self.end(session.place(), session.id, end, self.clock.now()).await {
                tracing::warn!(%error, "a session that is over is still listed");
                return;
            }
        }
    }
}
