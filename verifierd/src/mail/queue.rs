//! Which mail is due, which has to wait, which is over.
//!
//! An address gets so many mails in an hour. Further ones wait for the next, and one tells that they do: whoever floods an
//! approver with requests does not flood his mailbox. A mail that somebody waits for, because it holds his password, is not
//! held back: `access` makes few of these, and whoever could fill an hour would keep him out.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::record::{MailRecord, Stored};
use super::{MailId, MailState};
use crate::clock::UnixTime;

/// Mails that may wait: three to each approver of the requests of a large site on a bad morning.
pub const QUEUE_MAX: usize = 1_000;

/// Mails to one address in an hour, the one that tells of more not counted. Source: check C12.
pub const ADDRESS_HOUR_MAX: usize = 20;

const HOUR: Duration = Duration::from_secs(3_600);

/// The first wait after a try that failed; each further one is twice as long, up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_secs(30);

/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// A mail whose entry was not told to be durable in this time belongs to one that was lost.
const PREPARED_MAX: Duration = Duration::from_secs(120);

/// How long it is known how a mail stands, after the time in which it was of use.
const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// Of how many mails that are over it is known how they stand: a day of full queues. A look at all of them takes
/// microseconds.
const OVER_MAX: usize = 10 * QUEUE_MAX;

/// A moment on both clocks: waits run on the first, ends are of the second.
type Moment = (Duration, UnixTime);

/// A mail and its place in time.
#[derive(Debug)]
struct Item {
    record: MailRecord,
    stage: Stage,
    /// Why it was not sent at the last try.
    why: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Its entry is on its way into the ledger, since then.
    Prepared(Duration),
    /// It is due then.
    Waiting(Duration),
    /// Somebody is sending it.
    OnItsWay,
    /// It was sent, or is given up.
    Over,
}

/// A mail that is to be sent now.
#[derive(Debug)]
pub(super) struct Due {
    pub record: MailRecord,
    /// Why it was not sent before.
    pub why: Option<String>,
}

/// What an address got in the hour that began then.
#[derive(Debug)]
struct Share {
    began: Duration,
    sent: usize,
    is_told: bool,
}

/// All mails.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: BTreeMap<MailId, Item>,
    shares: HashMap<String, Share>,
}

impl Queue {
    /// Goes on with records: what waited is due at once.
    pub fn new(records: Vec<MailRecord>, (now, _): Moment) -> Self {
        let item = |record: MailRecord| {
            let stage = if record.state == Stored::Waiting { Stage::Waiting(now) } else { Stage::Over };
            (record.id(), Item { record, stage, why: None })
        };
        Self { items: records.into_iter().map(item).collect(), shares: HashMap::new() }
    }

    /// How many are still to be sent.
    pub fn waiting(&self) -> usize {
        self.items.values().filter(|item| item.stage != Stage::Over).count()
    }

    /// Whether no more can wait.
    pub fn is_full(&self) -> bool {
        self.waiting() >= QUEUE_MAX
    }

    /// Takes note of a mail whose entry is on its way.
    pub fn prepare(&mut self, record: MailRecord, now: Duration) {
        self.items.insert(record.id(), Item { record, stage: Stage::Prepared(now), why: None });
    }

    /// Its entry is durable.
    pub fn commit(&mut self, id: MailId, now: Duration) {
        let Some(item) = self.items.get_mut(&id) else { return };
        item.stage = if item.record.state == Stored::Waiting { Stage::Waiting(now) } else { Stage::Over };
    }

    /// How a mail stands.
    pub fn state(&self, id: MailId, (now, wall): Moment) -> Option<MailState> {
        let item = self.items.get(&id)?;
        Some(match &item.record.state {
            Stored::Sent { at } => MailState::Sent { at: *at },
            Stored::Failed { at, why } => MailState::Failed { at: *at, why: why.clone() },
            Stored::Waiting => {
                let left = match item.stage {
                    Stage::Waiting(due) => due.saturating_sub(now),
                    Stage::Prepared(_) | Stage::OnItsWay | Stage::Over => Duration::ZERO,
                };
                MailState::Waiting { tries: item.record.tries, next: wall.saturating_add(left.as_secs()) }
            }
        })
    }

    /// The mail that has been due the longest. One to an address that has had its share waits for the next hour; the first
    /// such one has a mail of its own that says so.
    ///
    /// * `fresh`: the id for that one.
    pub fn next_due(&mut self, fresh: MailId, (now, wall): Moment) -> Option<Due> {
        self.shares.retain(|_, share| now < share.began + HOUR);
        loop {
            let due = self.items.iter().filter_map(|(id, item)| match item.stage {
                Stage::Waiting(due) if due <= now => Some((due, *id)),
                _ => None,
            });
            let (_, id) = due.min()?;
            let to = self.items.get(&id)?.record.to.to_ascii_lowercase();
            let share =
                self.shares.entry(to.clone()).or_insert(Share { began: now, sent: 0, is_told: false });
            let next_hour = share.began + HOUR;
            let item = self.items.get_mut(&id)?;
            let counts = !item.record.is_urgent && wall < item.record.until;
            if !counts || share.sent < ADDRESS_HOUR_MAX {
                share.sent += usize::from(counts);
                item.stage = Stage::OnItsWay;
                return Some(Due { record: item.record.clone(), why: item.why.clone() });
            }
            item.stage = Stage::Waiting(next_hour);
            item.why = Some(format!("more than {ADDRESS_HOUR_MAX} mails to this address in an hour"));
            if !std::mem::replace(&mut share.is_told, true) {
                let left = next_hour.saturating_sub(now).as_secs();
                let record = MailRecord::notice(fresh, to, wall.saturating_add(left));
                let item = Item { record: record.clone(), stage: Stage::OnItsWay, why: None };
                self.items.insert(fresh, item);
                return Some(Due { record, why: None });
            }
        }
    }

    /// It could not be sent, and is tried again.
    pub fn retry(&mut self, record: MailRecord, why: String, now: Duration) {
        let Some(item) = self.items.get_mut(&record.id()) else { return };
        let due = now + wait_after(record.tries, record.id());
        *item = Item { record, stage: Stage::Waiting(due), why: Some(why) };
    }

    /// It was sent, or is given up.
    pub fn settle(&mut self, record: MailRecord) {
        if let Some(item) = self.items.get_mut(&record.id()) {
            *item = Item { record, stage: Stage::Over, why: None };
        }
    }

    /// Takes away what was prepared and came to nothing, and what is over for a day, or of more mails than are kept; tells
    /// which of it the ledger holds.
    pub fn take_old(&mut self, (now, wall): Moment) -> Vec<MailRecord> {
        let over = self.items.len() - self.waiting();
        let mut too_many = over.saturating_sub(OVER_MAX);
        let mut old = Vec::new();
        self.items.retain(|_, item| match item.stage {
            Stage::Prepared(since) => now < since + PREPARED_MAX,
            Stage::Waiting(_) | Stage::OnItsWay => true,
            Stage::Over => {
                let is_old = too_many > 0 || wall >= item.record.until.saturating_add(KEPT.as_secs());
                if is_old {
                    too_many = too_many.saturating_sub(1);
                    old.push(item.record.clone());
                }
                !is_old
            }
        });
        old
    }
}

/// The wait after so many tries: twice the one before, and up to a fifth more by chance, so that mails that failed
/// together do not come again together.
fn wait_after(tries: u32, id: MailId) -> Duration {
    let doubled = WAIT_FIRST.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(WAIT_MAX);
    #[expect(clippy::cast_possible_truncation, reason = "the low half differs as much as the whole")]
    let mixed = (id.0 as u64).wrapping_add(tries.into()).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let chance = u32::try_from(mixed % 100).unwrap_or(0);
    doubled + doubled * chance / 500
}

#[cfg(test)]
mod tests {
    use super::super::NewLetter;
    use super::*;
    use crate::people::EmailAddress;

    const SECOND: Duration = Duration::from_secs(1);
    const NOON: UnixTime = 1_800_000_000;

    fn mail(id: u128, to: &str) -> MailRecord {
        let to = EmailAddress::parse(to).unwrap();
        let letter = NewLetter { to, occasion: vec![], until: NOON + 1_800, is_urgent: false };
        MailRecord::new(MailId(id), letter)
    }

    fn at(seconds: u64) -> Moment {
        (Duration::from_secs(seconds), NOON + seconds)
    }

    fn queue(mails: impl IntoIterator<Item = MailRecord>) -> Queue {
        Queue::new(mails.into_iter().collect(), at(0))
    }

    #[test]
    fn what_is_not_durable_is_not_sent_and_what_never_was_is_forgotten() {
        let mut queue = Queue::default();
        queue.prepare(mail(1, "a@b.c"), SECOND);
        assert!(queue.next_due(MailId(u128::MAX), at(60)).is_none());
        queue.commit(MailId(1), 60 * SECOND);
        assert_eq!(queue.next_due(MailId(u128::MAX), at(60)).unwrap().record.id(), MailId(1));
        assert!(queue.next_due(MailId(u128::MAX), at(60)).is_none(), "it is on its way");
        queue.prepare(mail(2, "a@b.c"), 60 * SECOND);
        assert!(queue.take_old(at(179)).is_empty() && queue.state(MailId(2), at(179)).is_some());
        assert!(queue.take_old(at(180)).is_empty(), "the ledger has none of it");
        assert!(queue.state(MailId(2), at(180)).is_none());
    }

    // covers: C14
    #[test]
    fn waits_grow_to_a_quarter_of_an_hour_and_mails_that_failed_together_come_apart() {
        let waits: Vec<_> = (1..20).map(|tries| wait_after(tries, MailId(7))).collect();
        assert!(waits[0] >= WAIT_FIRST && waits[0] <= WAIT_FIRST * 6 / 5);
        assert!(waits.windows(2).all(|pair| pair[1] * 6 / 5 >= pair[0]));
        assert!(waits.iter().all(|wait| *wait <= WAIT_MAX * 6 / 5));
        let distinct: std::collections::BTreeSet<_> = (0..50).map(|id| wait_after(3, MailId(id))).collect();
        assert!(distinct.len() > 25, "{distinct:?}");
        let mut queue = queue([mail(1, "a@b.c")]);
        let mut due = queue.next_due(MailId(u128::MAX), at(0)).unwrap();
        due.record.tries = 1;
        queue.retry(due.record, "refused".into(), SECOND);
        assert!(queue.next_due(MailId(u128::MAX), at(30)).is_none());
        let again = queue.next_due(MailId(u128::MAX), at(40)).unwrap();
        assert_eq!((again.record.id(), again.why.as_deref()), (MailId(1), Some("refused")));
    }

    // covers: C12
    #[test]
    fn an_address_gets_its_share_in_an_hour_and_one_mail_that_tells_of_more() {
        let many = ADDRESS_HOUR_MAX as u128 + 5;
        let mails = (0..many).map(|id| mail(id, if id % 2 == 0 { "a@b.c" } else { "A@b.C" }));
        let mut queue = queue(mails.chain([mail(1_000, "other@b.c")]));
        let (mut sent, mut told) = (Vec::new(), Vec::new());
        while let Some(due) = queue.next_due(MailId(u128::MAX), at(1)) {
            if due.record.is_notice { told.push(due.record) } else { sent.push(due.record.to) }
        }
        assert_eq!(sent.len(), ADDRESS_HOUR_MAX + 1, "and the other address has its own share");
        assert_eq!((told.len(), told[0].until), (1, NOON + 3_601));
        assert!(queue.next_due(MailId(u128::MAX), at(3_599)).is_none());
        let mut later = 0;
        while let Some(due) = queue.next_due(MailId(u128::MAX), at(3_601)) {
            assert!(due.why.unwrap().contains("mails to this address"));
            later += 1;
        }
        assert_eq!(later, 5);
    }

    #[test]
    fn what_somebody_waits_for_is_not_held_back_by_what_others_made() {
        let many = 2 * ADDRESS_HOUR_MAX as u128;
        let mut urgent = mail(many, "a@b.c");
        urgent.is_urgent = true;
        let mut queue = queue((0..many).map(|id| mail(id, "a@b.c")).chain([urgent]));
        let sent: Vec<_> = std::iter::from_fn(|| queue.next_due(MailId(u128::MAX), at(1))).collect();
        assert_eq!(sent.iter().filter(|due| due.record.id() == MailId(many)).count(), 1);
        assert_eq!(sent.len(), ADDRESS_HOUR_MAX + 2, "and the notice");
    }

    #[test]
    fn the_oldest_of_many_that_are_over_are_forgotten_first() {
        let over = |id| {
            let mut mail = mail(id, "a@b.c");
            mail.state = Stored::Sent { at: NOON };
            mail
        };
        let mut queue = queue((0..OVER_MAX as u128 + 3).map(over));
        let gone: Vec<_> = queue.take_old(at(1)).iter().map(|record| record.id().0).collect();
        assert_eq!(gone, [0, 1, 2]);
        assert!(queue.take_old(at(1)).is_empty());
    }

    #[test]
    fn how_a_mail_stands_is_known_for_a_day_after_its_use() {
        let mut queue = queue([mail(1, "a@b.c")]);
        let mut record = queue.next_due(MailId(u128::MAX), at(0)).unwrap().record;
        record.state = Stored::Sent { at: NOON };
        queue.settle(record);
        assert_eq!(queue.state(MailId(1), at(1)), Some(MailState::Sent { at: NOON }));
        assert!(queue.take_old(at(1_800 + 86_399)).is_empty());
        assert_eq!(queue.take_old(at(1_800 + 86_400)).len(), 1);
        assert_eq!(queue.state(MailId(1), at(1)), None);
    }

    #[test]
    fn a_full_queue_takes_no_more() {
        let mut queue = queue((0..QUEUE_MAX as u128).map(|id| mail(id, "a@b.c")));
        assert!(queue.is_full());
        let mut record = queue.next_due(MailId(u128::MAX), at(0)).unwrap().record;
        assert!(queue.is_full(), "what is on its way waits too");
        record.state = Stored::Failed { at: NOON, why: String::new() };
        queue.settle(record);
        assert!(!queue.is_full());
    }
}
