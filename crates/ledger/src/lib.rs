//! Durable claims and records: what must still be true after a crash.
//!
//! The ledger knows bytes and versions and no word of one-time passwords. One monotone value stands behind
//! each credential; a claim raises it, once, or loses. Records are whatever its owner puts there. An audit
//! entry is part of the commit of what it tells about.
//!
//! It does not cache for readers, it does not decide what a value means, and it never retries a commit.

#![forbid(unsafe_code)]

mod batch;
mod decide;
pub mod embedded;
mod mac;
pub mod memory;
mod reader;
mod standings;

use std::fmt;
use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

/// Names a credential. Never used again for another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId(pub [u8; 16]);

/// Names one claim for ever: the same login that asks again does so under the same id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimId(pub [u8; 16]);

/// Raises a credential's value to `to`, which succeeds only while the stored value is less than `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which credential.
    pub credential: CredentialId,
    /// The new value.
    pub to: u64,
    /// Whose claim it is; kept beside the value.
    pub id: ClaimId,
}

/// What is written beside a claim, in the same commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes a credential with a first value and no claim. The entry fails where the credential exists.
    AddCredential {
        /// The new credential.
        credential: CredentialId,
        /// Claims must exceed it.
        value: u64,
    },
    /// Takes a credential away; every later claim on it fails. Nothing happens where there is none.
    RemoveCredential {
        /// The credential.
        credential: CredentialId,
    },
    /// Gives a credential another name. Its value goes along, by no claim; every later claim on the old name
    /// fails. The entry fails where the old name does not exist, or the new one does.
    ///
    /// When the entry is decided this becomes a `RemoveCredential` and an `AddCredential` with the value that
    /// stands then, the entry's own claim included, so it counts as two changes.
    MoveCredential {
        /// The old name.
        from: CredentialId,
        /// The new name.
        to: CredentialId,
    },
    /// Writes a record, whatever was there.
    Put {
        /// Which sort of record; the ledger's user numbers them.
        kind: u8,
        /// Its key, 1 to 255 bytes.
        key: Vec<u8>,
        /// Its value, at most [`RECORD_BYTES_MAX`].
        value: Vec<u8>,
    },
    /// Removes a record. Nothing happens where there is none.
    Delete {
        /// Which sort of record.
        kind: u8,
        /// Its key.
        key: Vec<u8>,
    },
}

/// Longest value of a record in bytes: a sealed 128-byte secret with its parameters takes under 1 KiB.
pub const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Longest key of a record in bytes; its length is stored in one byte.
pub const RECORD_KEY_BYTES_MAX: usize = 255;

/// Most changes in one entry. The largest known is taking a person away: some tokens, their records, and a
/// hundred printed recovery codes, each with a record.
pub const ENTRY_CHANGES_MAX: usize = 1024;

/// One line of the audit trail. The ledger numbers it and chains it to the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// What a person quotes to find it; need not be unique, the newest is found.
    pub reference: [u8; 8],
    /// The record, at most [`RECORD_BYTES_MAX`].
    pub body: Vec<u8>,
}

/// What becomes durable together, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Where this claim loses, nothing of the entry is written.
    pub claim: Option<Claim>,
    /// In order.
    pub changes: Vec<Change>,
    /// The audit line of the decision.
    pub audit: Option<AuditEntry>,
}

/// What became of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable. A claim that had won before under the same id, to the same value, is `Committed` too,
    /// and nothing of its entry is written a second time.
    Committed,
    /// Nothing of it was written, and nothing will be.
    NotCommitted(Refusal),
    /// It may be durable, or become so: after a fault nobody can tell. Never an accept.
    Unknown,
}

/// Why an entry was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The claim's credential stands at or above the claimed value.
    Superseded {
        /// Where it stands.
        value: u64,
        /// The claim that put it there; zeros when none did.
        by: ClaimId,
    },
    /// The claim's credential, or the one to be moved, does not exist, or not any more.
    NoSuchCredential,
    /// `AddCredential` of one that exists, or `MoveCredential` to its name.
    CredentialExists,
    /// A key, a value, an audit body or the number of changes is outside its bounds: a mistake of the caller.
    OutOfBounds,
    /// The storage is full or read-only.
    StorageFull,
    /// Too many entries wait already.
    Busy,
    /// The ledger is closing.
    Closed,
}

/// An entry on its way. Resolves to what became of it; a writer that died leaves [`Outcome::Unknown`].
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Outcome>);

impl Pending {
    /// A pending outcome and the end that tells it.
    pub fn channel() -> (oneshot::Sender<Outcome>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// An outcome that is known already.
    pub fn ready(outcome: Outcome) -> Self {
        let (sender, pending) = Self::channel();
        // The receiver is alive: it is in `pending`.
        let _ = sender.send(outcome);
        pending
    }

    /// Waits on a thread of its own, outside any async runtime.
    pub fn wait(self) -> Outcome {
        self.0.blocking_recv().unwrap_or(Outcome::Unknown)
    }
}

impl Future for Pending {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.0).poll(cx).map(|told| told.unwrap_or(Outcome::Unknown))
    }
}

/// A credential's value as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Which one.
    pub id: CredentialId,
    /// Its value.
    pub value: u64,
    /// The claim that put it there; zeros when none did.
    pub by: ClaimId,
}

/// A record as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which sort.
    pub kind: u8,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// An audit line as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLine {
    /// Position in the chain, from 1; never used again, and missing where a line was removed.
    pub sequence: u64,
    /// As in [`AuditEntry`].
    pub reference: [u8; 8],
    /// As in [`AuditEntry`].
    pub body: Vec<u8>,
    /// HMAC-SHA-256 over the chain value before it, the sequence, the reference and the body.
    pub chain: [u8; 32],
}

/// How the store was found when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartState {
    /// It had been closed in order.
    Clean,
    /// It had not been closed; everything that was ever acknowledged is there as far as can be told.
    Unclean,
    /// It ends before a commit that is known to have been durable: claims are missing. An engine reports this
    /// again at every start until somebody has said that it is dealt with.
    Short {
        /// The newest commit in the store.
        found: u64,
        /// The newest commit that is known to have been made.
        expected: u64,
    },
}

/// What a walk along the audit chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// How many lines are there and carry the right chain value, counted from the first.
    pub records: u64,
    /// How many lines were removed between them, by [`Ledger::audit_remove`].
    pub removed: u64,
    /// The sequence at which the chain does not hold, if there is one.
    pub broken_at: Option<u64>,
    /// The chain value of the last good line; zeros for an empty trail.
    pub head: [u8; 32],
}

/// A stretch of the audit trail, and what behind it is not as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditStretch {
    /// Lines that carry the right chain value, oldest first.
    pub lines: Vec<AuditLine>,
    /// Behind the last of them, lines that are missing, changed, or follow such a one so closely that they cannot be told
    /// from it; none where the stretch ends for another reason.
    pub damaged: Option<RangeInclusive<u64>>,
}

/// A failure to read the store.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The writer has ended.
    #[error("the ledger is closed")]
    Closed,
    /// The store refused.
    #[error("cannot read {what}")]
    Store {
        /// Which part.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A row does not carry the MAC of its content.
    #[error("{what} {row} fails its checksum")]
    Damaged {
        /// Which part.
        what: &'static str,
        /// Which row.
        row: String,
    },
}

/// One piece of what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// A credential's value.
    Credential(Credential),
    /// A record.
    Record(Record),
}

/// What a ledger has done since it was opened, and what it has yet to do. Engines that have no such thing say 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Commits, each of them one batch.
    pub commits: u64,
    /// Entries that were written with them.
    pub entries: u64,
    /// Most entries that one commit has held.
    pub largest_batch: u64,
    /// Rows that are durable in the journal and not yet in their tables.
    pub backlog_rows: u64,
    /// Bytes of that journal.
    pub backlog_bytes: u64,
    /// Pages of 4 KiB in the store's log that are not yet in its database.
    pub log_pages: u64,
    /// How often a journal has been folded into the tables to its end.
    pub folds: u64,
    /// The sequence of the newest audit line; 0 for an empty trail.
    pub audit_newest: u64,
}

/// Everything that was stored, for the daemon's memory.
#[derive(Debug, Default)]
pub struct Contents {
    /// All credentials.
    pub credentials: Vec<Credential>,
    /// All records.
    pub records: Vec<Record>,
}

/// Where claims become durable.
///
/// An engine may gather entries of many logins into one commit; it keeps their order for each credential.
/// All methods may be called from any thread. `submit` never blocks; the others may, for a disk's or a
/// network's time.
pub trait Ledger: fmt::Debug + Send + Sync {
    /// Hands an entry in. Dropping the answer does not take the entry back.
    fn submit(&self, entry: Entry) -> Pending;

    /// Calls `each` with everything that is stored: all credentials by id, then all records by kind and key.
    ///
    /// Reads in pieces and holds no more than one of them. An entry that is handed in meanwhile may be seen or
    /// not, or with a part of its changes.
    fn load_each(&self, each: &mut dyn FnMut(Stored)) -> Result<(), ReadError>;

    /// One record as it stands after all entries that were handed in before; none where there is none.
    fn record(&self, kind: u8, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError>;

    /// What it has done so far. Costs next to nothing.
    fn figures(&self) -> Figures;

    /// Everything that is stored, as [`Self::load_each`] finds it.
    fn load(&self) -> Result<Contents, ReadError> {
        let mut contents = Contents::default();
        self.load_each(&mut |stored| match stored {
            Stored::Credential(credential) => contents.credentials.push(credential),
            Stored::Record(record) => contents.records.push(record),
        })?;
        Ok(contents)
    }

    /// Up to `limit` audit lines after sequence `after`, oldest first; fewer only at the end of the trail, or where the
    /// engine gives no more at a time. Lines that were removed are passed over.
    fn audit_after(&self, after: u64, limit: usize) -> Result<Vec<AuditLine>, ReadError>;

    /// The same, up to what is damaged, and how far that reaches: whoever goes on behind it must say so.
    fn audit_around_damage(&self, after: u64, limit: usize) -> Result<AuditStretch, ReadError> {
        Ok(AuditStretch { lines: self.audit_after(after, limit)?, damaged: None })
    }

    /// The sequence of the newest audit line; 0 for an empty trail.
    fn audit_newest(&self) -> Result<u64, ReadError>;

    /// Whether the chain has this value at line `sequence`, or had it before the line was removed; zeros at 0, before the
    /// first. Of a removed line eight bytes are compared.
    fn audit_holds(&self, sequence: u64, head: [u8; 32]) -> Result<bool, ReadError>;

    /// Takes lines out of the trail for good; tells how many. The chain goes on over their places, and a walk counts them.
    ///
    /// * `sequences`: which ones, up to some 500 that are near each other: others wait meanwhile. The newest line always
    ///   stays, and what is not there is passed over.
    ///
    /// # Errors
    /// Where a line there is not as it was written: then none is removed.
    fn audit_remove(&self, sequences: Vec<u64>) -> Result<u64, ReadError>;

    /// The newest audit line with this reference; none where it was removed.
    fn audit_by_reference(&self, reference: [u8; 8]) -> Result<Option<AuditLine>, ReadError>;

    /// Walks the whole chain.
    fn audit_verify(&self) -> Result<AuditReport, ReadError>;

    /// Makes it durable that somebody has dealt with a [`StartState::Short`]; later starts do not report it.
    fn settle_loss(&self) -> Result<(), ReadError>;

    /// Commits what waits, marks the store as closed in order, and ends. Later submissions are refused.
    fn close(&self) -> Result<(), ReadError>;
}

impl fmt::Debug for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
