//! Takes records out of the trail that are older than their class is kept.
//!
//! In pieces, beside everything else. Never takes a record of the last hour, one that a sink has not taken over, one whose
//! time cannot be read or whose event is in no class, or the newest. What is removed leaves a link in the chain, and each
//! run a record of how many there were. What is not as it was written stays, and is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ledger::{AuditLine, AuditStretch, Entry, Ledger, Outcome, ReadError};

use super::class::Class;
use super::sinks::Sinks;
use super::{AuditRecord, Reference, record, rfc3339, unix_time};
use crate::clock::{Clock, UnixTime};
use crate::config::{Config, KEPT_MIN};

/// When what is old is looked for first, after a start: by then a machine has asked for the time.
pub const RUN_FIRST: Duration = Duration::from_secs(600);

/// How often it is looked for then. A record of each run is kept too, so not more often.
pub const RUN_EVERY: Duration = Duration::from_secs(6 * 3_600);

/// How long it stands still between two pieces: five thousand records a second, in commits that logins hardly notice.
pub const PAUSE: Duration = Duration::from_millis(100);

/// Where the wall clock has gone so much more or less than the other since the last look, it was set: a run is left out then,
/// since nobody knows yet which time was right, and what is removed is gone.
const CLOCK_STEP_MAX: Duration = Duration::from_secs(3_600);

/// Most records in one piece, which the store rewrites in one transaction.
const RECORDS_MAX: usize = 512;

/// Finds and removes old records, class by class.
#[derive(Debug)]
pub struct Expiry {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    config: Arc<ArcSwap<Config>>,
    sinks: Arc<Sinks>,
    /// Up to which record nothing of a class is left that a later run could remove, and the latest time up to there.
    done: BTreeMap<Class, (u64, UnixTime)>,
    runs: VecDeque<Run>,
    /// Both clocks at the last look.
    seen: (UnixTime, Duration),
}

/// The removal of what is old in one class.
#[derive(Debug)]
struct Run {
    class: Class,
    /// When it began: no record is from later.
    now: UnixTime,
    /// Older records go.
    before: UnixTime,
    /// The last record that was looked at.
    after: u64,
    /// The latest time up to there. No record is older than any before it, whatever a clock said that was behind; times
    /// that are yet to come, of a clock that was ahead, say nothing of others.
    latest: UnixTime,
    /// The same, before the first that stays.
    latest_done: UnixTime,
    /// The first of the class that stays.
    first_kept: Option<u64>,
    removed: u64,
}

/// What a piece of the trail is to a run.
struct Piece {
    old: Vec<u64>,
    last: u64,
    /// Nothing behind it goes.
    is_last: bool,
}

impl Expiry {
    /// Has removed nothing yet.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        config: Arc<ArcSwap<Config>>,
        sinks: Arc<Sinks>,
    ) -> Self {
        let seen = (clock.now(), clock.elapsed());
        Self { ledger, clock, config, sinks, done: BTreeMap::new(), runs: VecDeque::new(), seen }
    }

    /// Begins a run for each class that is not kept for ever; none where the clock was set since the last time.
    pub fn begin(&mut self) {
        let now = self.clock.now();
        let (then, elapsed) = std::mem::replace(&mut self.seen, (now, self.clock.elapsed()));
        let expected = then + self.seen.1.saturating_sub(elapsed).as_secs();
        if now.abs_diff(expected) > CLOCK_STEP_MAX.as_secs() {
            tracing::warn!(
                now,
                expected,
                "the clock was set: old records stay in the audit trail until the next run"
            );
            return;
        }
        let config = self.config.load();
        let run = |(class, kept): (&Class, &Duration)| Run {
            class: *class,
            now,
            before: now.saturating_sub((*kept).max(KEPT_MIN).as_secs()),
            after: self.done.get(class).map_or(0, |(done, _)| *done),
            latest: self.done.get(class).map_or(0, |(_, latest)| *latest),
            latest_done: 0,
            first_kept: None,
            removed: 0,
        };
        self.runs = config.audit.retention.iter().map(run).collect();
    }

    /// Does one piece of what was begun; whether there is more. Blocks.
    ///
    /// # Errors
    /// When the trail cannot be read or written, or is not as it was written: what was begun is given up then.
    pub fn step(&mut self) -> Result<bool, ReadError> {
        let stepped = self.step_on();
        if stepped.is_err() {
            self.end();
        }
        stepped
    }

    /// Ends what was begun, and records what was removed so far. Blocks.
    pub fn end(&mut self) {
        for run in std::mem::take(&mut self.runs) {
            self.tell(&run);
        }
    }

    fn step_on(&mut self) -> Result<bool, ReadError> {
        let Some(mut run) = self.runs.pop_front() else { return Ok(false) };
        let advanced = self.advance(&mut run);
        if let Ok(false) = advanced {
            self.runs.push_front(run);
        } else {
            let done = run.first_kept.map_or((run.after, run.latest), |first| (first - 1, run.latest_done));
            self.done.insert(run.class, done);
            self.tell(&run);
        }
        advanced.map(|_| !self.runs.is_empty())
    }

    /// Removes what is old in the next piece; whether it was the last.
    fn advance(&self, run: &mut Run) -> Result<bool, ReadError> {
        let newest = self.ledger.audit_newest()?;
        let through = newest.saturating_sub(1).min(self.sinks.taken_over());
        let AuditStretch { lines, damaged } = self.ledger.audit_around_damage(run.after, RECORDS_MAX)?;
        let Piece { old, last, is_last } = run.look(&lines, through);
        run.removed += self.remove(old)?;
        run.after = last;
        // What cannot be read stays where it is, and so does what the store keeps in one piece with it.
        match damaged.filter(|damaged| (lines.is_empty() || !is_last) && *damaged.end() <= through) {
            None => Ok(is_last),
            Some(damaged) => {
                self.sinks.damage().note(&damaged, &*self.ledger, self.clock.now());
                run.after = *damaged.end();
                Ok(false)
            }
        }
    }

    /// Removes records, all but those that stand so close to one which is not as it was written that the store touches
    /// nothing there.
    fn remove(&self, mut old: Vec<u64>) -> Result<u64, ReadError> {
        if old.is_empty() {
            return Ok(0);
        }
        match self.ledger.audit_remove(old.clone()) {
            Err(ReadError::Damaged { .. }) if old.len() == 1 => Ok(0),
            Err(ReadError::Damaged { .. }) => {
                let later = old.split_off(old.len() / 2);
                Ok(self.remove(old)? + self.remove(later)?)
            }
            removed => removed,
        }
    }

    fn tell(&self, run: &Run) {
        let Run { class, before, removed, .. } = run;
        if *removed == 0 {
            return;
        }
        let class = class.word();
        let record = AuditRecord {
            at: rfc3339(self.clock.now()),
            event: "audit_expired".into(),
            reason: "retention".into(),
            detail: Some(format!("class {class}, before {}: {removed} records", rfc3339(*before))),
            ..AuditRecord::default()
        };
        // Without randomness it has no name, and the log has it all the same.
        let audit = Reference::draw().ok().map(|reference| super::entry(&record, reference));
        let outcome = self.ledger.submit(Entry { audit, ..Entry::default() }).wait();
        if outcome == Outcome::Committed {
            tracing::info!(class, removed, "old records were removed from the audit trail");
        } else {
            tracing::warn!(
                class,
                removed,
                ?outcome,
                "old records were removed, and the store took no record of it"
            );
        }
    }
}

impl Run {
    /// Looks through a piece of the trail.
    ///
    /// * `through`: nothing behind this record goes.
    fn look(&mut self, lines: &[AuditLine], through: u64) -> Piece {
        let mut piece = Piece { old: Vec::new(), last: self.after, is_last: true };
        for line in lines {
            if line.sequence > through {
                return Piece { is_last: true, ..piece };
            }
            let record = record(line);
            let before_it = self.latest;
            let at = unix_time(&record.at);
            self.latest = at.filter(|at| *at <= self.now).map_or(before_it, |at| at.max(before_it));
            let is_old = at.is_some_and(|at| at.max(self.latest) < self.before);
            if Class::of(&record.event) == Some(self.class) {
                if is_old {
                    piece.old.push(line.sequence);
                } else if self.first_kept.is_none() {
                    self.first_kept = Some(line.sequence);
                    self.latest_done = before_it;
                }
            }
            piece.last = line.sequence;
        }
        // From one that is not old on, none is.
        Piece { is_last: lines.is_empty() || self.latest >= self.before, ..piece }
    }
}

#[cfg(test)]
mod tests {
    use ledger::memory::MemoryLedger;

    use super::*;
    use crate::clock::ManualClock;
    use crate::config::AuditConfig;

    const DAY: u64 = 86_400;
    const NOW: UnixTime = 1_800_000_000;

    struct Bench {
        ledger: Arc<MemoryLedger>,
        clock: Arc<ManualClock>,
        config: Arc<ArcSwap<Config>>,
    }

    impl Bench {
        fn new(retention: &str) -> Self {
            let text = format!("version = 1\n[audit.retention]\n{retention}");
            let config = Arc::new(ArcSwap::from_pointee(Config::parse(&text).unwrap()));
            Self { ledger: Arc::default(), clock: Arc::new(ManualClock::at(NOW)), config }
        }

        fn record(&self, event: &str, days_ago: u64) {
            self.record_at(event, &rfc3339(NOW - days_ago * DAY));
        }

        fn record_at(&self, event: &str, at: &str) {
            let record = AuditRecord { at: at.into(), event: event.into(), ..AuditRecord::default() };
            let audit = Some(super::super::entry(&record, Reference::parse("0A1BZ9XK").unwrap()));
            assert_eq!(self.ledger.submit(Entry { audit, ..Entry::default() }).wait(), Outcome::Committed);
        }

        fn expiry_before(&self, sinks: Sinks) -> Expiry {
            Expiry::new(self.ledger.clone(), self.clock.clone(), Arc::clone(&self.config), Arc::new(sinks))
        }

        fn expiry(&self) -> Expiry {
            self.expiry_before(Sinks::default())
        }

        /// What is there after a run, by sequence and event.
        fn run(&self, expiry: &mut Expiry) -> Vec<(u64, String)> {
            expiry.begin();
            while expiry.step().unwrap() {}
            let lines = self.ledger.audit_after(0, usize::MAX).unwrap();
            lines.iter().map(|line| (line.sequence, record(line).event)).collect()
        }
    }

    fn kept(records: &[(u64, &str)]) -> Vec<(u64, String)> {
        records.iter().map(|(sequence, event)| (*sequence, String::from(*event))).collect()
    }

    // covers: P7
    #[test]
    fn each_class_is_kept_as_long_as_is_said_and_a_record_tells_of_each_run() {
        let bench = Bench::new("login = \"10d\"\nservice = \"30d\"");
        for (event, days_ago) in [
            ("login", 40),
            ("service_started", 40),
            ("user_otp_on", 40),
            ("login", 11),
            ("service_started", 11),
            ("login", 9),
        ] {
            bench.record(event, days_ago);
        }
        let mut expiry = bench.expiry();
        let left = [
            (3, "user_otp_on"),
            (5, "service_started"),
            (6, "login"),
            (7, "audit_expired"),
            (8, "audit_expired"),
        ];
        assert_eq!(bench.run(&mut expiry), kept(&left));
        let told = bench.ledger.audit_after(6, 9).unwrap();
        let told: Vec<_> = told.iter().filter_map(|line| record(line).detail).collect();
        let before = |days_ago: u64| rfc3339(NOW - days_ago * DAY);
        let expected = [("login", 10, 2), ("service", 30, 1)];
        let expected = expected
            .map(|(class, days, count)| format!("class {class}, before {}: {count} records", before(days)));
        assert_eq!(told, expected);
        assert_eq!(bench.run(&mut expiry), kept(&left), "a run without anything to remove leaves no record");
        bench.clock.advance(Duration::from_secs(2 * DAY));
        assert_eq!(bench.run(&mut expiry).len(), left.len(), "one went, and one tells of it");
        assert_eq!(bench.run(&mut bench.expiry()).len(), left.len(), "a new daemon comes to the same");
    }

    // covers: P7
    #[test]
    fn without_a_time_everything_is_kept_and_so_is_what_nobody_can_class_or_date() {
        let everything = [("login", 4_000), ("user_otp_on", 4_000), ("service_started", 1)];
        let silent = Bench::new("");
        everything.iter().for_each(|(event, days_ago)| silent.record(event, *days_ago));
        assert_eq!(silent.run(&mut silent.expiry()).len(), 3);
        let bench = Bench::new("login = \"1h\"\nsession = \"1h\"\nchange = \"1h\"\nservice = \"1h\"");
        bench.record("an_event_of_a_newer_daemon", 4_000);
        bench.record_at("login", "yesterday");
        bench.record("login", 1);
        assert_eq!(bench.run(&mut bench.expiry()).len(), 3, "nor does the newest go");
        bench.record_at("login", &rfc3339(NOW - 3_599));
        bench.record("login", 0);
        let left = [
            (1, "an_event_of_a_newer_daemon"),
            (2, "login"),
            (4, "login"),
            (5, "login"),
            (6, "audit_expired"),
        ];
        assert_eq!(bench.run(&mut bench.expiry()), kept(&left));
    }

    // covers: P7, G11
    #[test]
    fn nothing_is_removed_by_a_clock_that_was_just_set() {
        let bench = Bench::new("login = \"1d\"");
        (0..3).for_each(|_| bench.record("login", 0));
        let mut expiry = bench.expiry();
        for wrong in [NOW + 80 * 365 * DAY, 0, NOW + 2 * DAY] {
            bench.clock.set_wall(wrong);
            assert_eq!(bench.run(&mut expiry).len(), 3, "at {wrong}");
        }
        // It has gone on like this for hours.
        bench.clock.advance(RUN_EVERY);
        assert_eq!(bench.run(&mut expiry), kept(&[(3, "login"), (4, "audit_expired")]));
    }

    // covers: P7, G11
    #[test]
    fn a_record_is_no_older_than_those_before_it_whatever_the_clock_said() {
        let bench = Bench::new("login = \"10d\"");
        let behind = [("login", 20), ("user_otp_on", 9), ("login", 4_000), ("login", 8), ("login", 0)];
        behind.iter().for_each(|(event, days_ago)| bench.record(event, *days_ago));
        let mut expiry = bench.expiry();
        let kept: Vec<u64> = bench.run(&mut expiry).into_iter().map(|(sequence, _)| sequence).collect();
        assert_eq!(kept, [2, 3, 4, 5, 6], "the third was made within ten days, by a clock that was behind");
        expiry.begin();
        assert_eq!(expiry.runs[0].latest, NOW - 9 * DAY, "a later run still knows");
        bench.clock.advance(Duration::from_secs(DAY + 1));
        let kept: Vec<u64> = bench.run(&mut expiry).into_iter().map(|(sequence, _)| sequence).collect();
        assert_eq!(kept, [2, 4, 5, 6, 7]);
    }

    // covers: P7, G11
    #[test]
    fn records_of_the_future_and_of_no_time_do_not_end_a_run() {
        let bench = Bench::new("login = \"1d\"");
        (0..RECORDS_MAX).for_each(|_| bench.record_at("login", &rfc3339(NOW + 4_000 * DAY)));
        (0..RECORDS_MAX).for_each(|_| bench.record_at("login", "yesterday"));
        bench.record("login", 9);
        bench.record("login", 0);
        let left = bench.run(&mut bench.expiry());
        assert_eq!(left.len(), 2 * RECORDS_MAX + 2, "one went, and one tells of it");
        assert!(left.iter().all(|(sequence, _)| *sequence != 2 * RECORDS_MAX as u64 + 1));
    }

    // covers: G14
    #[test]
    fn nothing_is_removed_that_a_sink_has_not_taken_over() {
        let bench = Bench::new("login = \"1d\"");
        (0..4).for_each(|_| bench.record("login", 9));
        let (ledger, clock): (Arc<dyn Ledger>, Arc<dyn Clock>) = (bench.ledger.clone(), bench.clock.clone());
        let json_lines = Some("/nonexistent/audit.jsonl".into());
        let config = AuditConfig { json_lines, ..AuditConfig::default() };
        let sinks = Sinks::start(&config, &ledger, &clock).unwrap();
        let mut expiry = bench.expiry_before(sinks);
        assert_eq!(bench.run(&mut expiry).len(), 4);
        expiry.sinks.end();
        let change = |sequence: u64| ledger::Change::Put {
            kind: crate::accounts::kind::SINK,
            key: b"json_lines".into(),
            value: sequence.to_be_bytes().into(),
        };
        assert_eq!(
            ledger.submit(Entry { changes: vec![change(2)], ..Entry::default() }).wait(),
            Outcome::Committed
        );
        let sinks = Sinks::start(&config, &ledger, &clock).unwrap();
        let mut expiry = bench.expiry_before(sinks);
        assert_eq!(bench.run(&mut expiry), kept(&[(3, "login"), (4, "login"), (5, "audit_expired")]));
        expiry.sinks.end();
    }

    // covers: P7
    #[test]
    fn what_cannot_be_read_stays_and_what_is_old_behind_it_goes() {
        let bench = Bench::new("login = \"1d\"");
        (0..9).for_each(|_| bench.record("login", 9));
        bench.record("login", 0);
        bench.ledger.damage(4);
        let mut expiry = bench.expiry();
        expiry.begin();
        while expiry.step().unwrap() {}
        let left: Vec<_> = bench.ledger.audit_around_damage(4, 99).unwrap().lines;
        let left: Vec<_> = left.iter().map(|line| (line.sequence, record(line).event)).collect();
        // The fifth is in one piece with it.
        assert_eq!(left, kept(&[(5, "login"), (10, "login"), (11, "audit_damaged"), (12, "audit_expired")]));
        let before = bench.ledger.audit_around_damage(0, 99).unwrap();
        assert_eq!((before.lines.len(), before.damaged), (0, Some(4..=4)));
        assert_eq!(expiry.sinks.damage().records(), 1);
    }

    #[test]
    fn a_long_trail_is_gone_through_in_pieces() {
        let bench = Bench::new("login = \"1d\"");
        (0..1_500).for_each(|_| bench.record("login", 9));
        (0..600).for_each(|_| bench.record("user_otp_on", 9));
        bench.record("login", 9);
        bench.record("login", 0);
        let left = bench.run(&mut bench.expiry());
        assert_eq!(left.len(), 600 + 2);
        assert!(left[..600].iter().all(|(_, event)| event == "user_otp_on"));
    }
}
