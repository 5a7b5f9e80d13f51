//! Notes what the machine looks like, and later tells whether a run in the sandbox left anything behind.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Mounts, sockets of ours, and every file under /etc with its size, mode and time of change.
pub struct Witness {
    mounts: String,
    ours: Vec<PathBuf>,
    etc: BTreeMap<PathBuf, (u64, u32, i64)>,
}

/// What a daemon or a rig of ours would leave outside the sandbox.
const TRACES: [&str; 4] = ["/run/postern", "/run/postern-rig", "/var/lib/postern", "/etc/postern"];

impl Witness {
    /// # Errors
    /// When /proc or /etc cannot be read.
    pub fn take() -> Result<Self> {
        let mut etc = BTreeMap::new();
        list(Path::new("/etc"), &mut etc)?;
        let ours = TRACES.iter().map(PathBuf::from).filter(|path| path.exists()).collect();
        let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
        Ok(Self { mounts, ours, etc })
    }

    /// # Errors
    /// When a mount, a file under /etc or a folder of ours is new, gone or changed.
    pub fn compare(&self) -> Result<()> {
        let after = Self::take()?;
        ensure!(after.mounts == self.mounts, "the mounts changed");
        ensure!(after.ours == self.ours, "left behind: {:?}", after.ours);
        let changed: Vec<_> =
            after.etc.iter().filter(|(path, state)| self.etc.get(*path) != Some(state)).collect();
        ensure!(changed.is_empty(), "changed: {changed:?}");
        ensure!(after.etc.len() == self.etc.len(), "a file under /etc is gone");
        Ok(())
    }
}

fn list(folder: &Path, found: &mut BTreeMap<PathBuf, (u64, u32, i64)>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry.context("folder entry")?.path();
        let Ok(state) = path.symlink_metadata() else { continue };
        found.insert(path.clone(), (state.size(), state.mode(), state.mtime()));
        if state.is_dir() {
            list(&path, found)?;
        }
    }
    Ok(())
}
