//! Many tokens at once, all or none.
//!
//! An import is longer than one entry of the ledger may be. Its first entry says that it has begun, its last
//! that it has ended; tokens of one that never ended do not count and are taken away at the next start.

use std::collections::HashMap;
use std::sync::Arc;

use ledger::{Change, Entry, Outcome};
use otp_core::SharedSecret;

use super::tokens::{draw_token_id, first_value};
use super::{Actor, ChangeError, Steward};
use crate::accounts::token::fingerprint;
use crate::accounts::{Leftovers, NewSecret, Origin, Token, TokenParameters, TokenRecord, kind};
use crate::audit::AuditRecord;
use crate::keys::random_bytes;

/// Tokens in one entry: three changes each stay well below what an entry may hold.
const CHUNK: usize = 250;

/// A hardware token to be imported.
#[derive(Debug)]
pub struct NewHardware {
    /// What people call it.
    pub serial: String,
    /// What it computes with.
    pub parameters: TokenParameters,
    /// Its secret.
    pub secret: SharedSecret,
    /// The counter expected next, for HOTP.
    pub counter: u64,
    /// By how many time steps its clock is ahead, for TOTP.
    pub time_drift: i32,
}

impl Steward {
    /// Stores new tokens, which belong to nobody. Returns how many.
    ///
    /// # Errors
    /// See [`ChangeError`]; none of the tokens is there then.
    pub async fn import(self: &Arc<Self>, new: Vec<NewHardware>, by: Actor) -> Result<u64, ChangeError> {
        self.check_new(&new)?;
        let (count, import) = (new.len(), u64::from_be_bytes(random_bytes()?));
        self.store_in_turn(vec![begun(import)]).await?;
        let mut tokens: Vec<Arc<Token>> = Vec::with_capacity(count);
        let mut new = new.into_iter();
        // A turn for each chunk, so that nobody waits for a whole import.
        let stored = loop {
            let chunk: Vec<_> = new.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                break Ok(());
            }
            if let Err(error) = self.import_chunk(chunk, import, &mut tokens).await {
                break Err(error);
            }
        };
        drop(new);
        let tokens = Arc::new(tokens);
        let (me, ending) = (Arc::clone(self), Arc::clone(&tokens));
        let ended = match stored {
            Ok(()) => self.in_turn(async move { me.end_import(import, &ending, &by).await }).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            let records = tokens.iter().map(|token| token.record.clone()).collect();
            // What cannot be taken away now is taken away at the next start.
            if let Err(again) = self.take_away(&Leftovers { tokens: records, imports: vec![import] }).await {
                tracing::warn!(error = %again, "a broken import is taken away at the next start");
            }
            return Err(error);
        }
        Ok(count as u64)
    }

    /// Takes away what imports left behind that never ended.
    ///
    /// # Errors
    /// See [`ChangeError`]; the next start tries again.
    pub async fn clear(self: &Arc<Self>, leftovers: Leftovers) -> Result<(), ChangeError> {
        if leftovers.imports.is_empty() {
            return Ok(());
        }
        tracing::warn!(tokens = leftovers.tokens.len(), "an import had not ended: its tokens are taken away");
        self.take_away(&leftovers).await
    }

    /// Whether every serial and every secret is new, also among themselves.
    fn check_new(&self, new: &[NewHardware]) -> Result<(), ChangeError> {
        let mut seen: HashMap<[u8; 16], &str> = HashMap::with_capacity(new.len());
        for token in new {
            let serial = &token.serial;
            if self.accounts.find_by_serial(serial).is_some() {
                return Err(ChangeError::SerialExists { serial: serial.clone() });
            }
            let fingerprint = fingerprint(&token.secret, token.parameters.algorithm, &self.sealer);
            self.check_secret(serial, fingerprint)?;
            if let Some(other) = seen.insert(fingerprint, serial) {
                return Err(ChangeError::SecretExists { serial: serial.clone(), other: other.into() });
            }
        }
        Ok(())
    }

    /// Makes the tokens count, unless one like them came in the meantime.
    async fn end_import(&self, import: u64, tokens: &[Arc<Token>], by: &Actor) -> Result<(), ChangeError> {
        for token in tokens {
            let serial = &token.record.serial;
            if self.accounts.find_by_serial(serial).is_some() {
                return Err(ChangeError::SerialExists { serial: serial.clone() });
            }
            self.check_secret(serial, token.fingerprint)?;
        }
        let detail = Some(format!("{} tokens", tokens.len()));
        let record = AuditRecord { detail, ..self.event("tokens_imported", by) };
        self.commit(vec![ended(import)], record).await?;
        for token in tokens {
            self.accounts.put_token(Arc::clone(token));
        }
        Ok(())
    }

    async fn import_chunk(
        self: &Arc<Self>,
        chunk: Vec<NewHardware>,
        import: u64,
        tokens: &mut Vec<Arc<Token>>,
    ) -> Result<(), ChangeError> {
        let (now, quarantine) = (self.clock.now(), self.accounts.quarantine.last().number);
        let mut changes = Vec::with_capacity(2 * chunk.len());
        for new in chunk {
            let NewHardware { serial, parameters, secret, counter, time_drift } = new;
            let made =
                NewSecret { serial, parameters: &parameters, secret: &secret, origin: Origin::Hardware };
            let record = TokenRecord::new(draw_token_id()?, made, &self.sealer, now)?;
            let first_value = first_value(&parameters, counter);
            let record = TokenRecord { import: Some(import), time_drift, quarantine, first_value, ..record };
            let token = Token::open(record, &self.sealer)?;
            changes.extend(self.add(&token));
            token.set_value(first_value);
            tokens.push(Arc::new(token));
        }
        self.store_in_turn(changes).await
    }

    async fn take_away(self: &Arc<Self>, leftovers: &Leftovers) -> Result<(), ChangeError> {
        for chunk in leftovers.tokens.chunks(CHUNK) {
            let gone = |record: &TokenRecord| {
                let credential = record.id.credential(record.generation);
                [Change::RemoveCredential { credential }, record.delete()]
            };
            self.store_in_turn(chunk.iter().flat_map(gone).collect()).await?;
        }
        self.store_in_turn(leftovers.imports.iter().map(|import| ended(*import)).collect()).await
    }

    async fn store_in_turn(self: &Arc<Self>, changes: Vec<Change>) -> Result<(), ChangeError> {
        let me = Arc::clone(self);
        self.in_turn(async move { me.store(changes).await }).await
    }

    pub(super) async fn store(&self, changes: Vec<Change>) -> Result<(), ChangeError> {
        match self.ledger.submit(Entry { changes, ..Entry::default() }).await {
            Outcome::Committed => Ok(()),
            outcome => Err(ChangeError::NotStored { outcome }),
        }
    }
}

fn begun(import: u64) -> Change {
    Change::Put { kind: kind::IMPORT, key: import.to_be_bytes().into(), value: Vec::new() }
}

fn ended(import: u64) -> Change {
    Change::Delete { kind: kind::IMPORT, key: import.to_be_bytes().into() }
}
