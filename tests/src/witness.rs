//! Looks at what every user of the machine can look at, while something goes on: command lines and environments.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Every command line and environment that was to be seen while something went on, and what that came to.
///
/// # Panics
/// When it panics, or when the daemon itself was not seen: then the witness saw nothing.
pub fn watch<T>(something: impl FnOnce() -> T) -> (T, BTreeSet<String>) {
    let done = AtomicBool::new(false);
    let (outcome, seen) = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                look_at_processes(&mut seen);
            }
            seen
        });
        // A panic here must end the watcher too, else the scope waits for ever.
        let end = EndOnDrop(&done);
        let outcome = something();
        drop(end);
        (outcome, watcher.join().expect("no panic"))
    });
    assert!(seen.iter().any(|text| text.contains("verifierd")), "the witness saw nothing");
    (outcome, seen)
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn look_at_processes(seen: &mut BTreeSet<String>) {
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        for part in ["cmdline", "environ"] {
            if let Ok(bytes) = fs::read(entry.path().join(part)) {
                seen.insert(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }
}
