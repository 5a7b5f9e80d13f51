//! Links: what stands in the trail for lines that were removed.
//!
//! A link says how many lines in a row it stands for, ends with the chain value of the last, and keeps the first eight
//! bytes of the chain value of each, so that whoever saw the trail at one of those places is still told whether it was
//! this trail: two trails that differ there agree in eight bytes once in 2^64.
//!
//! Its MAC has a key of its own and covers its place and the chain values before it and at its end. So without the key
//! nobody can make one, and none can be moved, shortened, or put in the place of other lines.
//!
//! As bytes it is the number of lines (8 bytes, big-endian), four bytes of ones where a line has the length of its body,
//! the stumps, the chain value, and the MAC. Stores of the same format from before links have no line of that length: a
//! reader that does not know links says that the trail is broken there.

use super::keys::RowKeys;
use super::trail::AuditEnd;
use crate::mac::Mac;
use crate::reader::{DecodeError, Reader};

/// Most lines that one link stands for: 8 KiB of stumps, so that a row stays small, is read in one piece, and is written
/// again for every line that joins it.
pub(super) const LINK_LINES_MAX: usize = if cfg!(test) { 16 } else { 1024 };

/// Stands where a line has the length of its body, which is never that long.
pub(super) const LINK: u32 = u32::MAX;

const STUMP_BYTES: usize = 8;

/// The first bytes of a chain value.
pub(super) type Stump = [u8; STUMP_BYTES];

/// Stands for lines that were removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The first of the lines.
    pub(super) first: u64,
    /// One for each line, oldest first; at least one.
    pub(super) stumps: Vec<Stump>,
    /// The chain value of the last line.
    pub(super) chain: Mac,
    mac: Mac,
}

impl Link {
    /// Stands for lines from `first` on.
    ///
    /// * `before`: the chain value of the line before the first.
    /// * `stumps`: one for each line, oldest first; at least one and at most [`LINK_LINES_MAX`].
    /// * `chain`: the chain value of the last.
    pub(super) fn new(before: &Mac, first: u64, stumps: Vec<Stump>, chain: Mac, keys: &RowKeys) -> Self {
        let covered = covered(before, first, &stumps, &chain);
        Self { mac: keys.removed.mac(&[&covered]), first, stumps, chain }
    }

    /// The last of the lines.
    pub(super) fn last(&self) -> u64 {
        // The number of a row that somebody changed may be any.
        self.first.wrapping_add(self.stumps.len() as u64 - 1)
    }

    /// Where the trail stands behind it; none where it was not made for this place.
    pub(super) fn end_after(&self, before: &AuditEnd, keys: &RowKeys) -> Option<AuditEnd> {
        let covered = covered(&before.head, self.first, &self.stumps, &self.chain);
        let is_next = self.first == before.sequence.wrapping_add(1);
        let holds = is_next && keys.removed.holds(&[&covered], &self.mac);
        holds.then(|| AuditEnd { sequence: self.last(), head: self.chain })
    }

    /// Whether the chain had this value at a line that the link stands for.
    pub(super) fn had(&self, sequence: u64, head: &Mac) -> bool {
        if sequence == self.last() {
            return self.chain == *head;
        }
        let at = sequence.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.stumps.get(at)).is_some_and(|kept| *kept == stump(head))
    }

    /// Appends it to the bytes of a row.
    pub(super) fn put(&self, row: &mut Vec<u8>) {
        row.extend_from_slice(&(self.stumps.len() as u64).to_be_bytes());
        row.extend_from_slice(&LINK.to_be_bytes());
        row.extend_from_slice(self.stumps.as_flattened());
        row.extend_from_slice(&self.chain);
        row.extend_from_slice(&self.mac);
    }

    /// Reads what follows the four bytes of ones.
    ///
    /// * `lines`: what stands before them.
    pub(super) fn read(reader: &mut Reader<'_>, first: u64, lines: u64) -> Result<Self, DecodeError> {
        let too_long = reader.error("a link that stands for no line or for more than it may");
        let lines = usize::try_from(lines).ok().filter(|lines| (1..=LINK_LINES_MAX).contains(lines));
        let stumps = (0..lines.ok_or(too_long)?).map(|_| reader.array()).collect::<Result<_, _>>()?;
        Ok(Self { first, stumps, chain: reader.array()?, mac: reader.array()? })
    }
}

/// What a link keeps of a chain value.
pub(super) fn stump(chain: &Mac) -> Stump {
    *chain.first_chunk().expect("a chain value is longer than a stump")
}

/// What the MAC covers. All parts have a fixed length, or it stands before them.
fn covered(before: &Mac, first: u64, stumps: &[Stump], chain: &Mac) -> Vec<u8> {
    let lines = stumps.len() as u64;
    [before, first.to_be_bytes().as_slice(), &lines.to_be_bytes(), stumps.as_flattened(), chain].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: P7
    #[test]
    fn a_link_holds_at_its_own_place_in_its_own_trail_only() {
        let keys = RowKeys::derive(&[1; 32], &[2; 16]);
        let before = AuditEnd { sequence: 6, head: [9; 32] };
        let link = Link::new(&before.head, 7, vec![[1; 8], [2; 8]], [2; 32], &keys);
        let after = AuditEnd { sequence: 8, head: [2; 32] };
        assert_eq!((link.end_after(&before, &keys), link.last()), (Some(after), 8));
        let elsewhere = Link { first: 8, ..link.clone() };
        let shorter = Link { stumps: vec![[2; 8]], ..link.clone() };
        assert_eq!(link.end_after(&AuditEnd { sequence: 7, ..before }, &keys), None);
        assert_eq!(link.end_after(&AuditEnd { head: [8; 32], ..before }, &keys), None, "another trail");
        assert_eq!(elsewhere.end_after(&AuditEnd { sequence: 7, ..before }, &keys), None);
        assert_eq!(shorter.end_after(&before, &keys), None);
        assert_eq!(link.end_after(&before, &RowKeys::derive(&[1; 32], &[3; 16])), None, "another store");
        assert!(link.had(7, &[1; 32]) && link.had(8, &[2; 32]));
        assert!(!link.had(7, &[2; 32]) && !link.had(6, &[1; 32]) && !link.had(9, &[2; 32]));
    }
}
