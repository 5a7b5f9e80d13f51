//! The mark: the number of the last durable batch, kept outside the database and its log.
//!
//! A log that is damaged in its middle, or a database that was put back from a copy, ends early and cannot
//! tell so by itself. The mark tells. It is written beside the path of a commit, so it may be a little behind.
//!
//! It also knows which file it was written as. A store that was put back from a copy has its old mark in a new
//! file, and is not taken for one that was closed in order. (A file system that was rolled back as a whole, as by a
//! snapshot of the machine, cannot be told from within.)

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::fs::{AtFlags, StatxFlags};

use super::error::LedgerOpenError;
use super::place::{MARK, Place};
use crate::mac::{MAC_BYTES, MacKey};
use crate::reader::{DecodeError, Reader};

/// What the mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Of which store.
    pub(super) store_id: [u8; 16],
    /// The last batch that is known to be durable.
    pub(super) last: u64,
    /// The store's epoch when the mark was written.
    pub(super) epoch: u64,
    /// Whether the store was closed in order after that batch.
    pub(super) is_closed: bool,
}

const VERSION: u8 = 2;
const MARK_BYTES: usize = 1 + 16 + 8 + 8 + 1 + FileIdentity::BYTES + MAC_BYTES;

impl Mark {
    /// Reads the mark of a store.
    pub(super) fn read(place: &Place, key: &MacKey) -> Result<Self, LedgerOpenError> {
        let file =
            place.open_to_read(MARK)?.ok_or_else(|| LedgerOpenError::NoMark { path: place.file(MARK) })?;
        let found = FileIdentity::of(&file).map_err(|error| place.io("look at", MARK, error))?;
        let mut bytes = Vec::with_capacity(MARK_BYTES + 1);
        file.take(MARK_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| place.io("read", MARK, error))?;
        let damaged = |problem: String| LedgerOpenError::Damaged {
            path: place.file(MARK),
            what: "the mark",
            row: String::from("of the last commit"),
            problem,
        };
        if bytes.len() != MARK_BYTES {
            return Err(damaged(format!("it has {} bytes instead of {MARK_BYTES}", bytes.len())));
        }
        let (body, mac) = bytes.split_at(MARK_BYTES - MAC_BYTES);
        if !key.holds(&[body], mac) {
            return Err(LedgerOpenError::WrongKey { path: place.file(MARK) });
        }
        let (mark, written_as) = Self::decode(body).map_err(|error| damaged(error.to_string()))?;
        let is_copy = found != written_as;
        if is_copy {
            tracing::warn!(path = %place.file(MARK).display(), "the store was put here from a copy");
        }
        Ok(Self { is_closed: mark.is_closed && !is_copy, ..mark })
    }

    /// Makes it durable.
    pub(super) fn write(&self, place: &Place, key: &MacKey) -> io::Result<()> {
        place.replace_mark(|file| {
            let mut bytes = Vec::with_capacity(MARK_BYTES);
            bytes.push(VERSION);
            bytes.extend_from_slice(&self.store_id);
            bytes.extend_from_slice(&self.last.to_be_bytes());
            bytes.extend_from_slice(&self.epoch.to_be_bytes());
            bytes.push(u8::from(self.is_closed));
            bytes.extend_from_slice(&FileIdentity::of(file)?.0);
            let mac = key.mac(&[&bytes]);
            bytes.extend_from_slice(&mac);
            Ok(bytes)
        })
    }

    /// Begins to make it durable on a thread of its own. Whoever waits for a commit does not wait for that: a new
    /// file has the file system write down whatever else it has in hand.
    pub(super) fn write_beside(self, place: &Arc<Place>, key: &MacKey) -> io::Result<Marking> {
        let (place, key) = (Arc::clone(place), key.clone());
        let thread = std::thread::Builder::new().name(String::from("ledger-mark"));
        let thread = thread.spawn(move || self.write(&place, &key).map(|()| self))?;
        Ok(Marking(Some(thread)))
    }

    fn decode(body: &[u8]) -> Result<(Self, FileIdentity), DecodeError> {
        let mut reader = Reader::new(body);
        if reader.u8()? != VERSION {
            return Err(DecodeError { at: 0, problem: "unknown version of a mark" });
        }
        let mark = Self {
            store_id: reader.array()?,
            last: reader.u64()?,
            epoch: reader.u64()?,
            is_closed: reader.u8()? != 0,
        };
        let written_as = FileIdentity(reader.array()?);
        reader.finish()?;
        Ok((mark, written_as))
    }
}

/// A mark that is being written. Dropping it waits for the end, so that nobody writes where a lock is gone.
#[derive(Debug)]
pub(super) struct Marking(Option<JoinHandle<io::Result<Mark>>>);

impl Marking {
    /// Whether the outcome is known.
    pub(super) fn is_finished(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until the mark is durable, and gives it.
    pub(super) fn wait(mut self) -> io::Result<Mark> {
        let thread = self.0.take().expect("it is waited for once");
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that writes it has panicked")))
    }
}

impl Drop for Marking {
    fn drop(&mut self) {
        // Nobody asks for the outcome; the mark that stands is right as well.
        drop(self.0.take().map(JoinHandle::join));
    }
}

/// Tells a file from its copy: its inode and the moment at which that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileIdentity([u8; Self::BYTES]);

impl FileIdentity {
    const BYTES: usize = 8 + 8 + 4;

    /// File systems that do not keep the moment leave the inode.
    fn of(file: &File) -> io::Result<Self> {
        let wanted = StatxFlags::INO | StatxFlags::BTIME;
        let found = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, wanted)?;
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&found.stx_ino.to_be_bytes());
        if found.stx_mask & StatxFlags::BTIME.bits() != 0 {
            bytes[8..16].copy_from_slice(&found.stx_btime.tv_sec.to_be_bytes());
            bytes[16..].copy_from_slice(&found.stx_btime.tv_nsec.to_be_bytes());
        }
        Ok(Self(bytes))
    }
}
