//! Memory and processor time that end: a control group of the first version, for one scenario.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use crate::time::wait_for;

/// Where the controllers are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// A group of processes with a limit; removed when dropped, when nothing is in it.
pub struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// A group whose processes have so much memory, in bytes; beyond it the kernel kills them.
    ///
    /// # Panics
    /// When the kernel has no memory controller of the first version.
    pub fn with_memory(bytes: u64) -> Self {
        let group = Self::make("memory");
        group.set("memory.limit_in_bytes", bytes);
        group
    }

    /// A group whose processes get so many hundredths of one processor.
    ///
    /// # Panics
    /// When the kernel has no processor controller of the first version.
    pub fn with_processor_percent(percent: u64) -> Self {
        const PERIOD_US: u64 = 100_000;
        let group = Self::make("cpu");
        group.set("cpu.cfs_period_us", PERIOD_US);
        group.set("cpu.cfs_quota_us", PERIOD_US * percent / 100);
        group
    }

    /// A group that may have so many threads; making a further one fails.
    ///
    /// A limit of the process (RLIMIT_NPROC) does not hold for root, this does.
    ///
    /// # Panics
    /// When the kernel has no controller of process numbers of the first version.
    pub fn with_threads(count: u64) -> Self {
        let group = Self::make("pids");
        group.set("pids.max", count);
        group
    }

    fn make(controller: &str) -> Self {
        let name = format!("postern-rig-{}-{}", std::process::id(), crate::time::unix_now());
        let folder = Path::new(ROOT).join(controller).join(name);
        fs::create_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        Self { folder }
    }

    fn set(&self, setting: &str, value: u64) {
        let file = self.folder.join(setting);
        fs::write(&file, value.to_string()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// Puts a running process into it, with all of its threads.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn take(&self, process: Pid) {
        self.set("cgroup.procs", process.as_raw_nonzero().get() as u64);
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that was killed leaves the group a moment later.
        wait_for("the control group to be empty", || fs::remove_dir(&self.folder).ok());
    }
}
