//! Many tokens at once, all or none.
//!
//! An import is longer than one entry of the ledger may be. Its first entry says that it has begun, its last
//! that it has ended; tokens of one that never ended do not count and are taken away at the next start.

use std::sync::Arc;

use ledger::{Change, Entry, Outcome};
use otp_core::SharedSecret;

use super::tokens::{draw_token_id, first_value};
use super::{Actor, ChangeError, Steward};
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
        let me = Arc::clone(self);
        self.in_turn(async move { me.import_in_turn(new, &by).await }).await
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
        let me = Arc::clone(self);
        self.in_turn(async move { me.take_away(&leftovers).await }).await
    }

    async fn import_in_turn(&self, new: Vec<NewHardware>, by: &Actor) -> Result<u64, ChangeError> {
        let count = new.len();
        if let Some(known) = new.iter().find(|new| self.accounts.find_by_serial(&new.serial).is_some()) {
            return Err(ChangeError::SerialExists { serial: known.serial.clone() });
        }
        let import = u64::from_be_bytes(random_bytes()?);
        self.store(vec![begun(import)]).await?;
        let mut tokens: Vec<Arc<Token>> = Vec::with_capacity(count);
        let ended = async {
            let mut new = new.into_iter();
            loop {
                let chunk: Vec<_> = new.by_ref().take(CHUNK).collect();
                if chunk.is_empty() {
                    break;
                }
                self.import_chunk(chunk, import, &mut tokens).await?;
            }
            let record =
                AuditRecord { detail: Some(format!("{count} tokens")), ..self.event("tokens_imported", by) };
            self.commit(vec![ended(import)], record).await
        };
        if let Err(error) = ended.await {
            let records = tokens.iter().map(|token| token.record.clone()).collect();
            // What cannot be taken away now is taken away at the next start.
            if let Err(again) = self.take_away(&Leftovers { tokens: records, imports: vec![import] }).await {
                tracing::warn!(error = %again, "a broken import is taken away at the next start");
            }
            return Err(error);
        }
        for token in tokens {
            self.accounts.put_token(token);
        }
        Ok(count as u64)
    }

    async fn import_chunk(
        &self,
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
            let record = TokenRecord { import: Some(import), time_drift, quarantine, ..record };
            let token = Token::open(record, &self.sealer)?;
            let first = first_value(&parameters, counter);
            changes.extend(self.add(&token, first));
            token.set_value(first);
            tokens.push(Arc::new(token));
        }
        self.store(changes).await
    }

    async fn take_away(&self, leftovers: &Leftovers) -> Result<(), ChangeError> {
        for chunk in leftovers.tokens.chunks(CHUNK) {
            let gone = |record: &TokenRecord| {
                let credential = record.id.credential(record.generation);
                [Change::RemoveCredential { credential }, record.delete()]
            };
            self.store(chunk.iter().flat_map(gone).collect()).await?;
        }
        self.store(leftovers.imports.iter().map(|import| ended(*import)).collect()).await
    }

    async fn store(&self, changes: Vec<Change>) -> Result<(), ChangeError> {
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
