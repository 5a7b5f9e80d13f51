//! The record on disk, and how an older copy of it is noticed.
//!
//! A change is written beside, brought to disk, put in the place of the former one, and the folder is brought to disk too.
//! Then its number is noted in two more places: in another folder, which a copy of this one does not bring along, and in
//! memory of the machine (`/run`), which outlives this process and not the machine. Whatever is there at the start and has a
//! lower number than any of the notes is an older copy: it does not know all that was used, so it opens nothing until a
//! verifier gave the host another key. A machine that is put back as a whole notices nothing of it by itself.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use offline_password::HostKey;
use owned_files::{Access, OpenError, read_ours};

use super::kept::Kept;
use super::moment::Latest;

/// The record, and what is written before it takes its place.
const FILE: &str = "state";
const FILE_BESIDE: &str = "state.new";

/// A note of its number, likewise.
const NOTE: &str = "offline-generation";
const NOTE_BESIDE: &str = "offline-generation.new";

/// What helps where nothing can be trusted.
const REPAIR: &str =
    "no offline password opens this host until it has reached a verifier, which gives it another key";

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The folder of the record.
    pub folder: PathBuf,
    /// Another one that lasts.
    pub elsewhere: PathBuf,
    /// One that lasts as long as the machine runs.
    pub run: PathBuf,
}

/// Why nothing can be decided.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is not there.
    #[error("{path} is gone: {REPAIR}")]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// It is no record of this host.
    #[error("{path} is damaged, or of another host or key: {REPAIR}")]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// It is older than what was there.
    #[error("{path} is an older copy (change {found}, where {known} is known): {REPAIR}")]
    Older {
        /// Which file.
        path: PathBuf,
        /// Its number.
        found: u64,
        /// The one that was noted.
        known: u64,
    },
    /// The key is not newer than what was there.
    #[error("key {epoch} of this host is not newer than key {known}")]
    FormerKey {
        /// Its number.
        epoch: u32,
        /// That of the present one.
        known: u32,
    },
    /// It cannot be read.
    #[error("{0}: {REPAIR}; where that does not help, remove it")]
    Read(#[from] OpenError),
    /// It cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A change failed before, and nobody can tell what is on disk.
    #[error("a change could not be kept, or another key came: what is there is read anew")]
    Unknown,
}

/// The record of this host, as it is on disk.
#[derive(Debug)]
pub struct Store {
    places: Places,
    key: HostKey,
    kept: Kept,
    is_unknown: bool,
}

impl Store {
    /// Reads what is there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(places: Places, key: HostKey, epoch: u32) -> Result<Self, StoreError> {
        let path = places.folder.join(FILE);
        let kept = Kept::decode(&read(&path)?, &key).ok().filter(|kept| kept.epoch == epoch);
        let kept = kept.ok_or_else(|| StoreError::Damaged { path: path.clone() })?;
        let lasting = note(&places.elsewhere)?
            .ok_or_else(|| StoreError::Missing { path: places.elsewhere.join(NOTE) })?;
        // After a start of the machine there is none yet.
        let known = note(&places.run)?.map_or(lasting, |running| running.max(lasting));
        if (kept.epoch, kept.generation) < known {
            return Err(StoreError::Older { path, found: kept.generation, known: known.1 });
        }
        Ok(Self { places, key, kept, is_unknown: false })
    }

    /// Begins with a key that the host was given now: nothing was used under it.
    ///
    /// * `latest`: what the verifier's clock says.
    ///
    /// # Errors
    /// See [`StoreError`]; a key that was here before is none that begins anew.
    pub fn begin(places: Places, key: HostKey, epoch: u32, latest: Latest) -> Result<Self, StoreError> {
        // A note that cannot be read is what a new key mends.
        let notes = [&places.elsewhere, &places.run].map(|folder| note(folder).ok().flatten());
        let known = notes.into_iter().flatten().max();
        if let Some((known, _)) = known.filter(|(known, _)| *known >= epoch) {
            return Err(StoreError::FormerKey { epoch, known });
        }
        let kept = Kept::new(epoch, latest);
        let mut store = Self { places, key, kept: kept.clone(), is_unknown: false };
        store.commit(kept)?;
        Ok(store)
    }

    /// What is remembered.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// The host's key.
    pub fn key(&self) -> &HostKey {
        &self.key
    }

    /// Whether a change failed, and nobody can tell what is on disk.
    pub fn is_unknown(&self) -> bool {
        self.is_unknown
    }

    /// Takes no further change: another one is about to be the record of this host.
    pub(super) fn give_up(&mut self) {
        self.is_unknown = true;
    }

    /// Makes a change durable; only then it is so.
    ///
    /// # Errors
    /// [`StoreError::Write`], and from then on [`StoreError::Unknown`]: what failed may be there or not.
    pub fn commit(&mut self, mut kept: Kept) -> Result<(), StoreError> {
        if self.is_unknown {
            return Err(StoreError::Unknown);
        }
        self.is_unknown = true;
        kept.generation = self.kept.generation + 1;
        let Places { folder, elsewhere, run } = &self.places;
        replace(folder, FILE_BESIDE, FILE, &kept.encode(&self.key))?;
        let noted = format!("{} {}\n", kept.epoch, kept.generation);
        for folder in [elsewhere, run] {
            replace(folder, NOTE_BESIDE, NOTE, noted.as_bytes())?;
        }
        (self.kept, self.is_unknown) = (kept, false);
        Ok(())
    }
}

/// The number that was noted; `None` where nothing was.
fn note(folder: &Path) -> Result<Option<(u32, u64)>, StoreError> {
    let path = folder.join(NOTE);
    let bytes = match read(&path) {
        Err(StoreError::Missing { .. }) => return Ok(None),
        read => read?,
    };
    let text = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    let parts = text.and_then(|text| text.split_once(' '));
    let noted = parts.and_then(|(epoch, generation)| Some((epoch.parse().ok()?, generation.parse().ok()?)));
    noted.map(Some).ok_or(StoreError::Damaged { path })
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    read_ours(path, Access::OnlyOurs).map_err(|error| match error {
        OpenError::Missing { path } => StoreError::Missing { path },
        error => StoreError::Read(error),
    })
}

/// Puts a file in the place of another one, and goes on when it is on disk.
pub(super) fn replace(folder: &Path, beside: &str, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let (beside, path) = (folder.join(beside), folder.join(name));
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Write { path, source }
    };
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(&beside)
        .map_err(at(&beside))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(&beside))?;
    fs::rename(&beside, &path).map_err(at(&path))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

#[cfg(test)]
pub(super) mod tests;
