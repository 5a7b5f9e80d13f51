//! The mark: the number of the last durable batch, kept outside the database and its log.
//!
//! A log that is damaged in its middle, or a database that was put back from a copy, ends early and cannot
//! tell so by itself. The mark tells. It is written beside the path of a commit, so it may be a little behind.

use std::io::{self, Read};

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

const VERSION: u8 = 1;
const MARK_BYTES: usize = 1 + 16 + 8 + 8 + 1 + MAC_BYTES;

impl Mark {
    /// Reads the mark of a store.
    pub(super) fn read(place: &Place, key: &MacKey) -> Result<Self, LedgerOpenError> {
        let file =
            place.open_to_read(MARK)?.ok_or_else(|| LedgerOpenError::NoMark { path: place.file(MARK) })?;
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
        Self::decode(body).map_err(|error| damaged(error.to_string()))
    }

    /// Makes it durable.
    pub(super) fn write(&self, place: &Place, key: &MacKey) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(MARK_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.store_id);
        bytes.extend_from_slice(&self.last.to_be_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.push(u8::from(self.is_closed));
        let mac = key.mac(&[&bytes]);
        bytes.extend_from_slice(&mac);
        place.replace_mark(&bytes)
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
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
        reader.finish()?;
        Ok(mark)
    }
}
