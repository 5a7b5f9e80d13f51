//! Reports that wait, and which of them give way where there is no room.
//!
//! Who opens and ends thousands of sessions a second, with sudo in a loop, fills this place. What gives way is his: of
//! the user with most begins first a session that is over already. So he hides neither what others do nor what he does
//! then, and how many were left out is told.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;
use wire::API_VERSION;
use wire::session::SessionsLeftOut;

use super::Report;

/// Reports that wait: an outage of a quarter of an hour at one login a second. A kilobyte each, as a rule.
pub(super) const WAITING_MAX: usize = 1_024;

/// How often it is told that sessions were left out: each time is a record in the trail and two lines in the log.
const LEFT_OUT_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Oldest first; at most [`WAITING_MAX`]. The first one may be under way, and never gives way.
    pub(super) reports: VecDeque<(Instant, Report)>,
    /// Sessions that were left out and whose end is not known yet, oldest first; at most [`WAITING_MAX`].
    gone: VecDeque<String>,
    /// How many were left out since it was told last.
    left_out: u64,
    /// Whose was left out last.
    whose: String,
    /// When it was told last.
    told: Option<Instant>,
}

impl Waiting {
    /// Takes a report; `false` where there is no room and nothing that should rather give way.
    pub(super) fn take(&mut self, now: Instant, report: Report) -> bool {
        if self.is_end_of_gone(&report) {
            return true;
        }
        if self.reports.len() >= WAITING_MAX {
            if !self.make_room(&report) {
                if let Some(user) = report.asker() {
                    self.leave_out(user.to_owned(), Some(report.session().to_owned()));
                }
                return false;
            }
            // What gave way may have been its own begin.
            if self.is_end_of_gone(&report) {
                return true;
            }
        }
        self.reports.push_back((now, report));
        true
    }

    /// Has a session give way to a report, if there is one that should.
    fn make_room(&mut self, report: &Report) -> bool {
        let mut begins = BTreeMap::<&str, usize>::new();
        for asker in
            self.reports.iter().skip(1).map(|(_, other)| other).chain([report]).filter_map(Report::asker)
        {
            *begins.entry(asker).or_default() += 1;
        }
        let fullest = begins.into_iter().max_by_key(|(user, count)| (*count, Some(*user) == report.asker()));
        let Some(user) = fullest.map(|(user, _)| user.to_owned()) else { return false };
        let waiting = || self.reports.iter().map(|(_, other)| other);
        let ended: HashSet<&str> =
            waiting().filter(|other| other.asker().is_none()).map(Report::session).collect();
        let of_user = |place: &usize| self.reports[*place].1.asker() == Some(&user);
        let mut newest = (1..self.reports.len()).rev().filter(of_user);
        let is_over = |place: &usize| ended.contains(self.reports[*place].1.session());
        let over = newest.clone().find(is_over);
        let place = if report.asker() == Some(&user) { over } else { over.or_else(|| newest.next()) };
        let Some((_, begin)) = place.and_then(|place| self.reports.remove(place)) else { return false };
        let session = begin.session().to_owned();
        if over.is_some() {
            self.reports.retain(|(_, other)| other.session() != session);
        }
        self.leave_out(user, over.is_none().then_some(session));
        true
    }

    /// * `open`: the session, if its end may still come.
    fn leave_out(&mut self, user: String, open: Option<String>) {
        if self.left_out == 0 {
            tracing::error!(
                waiting = WAITING_MAX,
                user,
                "more is said of this host's sessions than a verifier hears: some are left out, of whoever has most"
            );
        }
        self.left_out += 1;
        self.whose = user;
        if self.gone.len() >= WAITING_MAX {
            self.gone.pop_front();
        }
        self.gone.extend(open);
    }

    /// Whether it is the end of a session that was left out: nobody has to hear of it.
    fn is_end_of_gone(&mut self, report: &Report) -> bool {
        let Report::Close(close) = report else { return false };
        let place = self.gone.iter().position(|gone| *gone == close.session);
        place.is_some_and(|place| self.gone.remove(place).is_some())
    }

    /// From when on it may be told that sessions were left out; none where none were.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        (self.left_out > 0).then(|| self.told.map_or(now, |told| told + LEFT_OUT_EVERY))
    }

    /// What is to be told of sessions that were left out.
    pub(super) fn left_out(&self, now: Instant) -> Option<SessionsLeftOut> {
        let is_due = self.due(now).is_some_and(|due| due <= now);
        let (count, user) = (self.left_out, self.whose.clone());
        is_due.then_some(SessionsLeftOut { api_version: API_VERSION, count, user })
    }

    /// It was told.
    pub(super) fn told_left_out(&mut self, now: Instant, count: u64) {
        self.left_out -= count.min(self.left_out);
        self.told = Some(now);
    }
}
