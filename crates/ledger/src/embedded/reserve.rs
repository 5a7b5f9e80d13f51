//! A little space kept back, so that a full disk still leaves room to fold and to empty the log.

use std::io;

use rustix::fs::{FallocateFlags, fallocate};

use super::place::{Place, RESERVE};

/// Room for some slices of folding and the pages that a checkpoint adds to the database.
const RESERVE_BYTES: u64 = 1024 * 1024;

/// The kept-back space.
#[derive(Debug)]
pub(super) struct Reserve {
    is_held: bool,
}

impl Reserve {
    /// Takes over what is there.
    pub(super) fn find(place: &Place) -> Self {
        Self { is_held: matches!(place.check(RESERVE), Ok(true)) }
    }

    /// Whether there is something to release.
    pub(super) fn is_held(&self) -> bool {
        self.is_held
    }

    /// Puts space aside. Where that fails, nothing is kept back and nothing is left over.
    pub(super) fn take(&mut self, place: &Place) -> io::Result<()> {
        if self.is_held {
            return Ok(());
        }
        place.remove(RESERVE)?;
        let file = place.make(RESERVE)?;
        match fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
            Ok(()) => {
                self.is_held = true;
                Ok(())
            }
            Err(error) => {
                // Part of it may have been allocated.
                place.remove(RESERVE)?;
                Err(error.into())
            }
        }
    }

    /// Gives the space back to the file system.
    pub(super) fn release(&mut self, place: &Place) -> io::Result<()> {
        self.is_held = false;
        place.remove(RESERVE)
    }
}
