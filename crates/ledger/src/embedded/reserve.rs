//! A little space kept back, so that a full disk still leaves room to empty the log and to fold.
//!
//! Emptying the log may add every page in it to the database. So the log may only grow as long as the reserve
//! is: on a disk that is nearly full both are small, and the log is emptied more often.

use std::io;

use rustix::fs::{FallocateFlags, fallocate};

use super::place::{Place, RESERVE, is_full_or_read_only};

/// Sizes that are tried in turn, in bytes. With the first, the log is emptied every few hundred commits, which
/// costs a few percent; a longer log gains nothing.
const SIZES: [u64; 3] = [8 * 1024 * 1024, 1024 * 1024, 128 * 1024];

/// How long the log may grow with nothing in reserve: some ten commits.
const LOG_PAGES_MIN: usize = 32;

const PAGE_BYTES: u64 = 4096;

/// The kept-back space.
#[derive(Debug)]
pub(super) struct Reserve {
    bytes: u64,
}

impl Reserve {
    /// Takes over what is there.
    pub(super) fn find(place: &Place) -> Self {
        let file = place.open_to_read(RESERVE).ok().flatten();
        Self { bytes: file.and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len()) }
    }

    /// Whether there is something to release.
    pub(super) fn is_held(&self) -> bool {
        self.bytes > 0
    }

    /// How many pages the log may have before it must be emptied.
    pub(super) fn log_pages_max(&self) -> usize {
        usize::try_from(self.bytes.min(SIZES[0]) / PAGE_BYTES)
            .map_or(LOG_PAGES_MIN, |pages| pages.max(LOG_PAGES_MIN))
    }

    /// Puts aside as much as there is, up to the largest size. Where that fails, nothing is kept back and nothing
    /// is left over.
    pub(super) fn take(&mut self, place: &Place) -> io::Result<()> {
        if self.bytes >= SIZES[0] {
            return Ok(());
        }
        self.release(place)?;
        let file = place.make(RESERVE)?;
        let mut taken = Err(io::Error::other("there is always a size to try"));
        for size in SIZES {
            taken = fallocate(&file, FallocateFlags::empty(), 0, size).map_err(io::Error::from);
            match &taken {
                Ok(()) => {
                    self.bytes = size;
                    return Ok(());
                }
                // Part of it may have been allocated.
                Err(error) if is_full_or_read_only(error) => file.set_len(0)?,
                Err(_) => break,
            }
        }
        place.remove(RESERVE)?;
        taken
    }

    /// Gives the space back to the file system.
    pub(super) fn release(&mut self, place: &Place) -> io::Result<()> {
        self.bytes = 0;
        place.remove(RESERVE)
    }
}
