//! What a host says of its offline passwords, and what it is told.

use ledger::{Change, Entry};
use wire::offline::UNIVERSAL_FROM;

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
    /// Counters whose grants end.
    pub ended: Vec<u64>,
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
            let (mut heard, mut is_doubtful) = (Heard::default(), false);
            for used in uses {
                let counter = used.counter;
                match this.note_use(&host, used).await {
                    Ok(Noted::Once) => heard.noted.push(counter),
                    Ok(Noted::Again) => {
                        heard.noted.push(counter);
                        is_doubtful = true;
                    }
                    // It opened nothing that we made: a host whose root plays with it, or one that was here before us.
                    Err(MakeError::NoSuchPassword { .. }) => {
                        tracing::warn!(host = %host.name, counter, "a host tells of an offline password that nobody made");
                        heard.noted.push(counter);
                    }
                    Err(error) => return Err(error),
                }
            }
            let known = this.shelf.table.host(host.id);
            let goes_on = |known: &HostRecord| {
                let is_present = epoch == Some(known.epoch) && !is_doubtful;
                is_present && generation >= known.generation && highest >= known.highest
            };
            match known.filter(goes_on) {
                Some(known) => this.note_state(known, (generation, highest), time_zone).await?,
                None if gives_keys => heard.key = this.next_key(&host, epoch, time_zone).await?,
                None => {}
            }
            heard.revoked = this.dead(&host, epoch);
            heard.ended = this.ended(&host, epoch);
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
            self.shelf.table.put_host(now);
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
        let (known, now) = (self.shelf.table.host(host.id), self.tools.clock.now());
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
        self.shelf.table.put_host(record);
        Ok(Some(HostKeyOf { epoch, key: self.shelf.key(host.id, epoch) }))
    }

    /// Takes note of what a host says of a password. Said again, it changes nothing; a password that nobody made, or of
    /// another key, is none.
    async fn note_use(&self, host: &HostIdentity, used: Used) -> Result<Noted, MakeError> {
        let Used { epoch, counter, user, service, at, until } = used;
        if counter >= UNIVERSAL_FROM {
            let used = Used { epoch, counter, user, service, at, until };
            return self.note_universal(host, used).await.map(|()| Noted::Once);
        }
        let known = self.shelf.table.find(host.id, epoch, counter);
        let no_such = || MakeError::NoSuchPassword { host: host.name.to_string(), counter };
        let known = known.ok_or_else(no_such)?;
        if let Standing::Used { user: before, service: there, at: then, .. } = &known.standing {
            if (before, there, *then) == (&user, &service, at) {
                return Ok(Noted::Once);
            }
            let told =
                format!("password {counter} under key {epoch}, at {}, after {}", rfc3339(at), rfc3339(*then));
            let mut event = self.event("offline_password_used", "again", host, told);
            (event.user, event.service) = (Some(user), Some(service));
            tracing::error!(host = %host.name, counter, "ALERT: an offline password was used twice: its host was put back, or there are two of it");
            self.store(Entry::default(), event).await?;
            return Ok(Noted::Again);
        }
        let was_revoked = matches!(known.standing, Standing::Revoked { .. });
        let mut event = self.event(
            "offline_password_used",
            if was_revoked { "revoked" } else { "host" },
            host,
            format!("password {counter} under key {epoch}, at {}, until {}", rfc3339(at), rfc3339(until)),
        );
        (event.user, event.service) = (Some(user.clone()), Some(service.clone()));
        let mut record = known.with(Standing::Used { user, service, at, until });
        if let Standing::Revoked { by, .. } = &known.standing {
            record = record.ended(by.clone());
        }
        self.store(Entry { claim: None, changes: vec![record.put()], audit: None }, event).await?;
        self.shelf.table.put(record);
        Ok(Noted::Once)
    }

    /// The same of a universal password: a host numbers its uses in rising order.
    async fn note_universal(&self, host: &HostIdentity, used: Used) -> Result<(), MakeError> {
        let Used { epoch, counter, user, service, at, until } = used;
        let known = self.shelf.table.host(host.id).filter(|known| known.epoch == epoch);
        let known = known.filter(|_| self.universal.record().number > 0);
        let mut noted =
            known.ok_or_else(|| MakeError::NoSuchPassword { host: host.name.to_string(), counter })?;
        if counter <= noted.universal_noted {
            return Ok(());
        }
        noted.universal_noted = counter;
        let told = format!("at {}, until {}", rfc3339(at), rfc3339(until));
        let mut event = self.event("offline_universal_used", "host", host, told);
        (event.user, event.service) = (Some(user), Some(service));
        self.store(Entry { changes: vec![noted.put()], ..Entry::default() }, event).await?;
        self.shelf.table.put_host(noted);
        Ok(())
    }

    /// Those of a key that open nothing any more, the newest first: used, revoked, or with a time that is over by any clock. As
    /// many as a host could take for unused ones.
    fn dead(&self, host: &HostIdentity, epoch: Option<u32>) -> Vec<u64> {
        let now = self.tools.clock.now();
        self.those(host, epoch, |record| match record.standing {
            Standing::Revoked { .. } | Standing::Used { .. } => true,
            Standing::Open => now > record.usable_until().saturating_add(CLOCKS_APART_MAX),
        })
    }

    /// Those that were used, and whose grants somebody ended before their time.
    fn ended(&self, host: &HostIdentity, epoch: Option<u32>) -> Vec<u64> {
        let now = self.tools.clock.now();
        self.those(host, epoch, |record| {
            let until = match record.standing {
                Standing::Used { until, .. } => until,
                Standing::Open | Standing::Revoked { .. } => return false,
            };
            record.ended_by.is_some() && now <= until.saturating_add(CLOCKS_APART_MAX)
        })
    }

    fn those(
        &self,
        host: &HostIdentity,
        epoch: Option<u32>,
        are_meant: impl Fn(&PasswordRecord) -> bool,
    ) -> Vec<u64> {
        let all = self.shelf.of_host(host);
        let found = all.iter().filter(|record| Some(record.epoch) == epoch && are_meant(record));
        found.map(|record| record.counter).take(wire::offline::REVOKED_MAX).collect()
    }
}

/// What a told use is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    /// The one that is on record.
    Once,
    /// Another one of the same password.
    Again,
}
