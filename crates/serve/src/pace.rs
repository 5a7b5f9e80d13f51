//! How long a connection may take: for a head, a request, a reply, and for silence.
//!
//! Nothing is timed for each request. A connection looks at itself once a second: a request leaves a mark in the
//! second in which its head began, and takes it away when its reply was written. Deadlines are right to a second, and
//! a request costs a few additions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior};

/// Seconds until the first head is there, the TLS handshake before it included, and for each later head once it has
/// begun. A caller sends a head in one piece; the rest is for a network that loses packets.
pub const HEAD_SECONDS_MAX: u32 = 10;

/// Seconds for a whole request, from the first byte of its head until the caller has taken its reply. Of them at least
/// 20 are left when its head is there: that is when a login gives up.
pub const REQUEST_SECONDS_MAX: usize = 30;

/// Seconds that a connection is kept without a request. A busy caller sends one every few seconds.
pub const IDLE_SECONDS_MAX: u32 = 60;

/// How often a connection looks at itself.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What goes on at a connection. Every number has one writer at a time, and whoever reads them late by a moment
/// judges late by a moment: `Relaxed` is enough for all of them.
#[derive(Debug, Default)]
pub struct Marks {
    /// Requests that are not over.
    open: AtomicU32,
    /// All requests so far.
    begun: AtomicU32,
    /// Those that are not over, by the second in which they began.
    by_second: [AtomicU32; REQUEST_SECONDS_MAX],
    /// The present second.
    hand: AtomicUsize,
    /// For how many seconds the next request's head has been coming.
    head: AtomicU32,
    /// The second in which the request began whose reply was written last.
    replied: AtomicUsize,
    /// Whether anything came since the last request.
    has_read: AtomicBool,
    /// Whether the caller has not taken all that was written.
    is_writing: AtomicBool,
}

impl Marks {
    /// A request's head is there. The time that it took to come is the request's own.
    pub fn begin(self: &Arc<Self>) -> Mark {
        let head = self.head.load(Ordering::Relaxed) as usize;
        let second = (self.hand.load(Ordering::Relaxed) + REQUEST_SECONDS_MAX - head) % REQUEST_SECONDS_MAX;
        self.has_read.store(false, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        self.by_second[second].fetch_add(1, Ordering::Relaxed);
        Mark { marks: Arc::clone(self), second }
    }

    /// Something came.
    pub fn note_read(&self) {
        self.has_read.store(true, Ordering::Relaxed);
    }

    /// The caller takes no more, or has taken all.
    pub fn note_writing(&self, is_writing: bool) {
        self.is_writing.store(is_writing, Ordering::Relaxed);
    }
}

/// A request that is not over.
#[derive(Debug)]
pub struct Mark {
    marks: Arc<Marks>,
    second: usize,
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.marks.by_second[self.second].fetch_sub(1, Ordering::Relaxed);
        self.marks.open.fetch_sub(1, Ordering::Relaxed);
        self.marks.replied.store(self.second, Ordering::Relaxed);
        // What came with the last bytes of a request is no head that has begun.
        self.marks.has_read.store(false, Ordering::Relaxed);
    }
}

/// What was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// A head, or the handshake before it.
    Head,
    /// A request.
    Request,
    /// The caller's reading.
    Reply,
    /// No request came.
    Idle,
    /// The connection as a whole.
    Conversation,
}

/// Which deadlines hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// Whether requests are bounded by [`REQUEST_SECONDS_MAX`].
    pub bounds_requests: bool,
    /// Seconds for the connection as a whole.
    pub conversation: Option<u32>,
    /// Seconds until the first head of a caller who has not shown who he is, the TLS handshake included; as for anybody
    /// else ([`HEAD_SECONDS_MAX`]) where there is none.
    pub stranger: Option<u32>,
}

impl Terms {
    /// Requests are bounded; how many there are on a connection, nobody counts.
    pub const BOUNDED: Self = Self { bounds_requests: true, conversation: None, stranger: None };
}

/// Looks at one connection.
#[derive(Debug)]
pub struct Pace {
    marks: Arc<Marks>,
    terms: Terms,
    every: Interval,
    /// Whether several requests share the connection. Other things than heads come then too, so that a later head
    /// that does not end is bounded as silence is.
    pub is_multiplexed: bool,
    seconds: Seconds,
}

/// How long things have lasted.
#[derive(Debug, Default)]
struct Seconds {
    total: u32,
    head: u32,
    idle: u32,
    reply: usize,
    begun_before: u32,
}

impl Pace {
    /// From now on. To be called on a runtime.
    pub fn new(terms: Terms) -> Self {
        let mut every = tokio::time::interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        // Lateness does not add up, and what the daemon itself slept through is nobody's fault.
        every.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (marks, seconds) = Default::default();
        Self { marks, terms, every, is_multiplexed: false, seconds }
    }

    /// Where the connection leaves its marks.
    pub fn marks(&self) -> &Arc<Marks> {
        &self.marks
    }

    /// The caller has shown who he is.
    pub fn know(&mut self) {
        self.terms.stranger = None;
    }

    /// Waits until something is too slow. Nothing is lost when the wait is given up and begun again.
    pub async fn overdue(&mut self) -> Overdue {
        loop {
            self.every.tick().await;
            if let Some(overdue) = self.look() {
                return overdue;
            }
        }
    }

    /// A second has passed.
    fn look(&mut self) -> Option<Overdue> {
        let (marks, seconds) = (&self.marks, &mut self.seconds);
        let hand = (marks.hand.load(Ordering::Relaxed) + 1) % REQUEST_SECONDS_MAX;
        marks.hand.store(hand, Ordering::Relaxed);
        seconds.total = seconds.total.saturating_add(1);
        if self.terms.conversation.is_some_and(|most| seconds.total >= most) {
            return Some(Overdue::Conversation);
        }
        // What is still there when the hand comes round to it began a whole round ago.
        if self.terms.bounds_requests && marks.by_second[hand].load(Ordering::Relaxed) > 0 {
            return Some(Overdue::Request);
        }
        let is_writing = marks.is_writing.load(Ordering::Relaxed);
        seconds.reply = match (is_writing, seconds.reply) {
            (false, _) => 0,
            // A reply that is stuck is as old as its request.
            (true, 0) => age(marks.replied.load(Ordering::Relaxed), hand),
            (true, reply) => reply + 1,
        };
        if self.terms.bounds_requests && seconds.reply >= REQUEST_SECONDS_MAX {
            return Some(Overdue::Reply);
        }
        let begun = marks.begun.load(Ordering::Relaxed);
        let is_busy = is_writing || marks.open.load(Ordering::Relaxed) > 0;
        if is_busy || begun != seconds.begun_before {
            (seconds.head, seconds.idle) = (0, 0);
            marks.head.store(0, Ordering::Relaxed);
        }
        seconds.begun_before = begun;
        if is_busy {
            return None;
        }
        seconds.idle += 1;
        let has_head_begun = begun == 0 || (!self.is_multiplexed && marks.has_read.load(Ordering::Relaxed));
        seconds.head = if has_head_begun { seconds.head + 1 } else { 0 };
        marks.head.store(seconds.head, Ordering::Relaxed);
        let head_max = self.terms.stranger.filter(|_| begun == 0).unwrap_or(HEAD_SECONDS_MAX);
        match (seconds.head >= head_max, seconds.idle >= IDLE_SECONDS_MAX) {
            (true, _) => Some(Overdue::Head),
            (false, true) => Some(Overdue::Idle),
            (false, false) => None,
        }
    }
}

/// Seconds from one to another, 1 to [`REQUEST_SECONDS_MAX`]: what begins now is a second old at the next look.
fn age(begun: usize, hand: usize) -> usize {
    match (hand + REQUEST_SECONDS_MAX - begun) % REQUEST_SECONDS_MAX {
        0 => REQUEST_SECONDS_MAX,
        age => age,
    }
}

#[cfg(test)]
mod tests;
