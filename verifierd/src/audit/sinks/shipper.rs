//! The thread of a sink: reads the trail behind its cursor, hands records over, and keeps the cursor.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ledger::{AuditStretch, Change, Entry, Ledger, Outcome, ReadError};

use super::{Order, Outlet, OutletError, Standing};
use crate::accounts::kind;
use crate::audit::damage::Damage;
use crate::audit::{record, unix_time};
use crate::clock::Clock;

/// How often it looks whether anything was written. That costs nothing; the trail is read only where something was.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After a failure it waits longer: reading keeps the store's writer from its quiet moments, which are a second long.
const RETRY_EVERY: Duration = Duration::from_secs(5);

/// Most records in one reading, which takes the store's writer about a millisecond, and at most 4 MiB of memory.
const RECORDS_MAX: usize = 256;

/// Most records that are handed over at once: then it looks whether it is to end, and whether the cursor is to be kept.
const PIECE_RECORDS_MAX: usize = 32;

/// The cursor is kept this often while it moves; so much is shipped twice after a crash.
pub(super) const KEEP_EVERY: Duration = Duration::from_secs(10);

/// Troubles that come again sooner are not told again.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Whether there is more to ship.
enum Shipped {
    More,
    All,
}

/// The state behind the thread.
pub(super) struct Shipper {
    name: &'static str,
    outlet: Box<dyn Outlet>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    standing: Arc<Standing>,
    damage: Arc<Damage>,
    /// Entries that the ledger had written when everything was shipped.
    entries: Option<u64>,
    /// When the cursor was kept, and when a trouble was told, on the clock that never goes back.
    kept_at: Duration,
    told_at: Option<Duration>,
    is_in_trouble: bool,
    is_told: bool,
}

impl Shipper {
    pub(super) fn new(
        name: &'static str,
        outlet: Box<dyn Outlet>,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        standing: Arc<Standing>,
        damage: Arc<Damage>,
    ) -> Self {
        let kept_at = clock.elapsed();
        let (entries, told_at, is_in_trouble, is_told) = (None, None, false, false);
        Self {
            name,
            outlet,
            ledger,
            clock,
            standing,
            damage,
            entries,
            kept_at,
            told_at,
            is_in_trouble,
            is_told,
        }
    }

    /// Ships until it is told to end, or the ledger has.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let patience = if self.is_in_trouble { RETRY_EVERY } else { LOOK_EVERY };
            match orders.recv_timeout(patience) {
                Ok(Order::Reopen) => self.outlet.reopen(),
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.ship_all(orders).is_err() {
                break;
            }
        }
        // Where it cannot be kept, some records are shipped again.
        let _ = self.keep();
    }

    /// Ships what there is. An error says that it is to end.
    fn ship_all(&mut self, orders: &Receiver<Order>) -> Result<(), ()> {
        let written = self.ledger.figures().entries;
        if self.entries != Some(written) || self.is_in_trouble {
            loop {
                match self.ship(orders) {
                    Ok(Shipped::More) => {}
                    Ok(Shipped::All) => {
                        self.entries = Some(written);
                        self.end_trouble();
                        break;
                    }
                    Err(Fault::Ended) => return Err(()),
                    Err(Fault::Outlet(error)) => {
                        self.note_trouble(&error);
                        break;
                    }
                }
            }
        }
        if let Err(error) = self.keep_where_due() {
            self.note_trouble(&error);
        }
        Ok(())
    }

    /// Ships some records.
    fn ship(&mut self, orders: &Receiver<Order>) -> Result<Shipped, Fault> {
        let shipped = self.standing.shipped.load(Ordering::Relaxed);
        let newest = self.ledger.audit_newest()?;
        let AuditStretch { lines, damaged } = self.ledger.audit_around_damage(shipped, RECORDS_MAX)?;
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
            return Ok(self.pass(damaged));
        };
        // A time that cannot be read is none that counts, nor is one that is yet to come.
        let now = self.clock.now();
        let oldest = unix_time(&record(first).at).map_or(now, |at| at.min(now));
        self.standing.oldest.store(oldest.max(1), Ordering::Relaxed);
        let through = last.sequence;
        let records: Vec<_> = lines.iter().map(record).collect();
        for piece in records.chunks(PIECE_RECORDS_MAX) {
            self.heed(orders)?;
            let (taken, end) = self.outlet.take(piece);
            if let Some(last) = taken.checked_sub(1).and_then(|last| piece.get(last)) {
                self.standing.shipped.store(last.sequence, Ordering::Relaxed);
                let at = self.clock.now().max(1);
                let _ = self.standing.unkept.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed);
            }
            end.map_err(Fault::Outlet)?;
            self.keep_where_due().map_err(Fault::Outlet)?;
        }
        Ok(if damaged.is_some() {
            self.pass(damaged)
        } else if through < newest {
            Shipped::More
        } else {
            self.caught_up()
        })
    }

    /// Goes on behind what cannot be read, and tells of it before anything else does.
    fn pass(&self, damaged: Option<RangeInclusive<u64>>) -> Shipped {
        let Some(damaged) = damaged else { return self.caught_up() };
        self.damage.note(&damaged, &*self.ledger, self.clock.now());
        self.standing.shipped.store(*damaged.end(), Ordering::Relaxed);
        let at = self.clock.now().max(1);
        let _ = self.standing.unkept.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed);
        Shipped::More
    }

    fn caught_up(&self) -> Shipped {
        self.standing.oldest.store(0, Ordering::Relaxed);
        Shipped::All
    }

    fn heed(&mut self, orders: &Receiver<Order>) -> Result<(), Fault> {
        match orders.try_recv() {
            Ok(Order::Reopen) => self.outlet.reopen(),
            Ok(Order::End) | Err(TryRecvError::Disconnected) => return Err(Fault::Ended),
            Err(TryRecvError::Empty) => {}
        }
        Ok(())
    }

    fn keep_where_due(&mut self) -> Result<(), OutletError> {
        let Standing { shipped, kept, .. } = &*self.standing;
        let has_moved = shipped.load(Ordering::Relaxed) != kept.load(Ordering::Relaxed);
        let is_due = has_moved && self.clock.elapsed().saturating_sub(self.kept_at) >= KEEP_EVERY;
        if is_due { self.keep() } else { Ok(()) }
    }

    /// Makes what was shipped durable, and the cursor after it.
    fn keep(&mut self) -> Result<(), OutletError> {
        self.kept_at = self.clock.elapsed();
        let shipped = self.standing.shipped.load(Ordering::Relaxed);
        if shipped == self.standing.kept.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.outlet.make_durable()?;
        let (key, value) = (self.name.as_bytes().to_vec(), shipped.to_be_bytes().to_vec());
        let changes = vec![Change::Put { kind: kind::SINK, key, value }];
        match self.ledger.submit(Entry { changes, ..Entry::default() }).wait() {
            Outcome::Committed => {
                // Release pairs with the reading of those who remove records.
                self.standing.kept.store(shipped, Ordering::Release);
                self.standing.unkept.store(0, Ordering::Relaxed);
                Ok(())
            }
            outcome => Err(OutletError::Store(format!("the cursor could not be kept: {outcome:?}"))),
        }
    }

    fn note_trouble(&mut self, error: &OutletError) {
        let told = error.to_string();
        let now = self.clock.elapsed();
        let is_quiet = self.told_at.is_none_or(|at| now.saturating_sub(at) >= TELL_EVERY);
        if !self.is_told && is_quiet {
            tracing::warn!(
                sink = self.name,
                error = told,
                "the audit trail is not shipped; it is in the store all the same"
            );
            (self.is_told, self.told_at) = (true, Some(now));
        }
        self.is_in_trouble = true;
        // Where not even the trail could be read, what waits is as old as the trouble.
        let at = self.clock.now().max(1);
        let _ = self.standing.oldest.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed);
        *self.standing.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }

    fn end_trouble(&mut self) {
        if !std::mem::take(&mut self.is_in_trouble) {
            return;
        }
        *self.standing.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if std::mem::take(&mut self.is_told) {
            tracing::info!(sink = self.name, "the audit trail is shipped again, and nothing is missing");
        }
    }
}

/// Why nothing more was shipped.
enum Fault {
    /// It is to end, or the ledger has.
    Ended,
    Outlet(OutletError),
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => Self::Ended,
            error => Self::Outlet(OutletError::Store(error.to_string())),
        }
    }
}
