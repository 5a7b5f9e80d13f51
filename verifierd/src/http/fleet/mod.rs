//! The listener of the fleet: who a connection is by its certificate, and what it may ask.
//!
//! | module | holds |
//! | --- | --- |
//! | `tls` | the verifier's own certificate and what a handshake demands |
//! | `membership` | joining, renewing, reporting |
//! | `offline` | what hosts say of offline passwords |
//! | `sealed` | answers that the host's libraries cannot read |
//! | `refusals` | which refusals are logged |
//!
//! `wire::fleet` has the table of requests. A host is who its certificate says, whatever a header, a body or the name
//! that it called us by says; it is asked for anew at each request, since connections stay open for days.

mod membership;
mod offline;
mod refusals;
mod sealed;
mod tls;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::{Body as _, Incoming};
use hyper::header::HeaderValue;
use hyper::{Method, Request, Version};
use ledger::ReadError;
use rustls::pki_types::{CertificateDer, ServerName};
use serve::seats::FLEET_CONNECTIONS_MAX;
use serve::{Handle, Peer, Reply, Tally, Terms, body, error_reply};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use wire::error::ErrorCode;
use wire::fleet::{CHECKPOINT_BYTES_MAX, CHECKPOINT_HEADER, JOIN_PATH, RENEW_PATH, REPORT_PATH};
use wire::offline::OFFLINE_PATH;
use wire::session::{CLOSE_PATH, LEFT_OUT_PATH, OPEN_PATH};
use wire::verify::{BATCH_ITEMS_MAX, BATCH_PATH};

pub use tls::FleetError;

use super::login;
use super::wrong_secrets::WrongSecrets;
use crate::audit::witness::Judged;
use crate::config::FleetConfig;
use crate::dialogue::Dialogue;
use crate::hosts::presence::Seat;
use crate::hosts::{Host, HostCertificate, HostError, Registrar};
use crate::offline::Maker;
use refusals::Refusals;
use sealed::ReplyKey;
use tls::FleetTls;

/// Requests at once on one connection of a host: more logins than one machine has at a moment that is not an attack.
const HOST_STREAMS_MAX: u32 = 64;

/// Seconds in which whoever comes has shown a host's certificate, or has asked to join. A handshake takes two round trips,
/// of half a second each at the end of the world; the rest is for a packet that is lost, which is sent again after one.
const STRANGER_SECONDS_MAX: u32 = 3;

/// Answers the hosts of the fleet.
#[derive(Clone, Debug)]
pub struct Fleet(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    dialogue: Arc<Dialogue>,
    registrar: Arc<Registrar>,
    offline: Maker,
    tls: FleetTls,
    wrong_joins: WrongSecrets,
    refusals: Refusals,
}

/// Who is at the other end of a connection.
#[derive(Debug)]
pub struct Visitor {
    /// Where he comes from.
    source: IpAddr,
    /// The host that he is, by his certificate; nobody's, who may join and nothing else.
    host: Option<Shown>,
    /// Set when he was refused: the connection ends once he has been told.
    is_leaving: watch::Sender<bool>,
}

/// What a host showed.
#[derive(Debug)]
struct Shown {
    certificate: HostCertificate,
    /// None for whoever is refused anyway.
    seat: Option<Seat>,
    /// The checkpoint that was judged last on this connection.
    judged: Mutex<String>,
}

impl Fleet {
    /// Gets the listener's certificate ready, where a fleet is configured and has an authority.
    ///
    /// # Errors
    /// See [`FleetError`].
    pub fn serving(
        dialogue: &Arc<Dialogue>,
        registrar: &Arc<Registrar>,
        offline: &Maker,
    ) -> Result<Option<Self>, FleetError> {
        let config = dialogue.config.load();
        let (Some(fleet), Some(authority)) = (&config.fleet, registrar.authority()) else { return Ok(None) };
        let tls = FleetTls::new(Arc::clone(authority), Arc::clone(registrar.clock()), &fleet.names)?;
        let (dialogue, registrar) = (Arc::clone(dialogue), Arc::clone(registrar));
        let (wrong_joins, refusals) = Default::default();
        let offline = offline.clone();
        Ok(Some(Self(Arc::new(Parts { dialogue, registrar, offline, tls, wrong_joins, refusals }))))
    }

    /// Exchanges the verifier's own certificate when it is time, or when it is called by other names. Costs next to
    /// nothing otherwise.
    pub fn look_after(&self, names: &[ServerName<'static>]) {
        self.0.tls.look_after(names);
    }

    async fn answer_host(
        &self,
        visitor: &Visitor,
        shown: &Shown,
        tally: &Tally,
        request: Request<Incoming>,
    ) -> Reply {
        let registrar = &self.0.registrar;
        // First of all: a store that was put back may not know the host any more, or not its present certificate.
        if let Err(error) = self.look_at_checkpoint(shown, &request).await {
            tracing::error!(%error, "a checkpoint of the audit trail cannot be looked at");
            body::discard(request).await;
            return error_reply(ErrorCode::Unavailable, "the audit trail cannot be read".into());
        }
        let host = match registrar.recognize(shown.certificate).await {
            Ok(host) => host,
            Err(HostError::NotAdmitted(reason)) => {
                if self.0.refusals.is_logged(registrar.clock().elapsed()) {
                    let host = shown.certificate.host;
                    tracing::warn!(%host, source = %visitor.source, %reason, "a host was refused");
                }
                return visitor.dismiss(tally, request, reason.to_string()).await;
            }
            Err(error) => {
                body::discard(request).await;
                return membership::refused(&error);
            }
        };
        host.presence.see(registrar.clock().now());
        let key = ReplyKey::of(&request);
        let mut reply = self.answer_known(visitor, shown, &host, tally, request).await;
        if let Some(key) = key {
            reply = key.seal(reply);
        }
        if let Some(newest) = self.0.dialogue.witness.newest()
            && let Ok(text) = HeaderValue::from_str(&newest.text)
        {
            reply.headers_mut().insert(CHECKPOINT_HEADER, text);
        }
        reply
    }

    async fn answer_known(
        &self,
        visitor: &Visitor,
        shown: &Shown,
        host: &Arc<Host>,
        tally: &Tally,
        request: Request<Incoming>,
    ) -> Reply {
        let registrar = &self.0.registrar;
        match (request.method(), request.uri().path()) {
            (&Method::POST, RENEW_PATH) => {
                Box::pin(membership::renew(registrar, shown.certificate, request)).await
            }
            (&Method::POST, REPORT_PATH) => {
                let (dialogue, stands) = (&self.0.dialogue, self.0.standing_still());
                Box::pin(membership::report(registrar, host, dialogue, stands, request)).await
            }
            (&Method::POST, OFFLINE_PATH) if host.presence.may_tell(registrar.clock().elapsed()) => {
                let config = self.0.dialogue.config.load_full();
                let clock = registrar.clock().now();
                Box::pin(offline::answer(&self.0.offline, &config.offline, host, clock, request)).await
            }
            (&Method::POST, JOIN_PATH) => {
                visitor.dismiss(tally, request, "whoever shows a certificate has joined already".into()).await
            }
            (_, OPEN_PATH | CLOSE_PATH | LEFT_OUT_PATH | OFFLINE_PATH) => {
                if !host.presence.may_tell(registrar.clock().elapsed()) {
                    body::discard(request).await;
                    // Not 503: that would concern logins.
                    let message = "this host tells too much of sessions or offline passwords: it has to wait";
                    return error_reply(ErrorCode::Throttled, message.into());
                }
                login::answer(&self.0.dialogue, Some(&host.identity), request).await
            }
            _ if !host.presence.may_ask(registrar.clock().elapsed(), questions(&request)) => {
                if self.0.refusals.is_logged(registrar.clock().elapsed()) {
                    tracing::warn!(host = %host.identity.name, "a host asks too much: it has to wait");
                }
                body::discard(request).await;
                error_reply(ErrorCode::Unavailable, "this host asks too much: it has to wait".into())
            }
            _ => login::answer(&self.0.dialogue, Some(&host.identity), request).await,
        }
    }

    /// A host that has seen more of the audit trail than there is: from then on nothing is decided.
    async fn look_at_checkpoint(&self, shown: &Shown, request: &Request<Incoming>) -> Result<(), ReadError> {
        let text = request.headers().get(CHECKPOINT_HEADER).and_then(|text| text.to_str().ok());
        let Some(text) = text.filter(|text| text.len() <= CHECKPOINT_BYTES_MAX) else { return Ok(()) };
        let last = || shown.judged.lock().unwrap_or_else(PoisonError::into_inner);
        if *last() == text {
            return Ok(());
        }
        let registrar = &self.0.registrar;
        let (id, now) = (shown.certificate.host, registrar.clock().elapsed());
        let host = registrar.hosts().find(id);
        // It costs a look into the store: a host that shows a hundred different ones a second is heard with a few.
        if host.as_ref().is_some_and(|host| !host.presence.may_ask(now, 1)) {
            return Ok(());
        }
        let by = host.map_or_else(|| format!("with id {id}"), |host| host.record.name.to_string());
        let judged = self.0.dialogue.witness.judge(text, &by).await?;
        if judged == Judged::Foreign && self.0.refusals.is_logged(now) {
            tracing::warn!(host = by, "a host shows a checkpoint that this fleet's verifiers did not sign");
        }
        text.clone_into(&mut last());
        Ok(())
    }

    async fn answer_stranger(&self, visitor: &Visitor, tally: &Tally, request: Request<Incoming>) -> Reply {
        match (request.method(), request.uri().path()) {
            (&Method::POST, JOIN_PATH) => {
                let reply = membership::join(&self.0, visitor.source, tally, request).await;
                visitor.is_leaving.send_replace(true);
                reply
            }
            _ => {
                let message = "a host's certificate is needed: without one a host can only join".into();
                visitor.dismiss(tally, request, message).await
            }
        }
    }
}

/// How many questions a request asks: one, or those of a batch, as many as its bytes have room for.
fn questions(request: &Request<Incoming>) -> u32 {
    /// Bytes of an item with the shortest names there are.
    const ITEM_BYTES: u64 = 80;
    if request.uri().path() != BATCH_PATH {
        return 1;
    }
    let bytes = request.body().size_hint().upper().unwrap_or(wire::BODY_BYTES_MAX as u64);
    u32::try_from(bytes / ITEM_BYTES).unwrap_or(u32::MAX).clamp(1, BATCH_ITEMS_MAX as u32)
}

impl Parts {
    /// Why no login is decided, for hosts.
    fn standing_still(&self) -> Option<String> {
        let why = "its store is an older copy than the one that hosts have seen: see `postern status` there";
        self.dialogue.witness.is_behind().then(|| why.to_owned())
    }

    /// Where agents find this verifier.
    fn found_at(&self) -> Vec<String> {
        self.dialogue.config.load().fleet.as_ref().map(FleetConfig::urls).unwrap_or_default()
    }
}

impl Visitor {
    /// Says why not, and has the connection end.
    async fn dismiss(&self, tally: &Tally, request: Request<Incoming>, message: String) -> Reply {
        tally.count_without_key();
        self.is_leaving.send_replace(true);
        body::discard(request).await;
        error_reply(ErrorCode::NotAllowed, message)
    }
}

impl Handle for Fleet {
    type Guest = Arc<Visitor>;

    fn welcome(&self, peer: Peer, certificates: Option<&[CertificateDer<'static>]>) -> Option<Arc<Visitor>> {
        let Peer::Source(source) = peer else { return None };
        let host = match certificates.and_then(<[_]>::first) {
            None => None,
            Some(certificate) => {
                // The handshake has read it in the same way.
                let certificate = HostCertificate::read(certificate).ok()?;
                let registrar = &self.0.registrar;
                // A former certificate takes no seat from the present one.
                let admitted = registrar.hosts().admit(&certificate, &**registrar.clock());
                let seat = admitted.ok().map(|(host, _)| host.presence.enter());
                Some(Shown { certificate, seat, judged: Mutex::default() })
            }
        };
        Some(Arc::new(Visitor { source, host, is_leaving: watch::Sender::new(false) }))
    }

    async fn answer(&self, visitor: &Arc<Visitor>, tally: &Tally, request: Request<Incoming>) -> Reply {
        if request.version() != Version::HTTP_2 {
            // Somebody who did not say in the handshake what he speaks.
            visitor.is_leaving.send_replace(true);
            return error_reply(ErrorCode::Malformed, "the fleet's listener speaks HTTP/2 only".into());
        }
        match &visitor.host {
            Some(shown) => self.answer_host(visitor, shown, tally, request).await,
            None => Box::pin(self.answer_stranger(visitor, tally, request)).await,
        }
    }

    async fn farewell(&self, visitor: &Arc<Visitor>) {
        let mut leaving = visitor.is_leaving.subscribe();
        // The sender lives as long as the visitor.
        let dismissed = async { drop(leaving.wait_for(|is_leaving| *is_leaving).await) };
        let Some(Shown { certificate, seat: Some(seat), .. }) = &visitor.host else { return dismissed.await };
        let registrar = &self.0.registrar;
        let is_admitted = || registrar.hosts().admit(certificate, &**registrar.clock()).is_ok();
        tokio::select! {
            () = dismissed => {}
            () = seat.is_lost(is_admitted) => {}
        }
    }

    /// A stranger has one thing to ask. A host asks about the logins of one machine.
    fn streams_max(&self, visitor: &Arc<Visitor>) -> u32 {
        if visitor.host.is_some() { HOST_STREAMS_MAX } else { 1 }
    }

    /// A host has its own seats, wherever it comes from: a site's hosts may share one address.
    fn is_counted_by_name(&self, visitor: &Arc<Visitor>) -> bool {
        matches!(&visitor.host, Some(Shown { seat: Some(_), .. }))
    }

    fn tls(&self) -> Option<TlsAcceptor> {
        Some(self.0.tls.acceptor())
    }

    fn is_multiplexed(&self) -> bool {
        true
    }

    fn terms(&self, _: Peer) -> Terms {
        Terms { stranger: Some(STRANGER_SECONDS_MAX), ..Terms::BOUNDED }
    }

    fn connections_max(&self) -> usize {
        FLEET_CONNECTIONS_MAX
    }

    fn has_strangers(&self) -> bool {
        true
    }
}

/// The outside's word for an error.
pub(super) fn code_of(error: &HostError) -> ErrorCode {
    match error {
        HostError::NoSuchHost { .. } => ErrorCode::NotFound,
        HostError::NameTaken { .. }
        | HostError::Joined { .. }
        | HostError::Revoked { .. }
        | HostError::TooManyNames { .. }
        | HostError::TooManyHosts
        | HostError::NoFleet
        | HostError::KeyInUse => ErrorCode::Conflict,
        HostError::WrongSecret | HostError::NotAdmitted(_) => ErrorCode::NotAllowed,
        HostError::TooManyRenewals => ErrorCode::Throttled,
        HostError::Authority(_) | HostError::NotStored { .. } | HostError::Random(_) | HostError::Busy => {
            ErrorCode::Unavailable
        }
    }
}

#[cfg(test)]
mod tests;
