//! The audit trail: the lines of a batch in one row, each chained to the one before; and how a line is found again.
//!
//! A row is numbered by its first line. A line in it is its reference, the length of its body (4 bytes, big-endian),
//! the body, and its chain value. Rows are written with the batch; again only where lines are removed, which leaves
//! links (see `link`) in their place.
//!
//! References are found in *runs*: for every 16,384 lines, 64 lists, each with the references that a hash sends there
//! and where in the run they stand. So a search reads one list a run, newest run first, and writing a run costs no
//! sorting and no random page. The references after the last run are in memory.
//!
//! Does not speak SQL, and does not decide when something is written.

use super::keys::RowKeys;
use super::link::{LINK, Link};
use crate::mac::{MAC_BYTES, Mac, MacKey};
use crate::reader::{DecodeError, Reader};
use crate::{AuditEntry, AuditLine, RECORD_BYTES_MAX};

/// Lines in one run. 100,000,000 lines are 6,100 runs, through which a search takes some 50 ms; and writing a run
/// holds one commit up for about half a millisecond. Tests have more and shorter ones.
pub(super) const RUN_LINES: usize = if cfg!(test) { 512 } else { 16 * 1024 };

/// Lists in one run: each holds 256 references of ten bytes on average, and fits into a page.
pub(super) const RUN_LISTS: u64 = 64;

const REFERENCE_BYTES: usize = 8;

/// Up to where the trail goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AuditEnd {
    /// The last line; 0 for an empty trail.
    pub(super) sequence: u64,
    /// Its chain value; zeros for an empty trail.
    pub(super) head: Mac,
}

impl AuditEnd {
    /// Appends the next line to the bytes of a row.
    pub(super) fn append(&mut self, row: &mut Vec<u8>, key: &MacKey, entry: &AuditEntry) {
        let sequence = self.sequence + 1;
        let head = chain(key, &self.head, sequence, &entry.reference, &entry.body);
        put_line(row, &entry.reference, &entry.body, &head);
        *self = Self { sequence, head };
    }

    /// Goes past a line or a link; false where it is not the next one, or not as it was written.
    pub(super) fn step(&mut self, keys: &RowKeys, item: &Item) -> bool {
        let end = self.next(keys, item);
        *self = end.unwrap_or(*self);
        end.is_some()
    }

    /// Where the trail stands behind a line or a link; none where it is not the next one, or not as it was written.
    pub(super) fn next(&self, keys: &RowKeys, item: &Item) -> Option<Self> {
        match item {
            Item::Line(line) => {
                let expected = chain(&keys.audit, &self.head, line.sequence, &line.reference, &line.body);
                let is_next = line.sequence == self.sequence.wrapping_add(1) && line.chain == expected;
                is_next.then_some(Self { sequence: line.sequence, head: line.chain })
            }
            Item::Link(link) => link.end_after(self, keys),
        }
    }
}

/// A piece of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A line.
    Line(AuditLine),
    /// What stands for removed ones.
    Link(Link),
}

impl Item {
    /// Its line, or the first that it stands for.
    pub(super) fn first(&self) -> u64 {
        match self {
            Self::Line(line) => line.sequence,
            Self::Link(link) => link.first,
        }
    }

    /// Its line, or the last that it stands for.
    pub(super) fn last(&self) -> u64 {
        match self {
            Self::Line(line) => line.sequence,
            Self::Link(link) => link.last(),
        }
    }

    /// Where the trail stands behind it, if it is as it was written.
    pub(super) fn end(&self) -> AuditEnd {
        match self {
            Self::Line(line) => AuditEnd { sequence: line.sequence, head: line.chain },
            Self::Link(link) => AuditEnd { sequence: link.last(), head: link.chain },
        }
    }
}

/// The chain value of a line: over the one before it, the sequence, the reference and the body.
fn chain(key: &MacKey, before: &Mac, sequence: u64, reference: &[u8; 8], body: &[u8]) -> Mac {
    key.mac(&[before, &sequence.to_be_bytes(), reference, body])
}

/// Appends a line to the bytes of a row, as it is.
pub(super) fn put_line(row: &mut Vec<u8>, reference: &[u8; 8], body: &[u8], chain: &Mac) {
    let len = u32::try_from(body.len()).expect("an audit body has at most RECORD_BYTES_MAX bytes");
    row.extend_from_slice(reference);
    row.extend_from_slice(&len.to_be_bytes());
    row.extend_from_slice(body);
    row.extend_from_slice(chain);
}

/// What a row holds, oldest first. An error ends it: what follows cannot be told apart.
pub(super) fn items(first: u64, row: &[u8]) -> impl Iterator<Item = Result<Item, DecodeError>> {
    let mut reader = Reader::new(row);
    let mut sequence = first;
    let mut has_failed = false;
    std::iter::from_fn(move || {
        if reader.is_at_end() || has_failed {
            return None;
        }
        let item = item(&mut reader, sequence);
        match &item {
            Ok(item) => sequence = item.last().wrapping_add(1),
            Err(_) => has_failed = true,
        }
        Some(item)
    })
}

fn item(reader: &mut Reader<'_>, sequence: u64) -> Result<Item, DecodeError> {
    let reference = reader.array()?;
    let too_long = reader.error("longer than an audit body may be");
    let len = reader.u32()?;
    if len == LINK {
        return Link::read(reader, sequence, u64::from_be_bytes(reference)).map(Item::Link);
    }
    let len = usize::try_from(len).ok().filter(|len| *len <= RECORD_BYTES_MAX).ok_or(too_long)?;
    let body = reader.bytes(len)?.to_vec();
    Ok(Item::Line(AuditLine { sequence, reference, body, chain: reader.array()? }))
}

/// The references of all lines after the last run, oldest first.
#[derive(Debug, Default)]
pub(super) struct OpenReferences(Vec<[u8; 8]>);

impl OpenReferences {
    pub(super) fn push(&mut self, reference: [u8; 8]) {
        self.0.push(reference);
    }

    pub(super) fn extend(&mut self, references: impl Iterator<Item = [u8; 8]>) {
        self.0.extend(references);
    }

    /// Whether there are enough for a run.
    pub(super) fn fill_a_run(&self) -> bool {
        self.0.len() >= RUN_LINES
    }

    /// The newest line with this reference, where `runs` runs come before.
    pub(super) fn newest(&self, reference: [u8; 8], runs: u64) -> Option<u64> {
        let at = self.0.iter().rposition(|open| *open == reference)?;
        Some(first_line(runs) + at as u64)
    }

    /// The lists of run `run`, each with its number and its MAC: what is to be stored.
    pub(super) fn lists(&self, run: u64, keys: &RowKeys) -> Vec<(u64, Vec<u8>)> {
        let mut lists: Vec<_> = (0..RUN_LISTS).map(|list| (run * RUN_LISTS + list, Vec::new())).collect();
        for (at, reference) in (0..).zip(&self.0[..RUN_LINES]) {
            let at: u16 = at;
            let (_, list) = &mut lists[list_of(*reference)];
            list.extend_from_slice(reference);
            list.extend_from_slice(&at.to_be_bytes());
        }
        for (number, list) in &mut lists {
            let mac = keys.references.mac(&[&number.to_be_bytes(), list]);
            list.extend_from_slice(&mac);
        }
        lists
    }

    /// Forgets what is in a run now.
    pub(super) fn forget_run(&mut self) {
        self.0.drain(..RUN_LINES);
    }
}

/// The first line of a run.
pub(super) fn first_line(run: u64) -> u64 {
    run * RUN_LINES as u64 + 1
}

/// Which list of a run a reference is in.
pub(super) fn list_number(run: u64, reference: [u8; 8]) -> u64 {
    run * RUN_LISTS + list_of(reference) as u64
}

/// The newest line of a run with this reference, by the list that it belongs to.
///
/// # Errors
/// Where the list is not as it was written.
pub(super) fn search(
    list: &[u8],
    run: u64,
    reference: [u8; 8],
    keys: &RowKeys,
) -> Result<Option<u64>, DecodeError> {
    let number = list_number(run, reference);
    let damaged = DecodeError { at: 0, problem: "it fails its checksum" };
    let (list, _) = list
        .split_at_checked(list.len().saturating_sub(MAC_BYTES))
        .filter(|(list, mac)| keys.references.holds(&[&number.to_be_bytes(), list], mac))
        .ok_or(damaged)?;
    let (items, _) = list.as_chunks::<{ REFERENCE_BYTES + 2 }>();
    let found = items.iter().rfind(|item| item[..REFERENCE_BYTES] == reference);
    Ok(found.map(|item| first_line(run) + u64::from(u16::from_be_bytes([item[8], item[9]]))))
}

/// Spreads references over lists, also those that begin or end alike. Source of the constant: 2^64 divided by the
/// golden ratio; Knuth, "Sorting and Searching", 6.4.
fn list_of(reference: [u8; 8]) -> usize {
    let spread = u64::from_be_bytes(reference).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (spread >> (64 - RUN_LISTS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_are_read_as_they_were_written(bodies in prop::collection::vec((any::<[u8; 8]>(), any::<Vec<u8>>()), 0..20)) {
            let keys = keys();
            let (mut end, mut row) = (AuditEnd { sequence: 6, head: [9; 32] }, Vec::new());
            for (reference, body) in &bodies {
                end.append(&mut row, &keys.audit, &AuditEntry { reference: *reference, body: body.clone() });
            }
            let read: Vec<Item> = items(7, &row).collect::<Result<_, _>>().expect("it was just written");
            let content = |item: &Item| match item {
                Item::Line(line) => Some((line.reference, line.body.clone())),
                Item::Link(_) => None,
            };
            prop_assert!(read.iter().map(content).eq(bodies.into_iter().map(Some)));
            let mut walk = AuditEnd { sequence: 6, head: [9; 32] };
            prop_assert!(read.iter().all(|item| walk.step(&keys, item)));
            prop_assert_eq!(walk, end);
        }

        // covers: G05
        #[test]
        fn no_bytes_panic_as_a_row_or_a_list(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let link = [&[0; 7], &[1, 0xff, 0xff, 0xff, 0xff][..], &bytes].concat();
            for (first, row) in [(1, &bytes), (1, &link), (u64::MAX, &link)] {
                prop_assert!(items(first, row).count() <= row.len());
            }
            prop_assert!(search(&bytes, 0, [0; 8], &keys()).is_err());
        }
    }

    #[test]
    fn the_newest_line_of_a_run_is_found_by_its_reference() {
        let mut open = OpenReferences::default();
        let distinct = RUN_LINES / 2 + 9;
        let reference = |n: usize| ((n % distinct) as u64).to_be_bytes();
        open.extend((0..RUN_LINES + 10).map(reference));
        assert!(open.fill_a_run());
        let lists = open.lists(3, &keys());
        let even = RUN_LINES / lists.len() * 10 + MAC_BYTES;
        assert!(lists.iter().all(|(_, list)| list.len() < 3 * even), "they are spread");
        let find = |wanted: [u8; 8]| {
            let (number, list) = &lists[(list_number(3, wanted) - 3 * RUN_LISTS) as usize];
            assert_eq!(*number, list_number(3, wanted));
            search(list, 3, wanted, &keys()).expect("it is whole")
        };
        for n in 0..distinct {
            let newest = if n + distinct < RUN_LINES { n + distinct } else { n };
            assert_eq!(find(reference(n)), Some(first_line(3) + newest as u64));
        }
        assert_eq!(find([0xff; 8]), None);
        open.forget_run();
        assert!(!open.fill_a_run());
        assert_eq!(open.newest(reference(RUN_LINES), 4), Some(first_line(4)));
        assert_eq!(open.newest([0xff; 8], 4), None);
    }

    fn keys() -> RowKeys {
        RowKeys::derive(&[1; 32], &[2; 16])
    }
}
