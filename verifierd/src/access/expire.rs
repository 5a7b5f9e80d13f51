//! The end of what nobody ended: requests that nobody decided, passwords that nobody used, and those that wrong tries
//! have spoilt. Whether something is over is looked at when it is used; this writes it down, and forgets what is long over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ledger::Entry;

use super::letters::About;
use super::record::{Ending, Standing, put_time};
use super::table::{Item, WRONG_TRIES_MAX};
use super::{Requests, Step, Stepped};

/// How often it is written down what time it is while something waits. So much may a start under a clock that was set back
/// add to the time of what waits, and no more.
const NOTE_TIME_EVERY: Duration = Duration::from_secs(30);

impl Requests {
    /// Writes down what time it is, if that was not done a moment ago and something waits.
    async fn note_time_at_times(&self) {
        let now = self.tools.clock.elapsed();
        let noted = Duration::from_millis(self.shelf.noted_ms.load(Ordering::Relaxed));
        if !noted.is_zero() && now.saturating_sub(noted) < NOTE_TIME_EVERY {
            return;
        }
        let waits = |item: &Arc<Item>| !matches!(item.record.standing(), Standing::Ended(_));
        if self.shelf.lock().all().iter().any(waits) {
            let noted = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).max(1);
            self.shelf.noted_ms.store(noted, Ordering::Relaxed);
            self.note_time().await;
        }
    }

    /// Writes down what time it is, as the clock that never goes back has it.
    pub(super) async fn note_time(&self) {
        let (wall, elapsed) = self.shelf.begun;
        let at = wall.saturating_add(self.tools.clock.elapsed().saturating_sub(elapsed).as_secs());
        let entry = Entry { changes: vec![put_time(at)], ..Entry::default() };
        // Where the store takes nothing, nothing is decided either.
        let _ = self.tools.ledger.submit(entry).await;
    }

    /// Ends or forgets up to `most` requests whose time is over; how many there were.
    pub async fn sweep(self: &Arc<Self>, most: usize) -> usize {
        self.note_time_at_times().await;
        let now = self.tools.clock.elapsed();
        let due = self.shelf.lock().due(now, most);
        let seen = due.len();
        let mut forgotten = Vec::new();
        for item in due {
            match item.record.standing() {
                Standing::Ended(_) => forgotten.push(item.record.id),
                Standing::Pending | Standing::Issued => {
                    let me = Arc::clone(self);
                    // Whatever hinders it hinders it no more at the next sweep.
                    let _ = self.turns.take(async move { me.end_if_over(&item).await }).await;
                }
            }
        }
        for id in forgotten {
            let Some(item) = self.shelf.find(id) else { continue };
            let entry = Entry { changes: item.record.forget(), ..Entry::default() };
            if self.tools.ledger.submit(entry).await == ledger::Outcome::Committed {
                self.shelf.lock().remove(id);
            }
        }
        seen
    }

    /// Ends a request whose time is over, or whose password too many wrong tries have spoilt.
    pub(super) async fn end_if_over(&self, item: &Arc<Item>) -> Stepped {
        let step = match self.ending_of(item) {
            Ok(Some(step)) => step,
            Ok(None) => return Stepped::Done(Arc::clone(item)),
            Err(error) => return Stepped::NoRandom(error),
        };
        self.step(step).await
    }

    fn ending_of(&self, item: &Item) -> Result<Option<Step>, crate::keys::KeyError> {
        let (was, is) = (item.record.standing(), item.standing(&*self.tools.clock));
        let (what, event, reason, mail, why) = match (was, is) {
            (Standing::Pending, Standing::Ended(Ending::Expired)) => {
                (Ending::Expired, "access_expired", "not_decided", Some(About::Expired), None)
            }
            (Standing::Issued, Standing::Ended(Ending::Expired)) => {
                (Ending::Expired, "access_expired", "not_used", None, None)
            }
            (Standing::Issued, Standing::Ended(_)) => {
                let why = Some(format!("{WRONG_TRIES_MAX} wrong tries"));
                (Ending::Void, "access_voided", "wrong_tries", None, why)
            }
            _ => return Ok(None),
        };
        self.ending(item, self.end_by(what, None, why), event, reason, mail).map(Some)
    }
}
