//! The audit trail out of the store: to the journal, and to a file of JSON lines.
//!
//! A sink reads the trail, on a thread of its own, and keeps a cursor: the last record that it took over. So a login waits
//! for no sink, the cursor is the queue, and a sink that was down goes on where it stood: every record is shipped, in
//! order, some of them twice after a crash. Whether it lags shows in metrics and in the status; records that a sink has
//! not taken over are not removed.

mod journal;
mod lines;
mod shipper;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ledger::{Ledger, ReadError};
use wire::admin::AuditRecord;

use super::damage::Damage;
use crate::accounts::kind;
use crate::clock::{Clock, UnixTime};
use crate::config::AuditConfig;
use journal::Journal;
use lines::LinesFile;
use shipper::Shipper;

/// From so many seconds on, what waits for a sink is an alarm: a sink that works is a second behind.
pub const LAG_ALARM_S: u64 = 60;

/// How long the end waits for all sinks together: a datagram that nobody reads is given up after a second. What is not shipped
/// then is shipped after the next start.
const END_WAIT_MAX: Duration = Duration::from_secs(2);

/// Where records go.
trait Outlet: Send {
    /// Takes records over, oldest first. Tells how many it has taken, and why not all.
    fn take(&mut self, records: &[AuditRecord]) -> (usize, Result<(), OutletError>);

    /// Makes what it has taken durable, where that is its to do.
    fn make_durable(&mut self) -> Result<(), OutletError> {
        Ok(())
    }

    /// Looks anew for where records go.
    fn reopen(&mut self) {}
}

/// Why records are not taken.
#[derive(Debug, thiserror::Error)]
enum OutletError {
    /// A file or a socket that does not take them.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file that others may look into, or write to.
    #[error("{path} has mode {mode:04o}: records are for root alone, so 0600 is needed")]
    Open {
        /// Which one.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file that we do not write to.
    #[error("{path} is no regular file that is ours")]
    Unfit {
        /// Which one.
        path: PathBuf,
    },
    /// The store does not give or take what it should.
    #[error("the store: {0}")]
    Store(String),
}

impl OutletError {
    fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }
}

/// How a sink stands; written by its thread.
#[derive(Debug, Default)]
struct Standing {
    /// The last record that it took over.
    shipped: AtomicU64,
    /// The same, as it stands in the store.
    kept: AtomicU64,
    /// When the oldest record was made that it has not taken over, in seconds since the Unix epoch; 0 for none.
    oldest: AtomicU64,
    /// Since when it has taken over more than is kept, on the same clock; 0 where it has not.
    unkept: AtomicU64,
    /// Why it takes none.
    trouble: Mutex<Option<String>>,
}

/// What a sink is told.
enum Order {
    Reopen,
    End,
}

/// A sink, as others see it.
struct Sink {
    name: &'static str,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    standing: Arc<Standing>,
    orders: SyncSender<Order>,
    /// Told when the thread has ended.
    ended: Mutex<Receiver<()>>,
}

/// How a sink stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkFigures {
    /// `journald` or `json_lines`.
    pub name: &'static str,
    /// Records of the trail that it has not taken over; or, where it cannot make sure of what it took, that are not kept.
    pub lag_records: u64,
    /// How old the oldest of them is, in seconds, or how long it should have been kept; 0 for none.
    pub lag_seconds: u64,
    /// Why it takes none.
    pub trouble: Option<String>,
}

impl SinkFigures {
    /// What is to be said about it in the status, if anything is.
    pub fn alarm(&self) -> Option<String> {
        let Self { name, lag_records, lag_seconds, trouble } = self;
        let why = trouble.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        (*lag_seconds > LAG_ALARM_S).then(|| {
            format!(
                "{lag_records} records of the audit trail wait for {name}, the oldest for {lag_seconds} s{why}; they are in the \
                 store, and logins go on"
            )
        })
    }
}

/// All sinks that are configured.
#[derive(Default)]
pub struct Sinks(Vec<Sink>, Arc<Damage>);

impl fmt::Debug for Sinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|sink| sink.name)).finish()
    }
}

impl Sinks {
    /// Starts a thread for each sink that is configured. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read. A sink that does not take anything is no error.
    pub fn start(
        config: &AuditConfig,
        ledger: &Arc<dyn Ledger>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ReadError> {
        let mut outlets: Vec<(&'static str, Box<dyn Outlet>)> = Vec::new();
        if config.journald {
            outlets.push(("journald", Box::new(Journal::at(journal::SOCKET.as_ref()))));
        }
        if let Some(path) = &config.json_lines {
            outlets.push(("json_lines", Box::new(LinesFile::at(path))));
        }
        let damage = Arc::default();
        let start = |(name, outlet)| Sink::start(name, outlet, ledger, clock, &damage);
        Ok(Self(outlets.into_iter().map(start).collect::<Result<_, _>>()?, damage))
    }

    /// What was come upon that cannot be read, by them or by others.
    pub fn damage(&self) -> &Damage {
        &self.1
    }

    /// How they stand.
    pub fn figures(&self, now: UnixTime) -> Vec<SinkFigures> {
        self.0.iter().map(|sink| sink.figures(now)).collect()
    }

    /// Every sink has taken over the trail up to this record, and will not ask for it again; none is configured where this
    /// is the largest number there is.
    pub fn taken_over(&self) -> u64 {
        let kept = self.0.iter().map(|sink| sink.standing.kept.load(Ordering::Acquire));
        kept.min().unwrap_or(u64::MAX)
    }

    /// Has files opened anew: they were moved.
    pub fn reopen(&self) {
        for sink in &self.0 {
            // Where orders wait already, one of them does it.
            let _ = sink.orders.try_send(Order::Reopen);
        }
    }

    /// Ends all of them, and waits a little for what they are at. Blocks.
    pub fn end(&self) {
        for sink in &self.0 {
            // A sink with orders waiting is stuck in a write, or has ended: nothing is lost with it.
            let _ = sink.orders.try_send(Order::End);
        }
        let deadline = self.0.first().map(|sink| sink.clock.elapsed() + END_WAIT_MAX).unwrap_or_default();
        for sink in &self.0 {
            let patience = deadline.saturating_sub(sink.clock.elapsed());
            let ended = sink.ended.lock().unwrap_or_else(PoisonError::into_inner);
            if ended.recv_timeout(patience) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                tracing::warn!(
                    sink = sink.name,
                    "the sink does not end: what it has not taken is shipped later"
                );
            }
        }
    }
}

impl Sink {
    fn start(
        name: &'static str,
        outlet: Box<dyn Outlet>,
        ledger: &Arc<dyn Ledger>,
        clock: &Arc<dyn Clock>,
        damage: &Arc<Damage>,
    ) -> Result<Self, ReadError> {
        let cursor = ledger.record(kind::SINK, name.as_bytes())?;
        let cursor = cursor.and_then(|cursor| cursor.try_into().ok()).map_or(0, u64::from_be_bytes);
        let standing = Arc::new(Standing::default());
        standing.shipped.store(cursor, Ordering::Relaxed);
        standing.kept.store(cursor, Ordering::Relaxed);
        // One order waits for the thread, and the end behind it.
        let (orders, taken) = sync_channel(2);
        let (tell, ended) = sync_channel(1);
        let (trail, time) = (Arc::clone(ledger), Arc::clone(clock));
        let shipper = Shipper::new(name, outlet, trail, time, Arc::clone(&standing), Arc::clone(damage));
        let run = move || {
            shipper.run(&taken);
            // Nobody waits for it but the end.
            let _ = tell.send(());
        };
        let thread = std::thread::Builder::new().name(format!("audit-{name}"));
        if let Err(error) = thread.spawn(run) {
            // It lags from now on, and the status says so.
            tracing::error!(sink = name, %error, "no thread could be started for the sink");
            *standing.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            standing.oldest.store(clock.now(), Ordering::Relaxed);
        }
        let (ledger, clock, ended) = (Arc::clone(ledger), Arc::clone(clock), Mutex::new(ended));
        Ok(Self { name, ledger, clock, standing, orders, ended })
    }

    fn figures(&self, now: UnixTime) -> SinkFigures {
        let Standing { shipped, kept, oldest, unkept, trouble } = &*self.standing;
        let since = |at: &AtomicU64| match at.load(Ordering::Relaxed) {
            0 => 0,
            at => now.saturating_sub(at),
        };
        // What is taken over is kept some seconds later; where it is not, the thread may be stuck, and says nothing.
        let overdue = since(unkept).saturating_sub(shipper::KEEP_EVERY.as_secs() + LAG_ALARM_S);
        let (taken, lag_seconds) = match overdue {
            0 => (shipped, since(oldest)),
            _ => (kept, since(unkept).max(since(oldest))),
        };
        SinkFigures {
            name: self.name,
            lag_records: self.ledger.figures().audit_newest.saturating_sub(taken.load(Ordering::Relaxed)),
            lag_seconds,
            trouble: trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

#[cfg(test)]
mod tests;
