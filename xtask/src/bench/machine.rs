//! The machine that figures were measured on, and the state of the sources.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::build;

/// What a figure means little without.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// As the kernel names it.
    pub cpu: String,
    /// How many of them.
    pub cores: usize,
    /// In gigabytes.
    pub memory_gb: u64,
    /// Its release.
    pub kernel: String,
    /// Kind of the file system that stores were made on, and its device.
    pub disk: String,
}

impl Machine {
    /// This one.
    ///
    /// * `folder`: where stores are made.
    pub fn here(folder: &Path) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let (processors, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
        let models: Vec<&str> =
            processors.lines().filter_map(|line| line.strip_prefix("model name\t: ")).collect();
        let kilobytes = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
        let kilobytes: u64 = kilobytes.trim().trim_end_matches(" kB").parse().unwrap_or_default();
        let mounts = read("/proc/mounts");
        let disk = disk_of(folder, &mounts);
        Self {
            cpu: (*models.first().unwrap_or(&"unknown processor")).to_owned(),
            cores: models.len(),
            memory_gb: kilobytes.div_ceil(1 << 20),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            disk: disk.map_or_else(|| "unknown".to_owned(), |(kind, device)| format!("{kind} on {device}")),
        }
    }

    /// Whether a file that is synced there ends up on a disk.
    pub fn has_disk(&self) -> bool {
        !["tmpfs", "ramfs", "overlay", "unknown"].iter().any(|kind| self.disk.starts_with(kind))
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cpu, cores, memory_gb, kernel, disk } = self;
        write!(f, "{cores} x {cpu}, {memory_gb} GB, {kernel}, {disk}")
    }
}

/// Kind and device of the mount that a folder lies on: the longest mount point that leads to it.
fn disk_of<'a>(folder: &Path, mounts: &'a str) -> Option<(&'a str, &'a str)> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (device, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        folder.starts_with(point).then_some((point.len(), kind, device))
    });
    // Of mounts at one point the last one is seen.
    mounts.max_by_key(|(length, ..)| *length).map(|(_, kind, device)| (kind, device))
}

/// The commit that is checked out, with a mark where files differ from it.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(build::workspace()).args(arguments).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let commit = git(&["rev-parse", "--short", "HEAD"]);
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    match (commit.is_empty(), changed.is_empty()) {
        (true, _) => "unknown".to_owned(),
        (false, true) => commit,
        (false, false) => format!("{commit} and changes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "/dev/vda / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n";

    #[test]
    fn the_longest_mount_point_decides() {
        assert_eq!(disk_of(Path::new("/srv/target"), MOUNTS), Some(("ext4", "/dev/vda")));
        assert_eq!(disk_of(Path::new("/dev/shm/target"), MOUNTS), Some(("tmpfs", "tmpfs")));
        assert_eq!(disk_of(Path::new("/dev/shmall"), MOUNTS), Some(("ext4", "/dev/vda")));
        assert_eq!(disk_of(Path::new("/srv"), ""), None);
    }

    #[test]
    fn memory_is_no_disk() {
        let machine = Machine::here(Path::new("/"));
        assert!(!Machine { disk: "tmpfs on tmpfs".to_owned(), ..machine.clone() }.has_disk());
        assert!(Machine { disk: "ext4 on /dev/vda".to_owned(), ..machine }.has_disk());
    }
}
