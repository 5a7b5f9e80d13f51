//! Where the library of the directory works: one thread of its own, and those that resolve names for it.
//!
//! The library takes an answer for LDAP and panics where it is none. The daemon ends with a thread that panics, but for
//! these: they hold nothing of the rest of the daemon's, a question that panics is an error, and its connection is closed
//! (decision 0025).

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// What these threads are called; a panic of theirs does not end the process.
pub const THREAD_NAME: &str = "directory";

/// Names that are resolved at once: as many as there are seats.
const BLOCKING_MAX: usize = super::AT_ONCE_MAX;

/// The threads, ended when they are dropped.
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    pub(super) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(1).max_blocking_threads(BLOCKING_MAX).thread_name(THREAD_NAME);
        Ok(Self(Some(builder.enable_all().build()?)))
    }

    /// Does some work there; nothing comes of it where it panics. It ends with whoever waits for it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let mut tasks = JoinSet::new();
        tasks.spawn_on(work, self.0.as_ref()?.handle());
        tasks.join_next().await?.ok()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // It is dropped by a task, which must not wait.
            runtime.shutdown_background();
        }
    }
}
