//! Why a store cannot be opened or made.

use std::io;
use std::path::PathBuf;

/// A failure to open or make a store. Nothing that the store holds has been changed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerOpenError {
    /// There is no store; a missing one is never a fresh start.
    #[error("there is no store in {dir}; if there was one, restore it from a backup")]
    NoStore {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// A store is there already.
    #[error("a store exists already: {path}")]
    Exists {
        /// The store.
        path: PathBuf,
    },
    /// Another process, or another part of this one, has it open.
    #[error("the store in {dir} is in use by another process")]
    InUse {
        /// The store's directory.
        dir: PathBuf,
    },
    /// A file or directory could have been changed by somebody else.
    #[error("{path} {problem}")]
    Insecure {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it, as the end of a sentence.
        problem: &'static str,
    },
    /// The system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The linked SQLite has a defect that can lose commits.
    #[error("SQLite {found} is older than {wanted}, which may lose commits")]
    SqliteTooOld {
        /// The version that is linked.
        found: String,
        /// The oldest that is accepted.
        wanted: &'static str,
    },
    /// The file is something else.
    #[error("{path} is not a store of this program: {problem}")]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It was written by a newer version of this program.
    #[error("{path} has format {found}, this program knows {known}; use the version that wrote it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format that was found.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// The first row fails its checksum, as all others would under another key.
    #[error(
        "{path} was written under another key, or is damaged; give the right key or restore from a backup"
    )]
    WrongKey {
        /// The store or its mark.
        path: PathBuf,
    },
    /// Something in the store is not as it was written.
    #[error("{what} {row} in {path} is damaged: {problem}; restore the store from a backup")]
    Damaged {
        /// The store or its mark.
        path: PathBuf,
        /// Which part.
        what: &'static str,
        /// Which row of it.
        row: String,
        /// What is wrong.
        problem: String,
    },
    /// Nothing tells whether the store is complete.
    #[error(
        "{path} is missing, so nobody can tell whether claims are; restore the whole directory from a backup"
    )]
    NoMark {
        /// Where it should be.
        path: PathBuf,
    },
    /// No space, or a read-only file system.
    #[error("the storage under {path} is full or read-only")]
    StorageFull {
        /// The store.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("cannot {action} {path}")]
    Sqlite {
        /// What was tried.
        action: &'static str,
        /// The store.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
