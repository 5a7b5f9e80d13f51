//! The newest checkpoint of the audit trail that a verifier gave us: shown to every verifier that we ask.
//!
//! It says nothing to us, and opens nothing: only the verifiers can make one and read it. We keep the newest, so that a
//! verifier whose store was put back from a copy finds out (`docs/audit.md`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use wire::fleet::CHECKPOINT_BYTES_MAX;

/// The file, and the one that takes its place when it is whole.
const FILE: &str = "checkpoint";
const FILE_BESIDE: &str = "checkpoint.new";

/// Bytes of a checkpoint that tell which of two is newer: epoch and sequence.
const AGE_BYTES: usize = 12;

/// The newest checkpoint.
#[derive(Debug, Default)]
pub struct Checkpoints {
    newest: Mutex<Newest>,
    state_dir: Option<PathBuf>,
    is_being_kept: AtomicBool,
}

#[derive(Debug, Default)]
struct Newest {
    age: [u8; AGE_BYTES],
    text: String,
    is_kept: bool,
}

impl Checkpoints {
    /// Reads what was kept; what is not there or not one says nothing.
    pub fn load(state_dir: PathBuf) -> Self {
        let kept = fs::read(state_dir.join(FILE)).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let checkpoints = Self { state_dir: Some(state_dir), ..Self::default() };
        if let Some(kept) = kept {
            checkpoints.take(kept.trim());
            checkpoints.lock().is_kept = true;
        }
        checkpoints
    }

    /// Forgets what was kept: it is of another fleet than the one that the host belongs to from now on.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn forget(state_dir: &Path) -> io::Result<()> {
        match fs::remove_file(state_dir.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The newest, if there is one.
    pub fn newest(&self) -> Option<String> {
        let newest = self.lock();
        (!newest.text.is_empty()).then(|| newest.text.clone())
    }

    /// Takes one over that is newer. Anything that is not one is left.
    pub fn take(&self, text: &str) {
        let Some(age) = age(text) else { return };
        let mut newest = self.lock();
        if newest.text.is_empty() || age > newest.age {
            *newest = Newest { age, text: text.to_owned(), is_kept: false };
        }
    }

    /// Has the newest written down on another thread: a disk that hangs keeps no login waiting. One at a time; what is
    /// newer by then, the next call writes. To be called on a runtime.
    pub fn keep_aside(self: &Arc<Self>) {
        // Nothing else is ordered by it: what is written, the lock says.
        if self.is_being_kept.swap(true, Ordering::Relaxed) {
            return;
        }
        let checkpoints = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = checkpoints.keep() {
                tracing::warn!(%error, "the checkpoint of the audit trail cannot be kept");
            }
            checkpoints.is_being_kept.store(false, Ordering::Relaxed);
        });
    }

    /// Writes the newest down, where that is not done. After a crash of the machine the one before may be there, which
    /// tells less.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn keep(&self) -> io::Result<()> {
        let Some(state_dir) = &self.state_dir else { return Ok(()) };
        let text = {
            let newest = self.lock();
            if newest.is_kept || newest.text.is_empty() {
                return Ok(());
            }
            newest.text.clone()
        };
        let beside = state_dir.join(FILE_BESIDE);
        fs::write(&beside, format!("{text}\n"))?;
        fs::rename(beside, state_dir.join(FILE))?;
        let mut newest = self.lock();
        newest.is_kept |= newest.text == text;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How new it is; `None` for what cannot be one.
fn age(text: &str) -> Option<[u8; AGE_BYTES]> {
    if text.len() > CHECKPOINT_BYTES_MAX {
        return None;
    }
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    bytes.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(epoch: u32, sequence: u64) -> String {
        let mut bytes = [7; 116];
        bytes[..4].copy_from_slice(&epoch.to_be_bytes());
        bytes[4..12].copy_from_slice(&sequence.to_be_bytes());
        BASE64URL_NOPAD.encode(&bytes)
    }

    // covers: P7
    #[test]
    fn the_newest_is_shown_and_outlives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let load = || Checkpoints::load(folder.path().to_owned());
        let checkpoints = load();
        assert_eq!(checkpoints.newest(), None);
        for (epoch, sequence) in [(0, 5), (0, 300), (0, 6)] {
            checkpoints.take(&checkpoint(epoch, sequence));
        }
        assert_eq!(checkpoints.newest(), Some(checkpoint(0, 300)));
        checkpoints.keep().unwrap();
        checkpoints.take(&checkpoint(1, 2));
        assert_eq!(load().newest(), Some(checkpoint(0, 300)), "not written down yet");
        checkpoints.keep().unwrap();
        assert_eq!(load().newest(), Some(checkpoint(1, 2)));
    }

    // covers: P7
    #[tokio::test]
    async fn a_disk_that_hangs_keeps_one_thread_waiting_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Arc::new(Checkpoints::load(folder.path().to_owned()));
        // Whoever writes to a pipe waits until somebody reads.
        let pipe = folder.path().join(FILE_BESIDE);
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        checkpoints.take(&checkpoint(0, 1));
        checkpoints.keep_aside();
        checkpoints.take(&checkpoint(0, 2));
        checkpoints.keep_aside();
        assert_eq!(checkpoints.newest(), Some(checkpoint(0, 2)));
        let read = tokio::task::spawn_blocking(move || fs::read_to_string(pipe).unwrap());
        let written = read.await.unwrap();
        assert_eq!(written.lines().count(), 1, "one writes at a time: {written}");
    }

    // covers: P7
    #[test]
    fn what_another_fleet_said_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::load(folder.path().to_owned());
        checkpoints.take(&checkpoint(1, 9));
        checkpoints.keep().unwrap();
        Checkpoints::forget(folder.path()).unwrap();
        assert_eq!(Checkpoints::load(folder.path().to_owned()).newest(), None);
        Checkpoints::forget(folder.path()).unwrap();
    }

    #[test]
    fn what_is_not_a_checkpoint_is_left() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), [0xff, 0xfe]).unwrap();
        let checkpoints = Checkpoints::load(folder.path().to_owned());
        for odd in ["", "AAAA", "\u{e9}", &"A".repeat(CHECKPOINT_BYTES_MAX + 4)] {
            checkpoints.take(odd);
        }
        assert_eq!(checkpoints.newest(), None);
        checkpoints.keep().unwrap();
    }
}
