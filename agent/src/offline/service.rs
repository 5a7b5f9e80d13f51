//! The service that checks offline passwords: a process of its own, without a network, behind a socket of root's.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use rustix::time::{ClockId, clock_gettime};
use rustls_pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use serve::{Handle, Peer, Reply, Tally, Terms, body, error_reply, json_reply};
use wire::error::ErrorCode;
use wire::offline::OfflineOrders;
use zeroize::{Zeroize as _, Zeroizing};

use super::desk::{Opened, Refused};
use super::grants::Login;
use super::keeper::Keeper;
use super::messages::{BEGIN_PATH, Begin, Begun, ORDERS_PATH, REDEEM_PATH, Redeem, Redeemed, STANDING_PATH};
use super::moment::{BootId, Moment};
use crate::clock::Clock;

/// Where the kernel names the present start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Said of whatever is wrong about a password: why, the log says.
const WRONG: &str = "That did not work.";

/// Answers the agent.
#[derive(Clone, Debug)]
pub struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keeper: Keeper,
    clock: Arc<dyn Clock>,
}

impl Service {
    /// * `clock`: the wall clock.
    pub fn new(keeper: Keeper, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { keeper, clock }))
    }
}

impl Handle for Service {
    type Guest = ();

    /// The listener has admitted nobody but root.
    fn welcome(&self, _: Peer, _: Option<&[CertificateDer<'static>]>) -> Option<()> {
        Some(())
    }

    async fn answer(&self, (): &(), _: &Tally, request: Request<Incoming>) -> Reply {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let json = match body::read(request).await {
            Ok(json) => Zeroizing::new(json.to_vec()),
            Err(reply) => return reply,
        };
        let inner = Arc::clone(&self.0);
        // Each waits for the disk.
        let answered = tokio::task::spawn_blocking(move || inner.answer(&method, &path, &json)).await;
        answered.unwrap_or_else(|_| {
            error_reply(ErrorCode::Unavailable, "the work on it ended without an answer".into())
        })
    }

    fn is_multiplexed(&self) -> bool {
        false
    }

    fn terms(&self, _: Peer) -> Terms {
        Terms::BOUNDED
    }
}

impl Inner {
    fn answer(&self, method: &Method, path: &str, json: &[u8]) -> Reply {
        let Some(moment) = self.moment() else {
            return error_reply(
                ErrorCode::Unavailable,
                "the kernel does not say how long the machine runs".into(),
            );
        };
        match (method, path) {
            (&Method::GET, STANDING_PATH) => json_reply(StatusCode::OK, &self.keeper.standing(&moment)),
            (&Method::POST, ORDERS_PATH) => with(json, |orders| self.obey(orders, &moment)),
            (&Method::POST, BEGIN_PATH) => {
                with(json, |begin: Begin| json_reply(StatusCode::OK, &self.begin(&begin, &moment)))
            }
            (&Method::POST, REDEEM_PATH) => with(json, |mut redeem: Redeem| {
                let reply = json_reply(StatusCode::OK, &self.redeem(&redeem, &moment));
                redeem.typed.zeroize();
                reply
            }),
            _ => error_reply(ErrorCode::NotFound, format!("nothing is at {path:?} on this socket")),
        }
    }

    fn obey(&self, mut orders: OfflineOrders, moment: &Moment) -> Reply {
        let obeyed = self.keeper.obey(&orders, moment);
        if let Some(key) = &mut orders.key {
            key.key.zeroize();
        }
        match obeyed {
            Ok(()) => json_reply(StatusCode::OK, &self.keeper.standing(moment)),
            Err(error) => {
                tracing::error!(%error, "what a verifier says of offline passwords was not taken over");
                error_reply(ErrorCode::Unavailable, error.to_string())
            }
        }
    }

    fn begin(&self, begin: &Begin, moment: &Moment) -> Begun {
        let Some(desk) = self.keeper.desk() else { return Begun::Closed };
        match desk.granted(&self.login(&begin.user, &begin.service), moment) {
            Ok(Some(until)) => Begun::Granted { until, may_be_refused: self.keeper.asks_within_grants() },
            Ok(None) if begin.is_online => Begun::Closed,
            Ok(None) => Begun::Ask { contact: self.keeper.contact() },
            Err(error) => {
                tracing::error!(%error, "no offline password can be checked");
                Begun::Closed
            }
        }
    }

    fn redeem(&self, redeem: &Redeem, moment: &Moment) -> Redeemed {
        let Some(desk) = self.keeper.desk() else { return Redeemed::Refused { text: WRONG.into() } };
        let (user, service) = (&redeem.user, &redeem.service);
        match desk.redeem(&self.login(user, service), redeem.place, &redeem.typed, moment) {
            Ok(Opened::Access { until }) => {
                tracing::warn!(?user, ?service, until, "let in by an offline password");
                Redeemed::Access { until }
            }
            Ok(Opened::Again) => {
                tracing::warn!(?user, ?service, "an offline password has ended a wait");
                Redeemed::Again
            }
            Err(refused) => {
                tracing::warn!(?user, ?service, %refused, "an offline password was refused");
                Redeemed::Refused { text: said(&refused, self.keeper.contact().as_deref()) }
            }
        }
    }

    fn login<'a>(&self, user: &'a str, service: &'a str) -> Login<'a> {
        Login { user, service, is_file_transfer: self.keeper.is_file_transfer(service) }
    }

    /// What the clocks say; `None` where the kernel does not say which start of the machine this is.
    fn moment(&self) -> Option<Moment> {
        let boot = std::fs::read_to_string(BOOT_ID).ok()?.trim().to_owned();
        let elapsed = clock_gettime(ClockId::Boottime);
        let elapsed =
            Duration::new(u64::try_from(elapsed.tv_sec).ok()?, u32::try_from(elapsed.tv_nsec).ok()?);
        Some(Moment { wall: self.clock.now(), boot: BootId(boot), elapsed })
    }
}

/// What whoever typed it reads: what helps him with his typing, and nothing of the password.
///
/// * `contact`: whom to call, where he has to wait.
fn said(refused: &Refused, contact: Option<&str>) -> String {
    match refused {
        Refused::Typing(error) => format!("That is no offline password: {error}."),
        Refused::TooMany { left } => {
            let contact = contact.map(|contact| format!(" {contact}")).unwrap_or_default();
            format!("Too many tries: wait {} min.{contact}", left.as_secs().div_ceil(60))
        }
        Refused::ClockBehind { .. } => "The clock of this host is wrong: it has to be set first.".into(),
        Refused::Password(_) | Refused::NoResets | Refused::Store(_) => WRONG.into(),
    }
}

fn with<T: DeserializeOwned>(json: &[u8], then: impl FnOnce(T) -> Reply) -> Reply {
    match serde_json::from_slice(json) {
        Ok(message) => then(message),
        Err(_) => error_reply(ErrorCode::Malformed, "the body is not a request of this version".into()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
