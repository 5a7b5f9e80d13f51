//! What hosts do: join, renew their certificates, and begin to use the next one.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{PublicKey, PublicKeyData};

use super::{HostError, Registrar};
use crate::hosts::HostId;
use crate::hosts::authority::Issued;
use crate::hosts::certificate::{HostCertificate, KeyHash};
use crate::hosts::record::{HostKey, HostRecord, JoinTicket};
use crate::hosts::secret::JoinSecret;
use crate::hosts::table::{Host, Shown};

/// Most keys of one host that were certified and not shown yet. A reply that got lost leaves one behind; which of
/// several the host did get, nobody here knows. The oldest of too many is forgotten.
pub const ISSUED_MAX: usize = 4;

/// A host asks to be let in.
#[derive(Debug)]
pub struct JoinRequest {
    /// What it was given; none where it is not even of the right form.
    pub secret: Option<JoinSecret>,
    /// Its key.
    pub key: PublicKey,
    /// Where it asks from.
    pub source: IpAddr,
}

/// A host and its next certificate.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The host.
    pub host: Arc<Host>,
    /// The certificate.
    pub issued: Issued,
}

impl Registrar {
    /// Lets one key in. Whoever asks again with the same key gets the same answer. A try with a wrong secret is refused, and [`Self::refuse_join`] tells of it.
    ///
    /// # Errors
    /// See [`HostError`].
    pub async fn join(self: &Arc<Self>, request: JoinRequest) -> Result<Certified, HostError> {
        let me = Arc::clone(self);
        // Whoever guesses keeps nobody from his turn.
        let secret = request.secret.as_ref().map(|secret| secret.hash(&self.tools.join_hasher));
        let is_known = secret.and_then(|secret| self.tools.hosts.find_by_ticket(secret)).is_some();
        if !is_known {
            return Err(HostError::WrongSecret);
        }
        self.in_turn(async move { me.join_in_turn(request).await }).await
    }

    /// Tells of a join that was refused.
    ///
    /// * `reason`: in one word.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn refuse_join(
        &self,
        source: IpAddr,
        reason: &str,
        detail: Option<String>,
    ) -> Result<(), HostError> {
        let event = self.event("host_join_refused", reason);
        let source = source.to_string();
        self.commit(Vec::new(), crate::audit::AuditRecord { rhost: Some(source), detail, ..event }).await
    }

    /// Gives a host its next certificate. The present one is good until the next one is shown.
    ///
    /// * `shown`: with what it asks.
    ///
    /// # Errors
    /// See [`HostError`].
    pub async fn renew(
        self: &Arc<Self>,
        shown: HostCertificate,
        key: PublicKey,
    ) -> Result<Certified, HostError> {
        let host = self.find_by_id(shown.host)?;
        if !host.presence.may_renew(self.tools.clock.elapsed()) {
            return Err(HostError::TooManyRenewals);
        }
        let me = Arc::clone(self);
        self.in_turn(async move { me.renew_in_turn(shown, &key).await }).await
    }

    /// The host of a certificate. One that shows its next key for the first time is known by that alone from now on,
    /// durably, before it is answered.
    ///
    /// # Errors
    /// See [`HostError`].
    pub async fn recognize(self: &Arc<Self>, shown: HostCertificate) -> Result<Arc<Host>, HostError> {
        match self.tools.hosts.admit(&shown, &*self.tools.clock)? {
            (host, Shown::Present) => Ok(host),
            (_, Shown::Next) => {
                let me = Arc::clone(self);
                self.in_turn(async move { me.change_key_in_turn(shown).await }).await
            }
        }
    }

    async fn join_in_turn(&self, request: JoinRequest) -> Result<Certified, HostError> {
        let JoinRequest { secret, key, source } = request;
        let secret = secret.ok_or(HostError::WrongSecret)?.hash(&self.tools.join_hasher);
        let host = self.tools.hosts.find_by_ticket(secret).ok_or(HostError::WrongSecret)?;
        // A host that was revoked has none.
        let ticket = *host.join_ticket(&*self.tools.clock).ok_or(HostError::WrongSecret)?;
        let hash = hash_of(&key);
        match ticket.used_by {
            None => self.check_new(hash)?,
            // The same answer again, as often as a certificate may be renewed: each is a record.
            Some(first)
                if first == hash
                    && host.record.present.is_some_and(|present| present.hash == hash)
                    && host.presence.may_renew(self.tools.clock.elapsed()) => {}
            Some(_) => return Err(HostError::WrongSecret),
        }
        let issued = self.certify(host.record.id, &key)?;
        let record = HostRecord {
            joined: Some(self.tools.clock.now()),
            join: Some(JoinTicket { used_by: Some(hash), ..ticket }),
            present: Some(HostKey { hash, until: issued.not_after }),
            issued: Vec::new(),
            ..host.record.clone()
        };
        let mut event = self.event("host_joined", "join_secret");
        event.rhost = Some(source.to_string());
        let host = self.change(record, event).await?;
        Ok(Certified { host, issued })
    }

    async fn renew_in_turn(&self, shown: HostCertificate, key: &PublicKey) -> Result<Certified, HostError> {
        // Asked again: it may have been revoked while it waited.
        let (host, _) = self.tools.hosts.admit(&shown, &*self.tools.clock)?;
        let hash = hash_of(key);
        let mut record = host.record.clone();
        // Asked for once more: the answer got lost.
        let before = record.issued.len();
        record.issued.retain(|known| known.hash != hash);
        if record.issued.len() == before {
            self.check_new(hash)?;
        }
        let issued = self.certify(host.record.id, key)?;
        record.issued.push(HostKey { hash, until: issued.not_after });
        let surplus = record.issued.len().saturating_sub(ISSUED_MAX);
        record.issued.drain(..surplus);
        let host = self.change(record, self.event("host_certified", "renewal")).await?;
        Ok(Certified { host, issued })
    }

    async fn change_key_in_turn(&self, shown: HostCertificate) -> Result<Arc<Host>, HostError> {
        let (host, which) = self.tools.hosts.admit(&shown, &*self.tools.clock)?;
        if which == Shown::Present {
            // Another connection of the host's was faster.
            return Ok(host);
        }
        let next = host.record.issued.iter().find(|next| next.hash == shown.key).copied();
        let record = HostRecord { present: next, issued: Vec::new(), ..host.record.clone() };
        self.change(record, self.event("host_key_changed", "renewal")).await
    }

    fn certify(&self, host: HostId, key: &PublicKey) -> Result<Issued, HostError> {
        let authority = self.authority().ok_or(HostError::NoFleet)?;
        Ok(authority.certify_host(host, key, self.tools.clock.now())?)
    }

    fn check_new(&self, key: KeyHash) -> Result<(), HostError> {
        if self.tools.hosts.has_key(key) { Err(HostError::KeyInUse) } else { Ok(()) }
    }
}

/// The hash that the key's certificate will have.
fn hash_of(key: &PublicKey) -> KeyHash {
    KeyHash::of(&key.subject_public_key_info())
}
