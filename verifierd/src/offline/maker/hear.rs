//! What a host says of its offline passwords, and what it is told.

use std::sync::Arc;

use ledger::{Change, Entry};

use super::{HostKeyOf, MakeError, Maker, Used};
use crate::audit::rfc3339;
use crate::clock::UnixTime;
use crate::hosts::HostIdentity;
use crate::offline::record::{HostRecord, PasswordRecord, Standing};

/// A host that asks for another key again and again gets one in this many seconds: each is on record for ever.
const KEY_EVERY: UnixTime = 60;

/// How far the clock of a host may be behind ours: as far as it can be off before a deadline means another day to it
/// (docs/decisions/0029).
const CLOCKS_APART_MAX: UnixTime = 64 * 3_600;

/// What a host says.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// The number of the key that it can check with.
    pub epoch: Option<u32>,
    /// How often what it keeps under that key has changed.
    pub generation: u64,
    /// The highest counter that it takes for used or revoked.
    pub highest: u64,
    /// Its time zone.
    pub time_zone: Option<String>,
    /// What was used under that key.
    pub uses: Vec<Used>,
}

/// What it is told.
#[derive(Debug, Default)]
pub struct Heard {
    /// Another key.
    pub key: Option<HostKeyOf>,
    /// Counters whose use is on record, or need not be.
    pub noted: Vec<u64>,
    /// Counters that open nothing any more.
    pub revoked: Vec<u64>,
}

impl Maker {
    /// Takes note of what a host says. Said again, it changes nothing.
    ///
    /// * `gives_keys`: whether hosts are given keys: where they are not, uses are noted all the same.
    ///
    /// # Errors
    /// See [`MakeError`]. What is on record by then stays so.
    pub async fn hear(&self, host: HostIdentity, said: Said, gives_keys: bool) -> Result<Heard, MakeError> {
        let this = self.clone();
        self.in_turn(async move {
            let Said { epoch, generation, highest, time_zone, uses } = said;
            let mut heard = Heard::default();
            for used in uses {
                let counter = used.counter;
                match this.note_use(&host, used).await {
                    Ok(()) => heard.noted.push(counter),
                    // It opened nothing that we made: a host whose root plays with it, or one that was here before us.
                    Err(MakeError::NoSuchPassword { .. }) => {
                        tracing::warn!(host = %host.name, counter, "a host tells of an offline password that nobody made");
                        heard.noted.push(counter);
                    }
                    Err(error) => return Err(error),
                }
            }
            let known = this.table.host(host.id);
            match known.filter(|known| epoch == Some(known.epoch) && generation >= known.generation) {
                Some(known) => this.note_state(known, (generation, highest), time_zone).await?,
                None if gives_keys => heard.key = this.next_key(&host, epoch, time_zone).await?,
                None => {}
            }
            heard.revoked = this.revoked(&host, epoch);
            Ok(heard)
        })
        .await
    }

    /// Takes note that a host has its key, how far what it keeps has come, and where it is.
    async fn note_state(
        &self,
        known: HostRecord,
        (generation, highest): (u64, u64),
        time_zone: Option<String>,
    ) -> Result<(), MakeError> {
        let now = known.held(generation, highest, time_zone);
        if now != known {
            let entry = Entry { changes: vec![now.put()], ..Entry::default() };
            self.store_quietly(entry).await?;
            self.table.put_host(now);
        }
        Ok(())
    }

    /// Another key, unless it was given one just before. What was made for it under the one before opens nothing once it has
    /// this one.
    async fn next_key(
        &self,
        host: &HostIdentity,
        said: Option<u32>,
        time_zone: Option<String>,
    ) -> Result<Option<HostKeyOf>, MakeError> {
        let (known, now) = (self.table.host(host.id), self.tools.clock.now());
        if known.as_ref().is_some_and(|known| now < known.given.saturating_add(KEY_EVERY)) {
            return Ok(None);
        }
        let reason = match (&known, said) {
            (None, _) => "first",
            (Some(known), Some(epoch)) if epoch == known.epoch => "put_back",
            (Some(_), Some(_)) => "former",
            (Some(_), None) => "lost",
        };
        let epoch = known.map_or(1, |known| known.epoch.saturating_add(1));
        let mut record = HostRecord::new(host.id, epoch, now);
        record.time_zone = time_zone;
        let counter = Change::AddCredential { credential: self.counter(host, epoch), value: 0 };
        let event = self.event("offline_key_given", reason, host, format!("key {epoch}"));
        self.store(Entry { claim: None, changes: vec![counter, record.put()], audit: None }, event).await?;
        self.table.put_host(record);
        Ok(Some(HostKeyOf { epoch, key: self.key(host, epoch) }))
    }

    /// Takes note of what a host says of a password. Said again, it changes nothing; a password that nobody made, or of
    /// another key, is none.
    async fn note_use(&self, host: &HostIdentity, used: Used) -> Result<(), MakeError> {
        let Used { epoch, counter, user, service, at, until } = used;
        let known = self.table.find(host.id, epoch, counter);
        let no_such = || MakeError::NoSuchPassword { host: host.name.to_string(), counter };
        let known = known.ok_or_else(no_such)?;
        if matches!(known.standing, Standing::Used { .. }) {
            return Ok(());
        }
        let was_revoked = matches!(known.standing, Standing::Revoked { .. });
        let mut event = self.event(
            "offline_password_used",
            if was_revoked { "revoked" } else { "host" },
            host,
            format!("password {counter} under key {epoch}, at {}, until {}", rfc3339(at), rfc3339(until)),
        );
        (event.user, event.service) = (Some(user.clone()), Some(service.clone()));
        let record = known.with(Standing::Used { user, service, at, until });
        self.store(Entry { claim: None, changes: vec![record.put()], audit: None }, event).await?;
        self.table.put(record);
        Ok(())
    }

    /// Those of a key that are revoked, or whose time is over by any clock, the newest first: as many as a host could take for
    /// unused ones.
    fn revoked(&self, host: &HostIdentity, epoch: Option<u32>) -> Vec<u64> {
        let now = self.tools.clock.now();
        let is_over = |record: &PasswordRecord| now > record.usable_until().saturating_add(CLOCKS_APART_MAX);
        let is_revoked = |record: &&Arc<PasswordRecord>| {
            let is_dead = match record.standing {
                Standing::Revoked { .. } => true,
                Standing::Open => is_over(record),
                Standing::Used { .. } => false,
            };
            is_dead && Some(record.epoch) == epoch
        };
        let all = self.of_host(host);
        let revoked = all.iter().filter(is_revoked).map(|record| record.counter);
        revoked.take(wire::offline::REVOKED_MAX).collect()
    }
}
