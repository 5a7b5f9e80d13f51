//! Sinks on a ledger in memory: what is shipped, and what is kept of it.

use std::collections::VecDeque;
use std::sync::mpsc::{Sender, channel};

use ledger::memory::MemoryLedger;
use ledger::{Entry, Outcome};

use super::*;
use crate::audit::{Reference, rfc3339};
use crate::clock::ManualClock;

const NOW: UnixTime = 1_800_000_000;

/// Tells what it was given. Takes as many records as it is told, or all.
struct Told {
    taken: Sender<Vec<u64>>,
    patience: VecDeque<usize>,
}

impl Outlet for Told {
    fn take(&mut self, records: &[AuditRecord]) -> (usize, Result<(), OutletError>) {
        let most = self.patience.pop_front().unwrap_or(usize::MAX);
        let taken = records.len().min(most);
        let sequences = records[..taken].iter().map(|record| record.sequence).collect();
        self.taken.send(sequences).expect("the test listens");
        let end = if taken == records.len() { Ok(()) } else { Err(OutletError::Store("full".into())) };
        (taken, end)
    }
}

fn trail(records: u64) -> (Arc<dyn Ledger>, Arc<dyn Clock>) {
    let (ledger, clock) = (MemoryLedger::new(), ManualClock::at(NOW));
    (0..records).for_each(|n| write(&ledger, NOW - 100 + n));
    (Arc::new(ledger), Arc::new(clock))
}

fn write(ledger: &dyn Ledger, at: UnixTime) {
    let record = AuditRecord { at: rfc3339(at), event: "login".into(), ..AuditRecord::default() };
    let audit = Some(crate::audit::entry(&record, Reference::parse("0A1BZ9XK").unwrap()));
    assert_eq!(ledger.submit(Entry { audit, ..Entry::default() }).wait(), Outcome::Committed);
}

// covers: P7, G14
#[test]
fn every_record_is_shipped_in_order_and_a_new_start_goes_on_where_the_last_one_stood() {
    let (ledger, clock) = trail(600);
    let (tell, taken) = channel();
    let start = |patience: &[usize]| {
        let patience = patience.iter().copied().collect();
        let outlet = Box::new(Told { taken: tell.clone(), patience });
        Sink::start("told", outlet, &ledger, &clock, &Arc::default()).unwrap()
    };
    let sinks = Sinks(vec![start(&[])], Arc::default());
    sinks.reopen();
    let shipped: Vec<u64> = taken.iter().flatten().take(600).collect();
    assert!(shipped.into_iter().eq(1..=600));
    sinks.end();
    assert_eq!(sinks.taken_over(), 600);
    assert!(sinks.figures(NOW).iter().all(|sink| (sink.lag_records, sink.lag_seconds) == (0, 0)));
    write(&*ledger, NOW);
    let sinks = Sinks(vec![start(&[])], Arc::default());
    assert_eq!(sinks.taken_over(), 600);
    sinks.reopen();
    assert_eq!(taken.recv().unwrap(), [601]);
    sinks.end();
}

// covers: G14
#[test]
fn a_sink_that_takes_a_part_goes_on_behind_it_and_lags_meanwhile() {
    let (ledger, clock) = trail(10);
    let (tell, taken) = channel();
    let outlet = Box::new(Told { taken: tell, patience: VecDeque::from([3, 0]) });
    let sinks =
        Sinks(vec![Sink::start("told", outlet, &ledger, &clock, &Arc::default()).unwrap()], Arc::default());
    sinks.reopen();
    assert_eq!(taken.recv().unwrap(), [1, 2, 3]);
    sinks.reopen();
    assert!(taken.recv().unwrap().is_empty());
    // It has noted the first trouble before it was asked again.
    let [figures] = &sinks.figures(NOW)[..] else { panic!("there is one") };
    assert_eq!(
        (figures.lag_records, figures.lag_seconds, figures.trouble.as_deref()),
        (7, 97, Some("the store: full"))
    );
    let alarm = figures.alarm().unwrap();
    assert!(
        alarm.starts_with("7 records of the audit trail wait for told, the oldest for 97 s: the store: full"),
        "{alarm}"
    );
    assert_eq!(sinks.figures(NOW - 97 + 60)[0].alarm(), None);
    sinks.reopen();
    assert_eq!(taken.recv().unwrap(), [4, 5, 6, 7, 8, 9, 10]);
    sinks.end();
    assert_eq!((sinks.taken_over(), sinks.figures(NOW)[0].trouble.clone()), (10, None));
}

/// Stops, where it says so, until the test lets it go on.
struct Stuck {
    stops: Sender<&'static str>,
    goes_on: Receiver<()>,
    stops_in: &'static str,
}

impl Stuck {
    fn stop_in(&self, place: &'static str) {
        if self.stops_in == place {
            let _ = self.stops.send(place);
            // A test that has ended lets it go on too.
            let _ = self.goes_on.recv();
        }
    }
}

impl Outlet for Stuck {
    fn take(&mut self, records: &[AuditRecord]) -> (usize, Result<(), OutletError>) {
        self.stop_in("take");
        (records.len(), Ok(()))
    }

    fn make_durable(&mut self) -> Result<(), OutletError> {
        self.stop_in("make_durable");
        Ok(())
    }
}

// covers: G14
#[test]
fn a_sink_that_hangs_is_an_alarm_wherever_it_hangs() {
    for (stops_in, lags) in [("take", 4), ("make_durable", 4)] {
        let (ledger, clock) = (Arc::new(MemoryLedger::new()), Arc::new(ManualClock::at(NOW)));
        (0..3).for_each(|_| write(&*ledger, NOW + 4_000));
        let (stops, stopped) = channel();
        let (go_on, goes_on) = channel();
        let outlet = Box::new(Stuck { stops, goes_on, stops_in });
        let (trail, time): (Arc<dyn Ledger>, Arc<dyn Clock>) = (ledger.clone(), clock.clone());
        let sinks = Sinks(
            vec![Sink::start("stuck", outlet, &trail, &time, &Arc::default()).unwrap()],
            Arc::default(),
        );
        clock.advance(shipper::KEEP_EVERY);
        sinks.reopen();
        assert_eq!(stopped.recv().unwrap(), stops_in);
        write(&*ledger, NOW);
        let [figures] = &sinks.figures(NOW + 200)[..] else { panic!("there is one") };
        assert_eq!(figures.lag_records, lags, "{stops_in}");
        assert!(figures.lag_seconds > LAG_ALARM_S && figures.alarm().is_some(), "{stops_in}: {figures:?}");
        drop(go_on);
        drop(stopped);
        sinks.end();
        assert!(sinks.taken_over() >= 3, "{stops_in}");
    }
}

// covers: G14
#[test]
fn the_cursor_is_kept_while_a_sink_catches_up_and_an_end_is_heeded_between_small_pieces() {
    let (ledger, clock) = (Arc::new(MemoryLedger::new()), Arc::new(ManualClock::at(NOW)));
    (0..600).for_each(|_| write(&*ledger, NOW - 9));
    let (stops, stopped) = channel();
    let (go_on, goes_on) = channel();
    let outlet = Box::new(Stuck { stops, goes_on, stops_in: "take" });
    let (trail, time): (Arc<dyn Ledger>, Arc<dyn Clock>) = (ledger.clone(), clock.clone());
    let sinks =
        Sinks(vec![Sink::start("slow", outlet, &trail, &time, &Arc::default()).unwrap()], Arc::default());
    sinks.reopen();
    assert_eq!(stopped.recv().unwrap(), "take");
    clock.advance(shipper::KEEP_EVERY);
    go_on.send(()).unwrap();
    assert_eq!(stopped.recv().unwrap(), "take");
    let kept = sinks.taken_over();
    assert!(kept > 0 && kept < 600, "{kept} are kept before all are shipped");
    assert!(sinks.0[0].orders.try_send(Order::End).is_ok());
    drop((go_on, stopped));
    sinks.end();
    assert!((kept + 1..600).contains(&sinks.taken_over()), "it ended before it had shipped all");
}

// covers: G14
#[test]
fn without_a_sink_nothing_holds_the_trail_back() {
    let (ledger, clock) = trail(1);
    let sinks = Sinks::start(&AuditConfig::default(), &ledger, &clock).unwrap();
    assert_eq!((sinks.taken_over(), sinks.figures(NOW)), (u64::MAX, vec![]));
    sinks.end();
}

// covers: P7, G14
#[test]
fn a_sink_goes_on_behind_a_record_that_cannot_be_read_and_tells_of_it() {
    let (memory, clock) = (Arc::new(MemoryLedger::new()), ManualClock::at(NOW));
    (0..10).for_each(|n| write(&*memory, NOW - 100 + n));
    memory.damage(4);
    let (ledger, clock): (Arc<dyn Ledger>, Arc<dyn Clock>) = (memory, Arc::new(clock));
    let (tell, taken) = channel();
    let outlet = Box::new(Told { taken: tell, patience: VecDeque::new() });
    let damage = Arc::default();
    let sinks = Sinks(vec![Sink::start("told", outlet, &ledger, &clock, &damage).unwrap()], damage);
    sinks.reopen();
    let shipped: Vec<u64> = taken.iter().flatten().take(10).collect();
    assert_eq!(shipped, [1, 2, 3, 5, 6, 7, 8, 9, 10, 11], "and the record that tells of it");
    sinks.end();
    assert_eq!((sinks.taken_over(), sinks.damage().records()), (11, 1));
    assert!(sinks.damage().alarm().is_some_and(|said| said.starts_with("records 4 to 4 of the audit trail")));
    let last = ledger.audit_after(10, 1).unwrap().iter().map(crate::audit::record).next();
    assert_eq!(last.map(|told| told.event).as_deref(), Some("audit_damaged"));
    assert_eq!(sinks.figures(NOW)[0].trouble, None);
}
