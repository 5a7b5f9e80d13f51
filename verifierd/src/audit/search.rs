//! Looks for records in the trail, from either end, a bounded piece at a time.
//!
//! Only reads. A search that is not at its end says where to go on. Times are found by halving, so that a search in an
//! old trail does not walk past what is newer: see `CLOCK_SLACK` for what that may miss.

use ledger::{AuditLine, Ledger, ReadError};
use wire::admin::{AuditOrder, AuditRecord};

use super::{Reference, record, unix_time};
use crate::clock::UnixTime;

/// Most records that one search looks at: a fifth of a second, at some ten microseconds each.
const LOOKED_MAX: usize = 20_000;

/// Most records that are read at a time; the store's writer does nothing else meanwhile.
const STRETCH_MAX: u64 = 1_000;

/// How far back the machine's clock may have been set, ever, for all records of a time to be found: an hour in seconds,
/// the difference from which on retention takes a clock for set.
const CLOCK_SLACK: u64 = 3_600;

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// From which end.
    pub order: AuditOrder,
    /// Behind this record; 0 for all.
    pub after: u64,
    /// Before this record.
    pub before: Option<u64>,
    /// How many at most.
    pub limit: usize,
    /// The one with this reference.
    pub reference: Option<Reference>,
    /// From then on.
    pub since: Option<UnixTime>,
    /// Up to then, itself left out.
    pub until: Option<UnixTime>,
    /// What the records say.
    pub wish: Wish,
}

/// What a record has to say.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// About this account.
    pub user: Option<String>,
    /// Of this host of the fleet; `-` for the verifier's own machine.
    pub host: Option<String>,
    /// Of this event.
    pub event: Option<String>,
    /// With this text anywhere, in lower case.
    pub text: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// In the order of the search.
    pub items: Vec<AuditRecord>,
    /// The newest record of the trail.
    pub newest: u64,
    /// The last that was looked at, where there is more: `after` or `before` of the search that goes on.
    pub next: Option<u64>,
}

impl Search {
    /// Looks.
    ///
    /// # Errors
    /// When the trail cannot be read, as where a record is not as it was written.
    pub fn find(&self, ledger: &dyn Ledger) -> Result<Found, ReadError> {
        let newest = ledger.audit_newest()?;
        if let Some(reference) = self.reference {
            let line = ledger.audit_by_reference(reference.bytes())?;
            let items = line.iter().filter_map(|line| self.wanted(line)).collect();
            return Ok(Found { items, newest, next: None });
        }
        let (items, next) = match self.order {
            AuditOrder::Oldest => self.oldest(ledger, newest)?,
            AuditOrder::Newest => self.newest(ledger, newest)?,
        };
        Ok(Found { items, newest, next })
    }

    fn oldest(&self, ledger: &dyn Ledger, newest: u64) -> Result<(Vec<AuditRecord>, Option<u64>), ReadError> {
        let mut place = self.floor(ledger, newest)?;
        let end = self.ceiling(ledger, newest)?;
        let (mut found, mut looked) = (Vec::new(), 0);
        while place < end {
            let lines = lines_between(ledger, place, end, self.stretch(found.len()))?;
            let Some(last) = lines.last() else { return Ok((found, None)) };
            place = last.sequence;
            looked += lines.len();
            for line in &lines {
                found.extend(self.wanted(line));
                if found.len() >= self.limit {
                    return Ok((found, Some(line.sequence).filter(|next| *next < end)));
                }
            }
            if looked >= LOOKED_MAX {
                return Ok((found, Some(place).filter(|next| *next < end)));
            }
        }
        Ok((found, None))
    }

    fn newest(&self, ledger: &dyn Ledger, newest: u64) -> Result<(Vec<AuditRecord>, Option<u64>), ReadError> {
        let floor = self.floor(ledger, newest)?;
        let mut end = self.ceiling(ledger, newest)?;
        let (mut found, mut looked) = (Vec::new(), 0);
        while let Some((from, to)) = stretch_before(ledger, floor, end, self.stretch(found.len()))? {
            let lines = lines_between(ledger, from, to, to - from)?;
            looked += lines.len();
            for line in lines.iter().rev() {
                found.extend(self.wanted(line));
                if found.len() >= self.limit {
                    return Ok((found, Some(line.sequence).filter(|next| *next > floor + 1)));
                }
            }
            end = from;
            if looked >= LOOKED_MAX && end > floor {
                return Ok((found, Some(end + 1)));
            }
        }
        Ok((found, None))
    }

    /// How many places to read next: what is missing, or as many as may be where most may be others.
    fn stretch(&self, found: usize) -> u64 {
        let Wish { user, host, event, text } = &self.wish;
        let is_choosy = [user, host, event, text].into_iter().any(Option::is_some);
        let missing = u64::try_from(self.limit.saturating_sub(found)).unwrap_or(u64::MAX);
        if is_choosy { STRETCH_MAX } else { missing.clamp(1, STRETCH_MAX) }
    }

    /// The record behind which all that is wanted stands.
    fn floor(&self, ledger: &dyn Ledger, newest: u64) -> Result<u64, ReadError> {
        let Some(since) = self.since else { return Ok(self.after) };
        let is_before = |at: Option<UnixTime>| at.is_some_and(|at| at < since.saturating_sub(CLOCK_SLACK));
        Ok(last_of(ledger, newest, is_before)?.max(self.after))
    }

    /// The last record that may be wanted.
    fn ceiling(&self, ledger: &dyn Ledger, newest: u64) -> Result<u64, ReadError> {
        let end = self.before.map_or(newest, |before| before.saturating_sub(1).min(newest));
        let Some(until) = self.until else { return Ok(end) };
        let is_before = |at: Option<UnixTime>| at.is_none_or(|at| at < until.saturating_add(CLOCK_SLACK));
        Ok(last_of(ledger, newest, is_before)?.min(end))
    }

    fn wanted(&self, line: &AuditLine) -> Option<AuditRecord> {
        let record = record(line);
        (self.is_in_time(&record) && self.wish.holds(&record)).then_some(record)
    }

    /// A time that cannot be read excludes nothing.
    fn is_in_time(&self, record: &AuditRecord) -> bool {
        let Some(at) = unix_time(&record.at) else { return true };
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }
}

impl Wish {
    fn holds(&self, record: &AuditRecord) -> bool {
        let place = record.host.as_deref().unwrap_or("-");
        (self.user.is_none() || record.user == self.user)
            && self.host.as_ref().is_none_or(|host| place == host)
            && self.event.as_ref().is_none_or(|event| record.event == *event)
            && self.text.as_ref().is_none_or(|text| says(record, text))
    }
}

/// Whether one of a record's texts holds this one, which is in lower case.
fn says(record: &AuditRecord, text: &str) -> bool {
    let AuditRecord { sequence: _, repeats: _, at, reference, event, reason, verdict, rule, rollout, .. } =
        record;
    let AuditRecord { detail, user, service, host, rhost, tty, ruser, token, person, actor, .. } = record;
    let always = [at, reference, event, reason].into_iter();
    let maybe =
        [verdict, rule, rollout, detail, user, service, host, rhost, tty, ruser, token, person, actor];
    always.chain(maybe.into_iter().flatten()).any(|said| said.to_lowercase().contains(text))
}

/// Up to `limit` lines behind `after`, up to `through`.
fn lines_between(
    ledger: &dyn Ledger,
    after: u64,
    through: u64,
    limit: u64,
) -> Result<Vec<AuditLine>, ReadError> {
    let mut lines = ledger.audit_after(after, usize::try_from(limit).unwrap_or(usize::MAX))?;
    lines.retain(|line| line.sequence <= through);
    Ok(lines)
}

/// The newest stretch of at most `places` places behind `floor` and up to `end` that holds a line; none where there is
/// no line. Goes over what retention has removed in ever longer steps, and then halves the last of them.
fn stretch_before(
    ledger: &dyn Ledger,
    floor: u64,
    end: u64,
    places: u64,
) -> Result<Option<(u64, u64)>, ReadError> {
    let (mut to, mut width) = (end, places);
    let mut from = loop {
        if to <= floor {
            return Ok(None);
        }
        let from = to.saturating_sub(width).max(floor);
        if has_line(ledger, from, to)? {
            break from;
        }
        (to, width) = (from, width.saturating_mul(2));
    };
    while to - from > places {
        let middle = from + (to - from) / 2;
        if has_line(ledger, middle, to)? { from = middle } else { to = middle }
    }
    Ok(Some((from, to)))
}

fn has_line(ledger: &dyn Ledger, after: u64, through: u64) -> Result<bool, ReadError> {
    Ok(!lines_between(ledger, after, through, 1)?.is_empty())
}

/// The last record of those with which the trail begins, as their times tell; 0 where it begins with none. None is the time
/// that cannot be read.
fn last_of(
    ledger: &dyn Ledger,
    newest: u64,
    is_one: impl Fn(Option<UnixTime>) -> bool,
) -> Result<u64, ReadError> {
    let (mut low, mut high) = (0, newest);
    while low < high {
        let middle = low + (high - low) / 2;
        let line = lines_between(ledger, middle, high, 1)?.pop();
        match line.filter(|line| is_one(unix_time(&record(line).at))) {
            Some(line) => low = line.sequence,
            None => high = middle,
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use ledger::memory::MemoryLedger;
    use ledger::{Entry, Outcome};

    use super::*;
    use crate::audit::{entry, rfc3339};

    const NOON: UnixTime = 1_800_000_000;

    /// A trail with a record each minute, every tenth of them alice's; retention has removed some.
    fn trail(count: u64, gone: impl IntoIterator<Item = u64>) -> MemoryLedger {
        let ledger = MemoryLedger::new();
        for number in 1..=count {
            let user = if number.is_multiple_of(10) { "alice" } else { "bob" };
            let at = rfc3339(NOON + number * 60);
            add(&ledger, AuditRecord { at, user: Some(user.into()), ..AuditRecord::default() });
        }
        ledger.audit_remove(gone.into_iter().collect()).unwrap();
        ledger
    }

    fn add(ledger: &MemoryLedger, record: AuditRecord) {
        let audit = Some(entry(&record, Reference::parse("0A1BZ9XK").unwrap()));
        assert_eq!(ledger.submit(Entry { audit, ..Entry::default() }).wait(), Outcome::Committed);
    }

    fn of(user: &str) -> Wish {
        Wish { user: Some(user.into()), ..Wish::default() }
    }

    /// Follows a search to its end, page by page, each of them within its bound.
    fn all(ledger: &MemoryLedger, mut search: Search) -> Vec<u64> {
        let mut found = Vec::new();
        loop {
            let page = search.find(ledger).unwrap();
            assert!(page.items.len() <= search.limit);
            found.extend(page.items.iter().map(|record| record.sequence));
            let Some(next) = page.next else { return found };
            match search.order {
                AuditOrder::Oldest => {
                    assert!(next > search.after, "it goes on");
                    search.after = next;
                }
                AuditOrder::Newest => {
                    assert!(search.before.is_none_or(|before| next < before), "it goes on");
                    search.before = Some(next);
                }
            }
        }
    }

    // covers: P7
    #[test]
    fn whatever_is_asked_the_pages_together_hold_all_of_it_once_and_in_order() {
        let count = 2_500;
        for gone in [vec![], (41..=2_490).collect(), (1..=2_499).collect(), (3..2_500).step_by(2).collect()] {
            let ledger = trail(count, gone.iter().copied());
            for limit in [1, 7, 50, 1_000] {
                for user in [None, Some("alice")] {
                    for (after, before) in [(0, None), (95, Some(2_300)), (600, Some(601)), (2_500, None)] {
                        let wish = Wish { user: user.map(Into::into), ..Wish::default() };
                        let search = Search { after, before, limit, wish, ..Search::default() };
                        let mut expected: Vec<_> = (after + 1..before.unwrap_or(count + 1))
                            .filter(|number| !gone.contains(number))
                            .filter(|number| user.is_none() || number.is_multiple_of(10))
                            .collect();
                        assert_eq!(all(&ledger, search.clone()), expected, "{search:?}");
                        expected.reverse();
                        let search = Search { order: AuditOrder::Newest, ..search };
                        assert_eq!(all(&ledger, search.clone()), expected, "{search:?}");
                    }
                }
            }
        }
    }

    // covers: P7
    #[test]
    fn a_page_looks_at_so_many_records_and_says_where_to_go_on() {
        let ledger = trail(45_000, []);
        for order in [AuditOrder::Oldest, AuditOrder::Newest] {
            let search = Search { order, limit: 10, wish: of("carol"), ..Search::default() };
            let page = search.find(&ledger).unwrap();
            assert!(page.items.is_empty() && page.newest == 45_000, "{page:?}");
            let expected = if order == AuditOrder::Oldest { 20_000 } else { 25_001 };
            assert_eq!(page.next, Some(expected), "{order:?}");
            assert!(all(&ledger, search).is_empty());
        }
    }

    // covers: P7
    #[test]
    fn a_time_is_found_without_a_walk_and_a_clock_that_was_set_back_a_little_hides_nothing() {
        let ledger = trail(45_000, []);
        let (since, until) = (Some(NOON + 600), Some(NOON + 900));
        for order in [AuditOrder::Oldest, AuditOrder::Newest] {
            let search = Search { order, since, until, limit: 1_000, ..Search::default() };
            let page = search.find(&ledger).unwrap();
            let (mut found, end) =
                (page.items.iter().map(|record| record.sequence).collect::<Vec<_>>(), 10..15);
            found.sort_unstable();
            assert_eq!((found, page.next), (end.collect(), None), "{order:?}");
        }
        let ledger = trail(200, []);
        // Half an hour back, and one whose time nobody can read.
        add(&ledger, AuditRecord { at: rfc3339(NOON + 170 * 60), ..AuditRecord::default() });
        add(&ledger, AuditRecord { at: "when the clock stood".into(), ..AuditRecord::default() });
        let until = Search { until: Some(NOON + 171 * 60), after: 165, limit: 100, ..Search::default() };
        assert_eq!(all(&ledger, until), [166, 167, 168, 169, 170, 201, 202]);
        let since = Search { since: Some(NOON + 199 * 60), limit: 100, ..Search::default() };
        assert_eq!(all(&ledger, since), [199, 200, 202]);
    }

    #[test]
    fn a_record_is_found_by_what_it_says() {
        let ledger = MemoryLedger::new();
        let some = |text: &str| Some(text.to_owned());
        let at = rfc3339(NOON);
        add(
            &ledger,
            AuditRecord {
                at: at.clone(),
                event: "login".into(),
                user: some("Alice"),
                ..AuditRecord::default()
            },
        );
        add(
            &ledger,
            AuditRecord {
                at: at.clone(),
                host: some("web1"),
                actor: some("dora (helpdesk)"),
                ..AuditRecord::default()
            },
        );
        add(
            &ledger,
            AuditRecord {
                at,
                detail: some("100% clock +94 s"),
                person: some("jane"),
                ..AuditRecord::default()
            },
        );
        let check = |wish: Wish, sequences: &[u64]| {
            let search = Search { limit: 10, wish: wish.clone(), ..Search::default() };
            assert_eq!(all(&ledger, search), sequences, "{wish:?}");
        };
        check(Wish { host: some("web1"), ..Wish::default() }, &[2]);
        check(Wish { host: some("-"), ..Wish::default() }, &[1, 3]);
        check(Wish { event: some("login"), ..Wish::default() }, &[1]);
        check(of("alice"), &[]);
        for (text, sequences) in [
            ("alice", &[1][..]),
            ("dora", &[2]),
            ("0a1b-z9xk", &[1, 2, 3]),
            ("% clock", &[3]),
            ("jane", &[3]),
            ("nobody", &[]),
            ("", &[1, 2, 3]),
        ] {
            check(Wish { text: some(text), ..Wish::default() }, sequences);
        }
        let reference = Reference::parse("0A1B-Z9XK");
        let newest = Search { reference, limit: 10, ..Search::default() };
        assert_eq!(all(&ledger, newest.clone()), [3]);
        assert_eq!(all(&ledger, Search { wish: of("bob"), ..newest }), [0; 0]);
    }
}
