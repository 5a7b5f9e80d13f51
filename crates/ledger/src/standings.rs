//! Where all credentials stand, in memory: sorted leaves of up to a hundred, each of them one row of the store.
//!
//! A leaf begins at a lowest id and reaches to the next leaf's. It is changed here and written as a whole, so a
//! hundred claims on one leaf cost one row. A leaf that is full splits; until both halves are written, the row of
//! the first still holds what the second took, so they form a *family* that is written in one transaction.
//!
//! Costs under 48 bytes a credential at any count: leaves grow by a few rows at a time and never by doubling. Does
//! not know the store: who writes leaves asks which have changed, and says when they are durable.

use std::collections::HashMap;
use std::fmt;

use crate::mac::Mac;
use crate::{ClaimId, Credential, CredentialId};

/// Where a credential stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) value: u64,
    pub(crate) by: ClaimId,
}

/// Most credentials in a leaf: 40 bytes each, so that with its MAC it fills one page of the store (4,096 bytes).
pub(crate) const LEAF_ROWS_MAX: usize = 100;

/// Room in a leaf grows along these numbers of credentials: each is just below a size that allocators give out, and
/// on average six places stay empty.
const CAPACITIES: [usize; 9] = [4, 12, 25, 38, 51, 64, 76, 89, LEAF_ROWS_MAX];

/// All credentials.
pub(crate) struct Standings {
    /// By number.
    leaves: Vec<Leaf>,
    /// The lowest ids of all leaves, sorted; the first is 0.
    lows: Vec<u128>,
    /// The leaf that begins at each of them.
    numbers: Vec<u32>,
    len: usize,
    /// Heads of the families that have changed since [`Self::take_changed`].
    changed: Vec<u32>,
    /// By its head: the other leaves of a family, none of which has a row yet.
    families: HashMap<u32, Vec<u32>>,
    /// How many leaves have no row and a head that may have one.
    unwritten: usize,
}

/// Some neighbouring credentials.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// No credential in it has a lower id.
    pub(crate) low: CredentialId,
    /// Sorted by id.
    pub(crate) rows: Vec<Credential>,
    /// The MAC of its row as it was written last; none before the first time.
    pub(crate) mac: Option<Mac>,
    /// Where the next leaf begins; the highest id of all in the last one.
    high: u128,
    /// The leaf whose row may hold what is in this one; its own number once it is written.
    head: u32,
    has_changed: bool,
}

impl Standings {
    /// No credentials: one empty leaf.
    pub(crate) fn new() -> Self {
        let mut standings = Self::bare();
        standings.push(Leaf::new(CredentialId([0; 16]), 0, Vec::new()));
        standings
    }

    /// Puts leaves that were read together again; the first has number 0.
    ///
    /// # Errors
    /// What is wrong with which leaf, where they cannot have been written like this.
    pub(crate) fn restore(
        stored: impl Iterator<Item = (CredentialId, Vec<Credential>, Mac)>,
    ) -> Result<Self, (u32, &'static str)> {
        let mut standings = Self::bare();
        for (low, rows, mac) in stored {
            standings.len += rows.len();
            let number = standings.next_number();
            standings.leaves.push(Leaf { mac: Some(mac), ..Leaf::new(low, number, rows) });
        }
        if standings.leaves.is_empty() {
            return Ok(Self::new());
        }
        standings.put_in_order();
        standings.check_order()?;
        Ok(standings)
    }

    /// Where a credential stands.
    pub(crate) fn get(&self, id: CredentialId) -> Option<Standing> {
        let leaf = &self.leaves[self.leaf_of(id)];
        let at = leaf.find(id).ok()?;
        let Credential { value, by, .. } = leaf.rows[at];
        Some(Standing { value, by })
    }

    /// Has the memory of these credentials fetched, for many of them at a time: whoever asks for one after the other
    /// waits for each.
    pub(crate) fn fetch(&self, ids: impl Iterator<Item = CredentialId>) {
        // First where the leaves are, then what is in them: within each pass, nothing waits for anything.
        let leaves: Vec<(&Leaf, CredentialId)> = ids.map(|id| (&self.leaves[self.leaf_of(id)], id)).collect();
        let rows: Vec<Option<&Credential>> =
            leaves.iter().map(|(leaf, id)| leaf.rows.get(leaf.guess(key(*id)))).collect();
        let sum = rows.iter().flatten().fold(0, |sum: u64, row| sum.wrapping_add(row.value));
        // It means nothing, but must have been read.
        std::hint::black_box(sum);
    }

    /// Has a credential stand somewhere, whether or not it was there.
    pub(crate) fn insert(&mut self, id: CredentialId, Standing { value, by }: Standing) {
        let row = Credential { id, value, by };
        let number = self.leaf_of(id);
        self.note_change(number);
        let leaf = &mut self.leaves[number];
        match leaf.find(id) {
            Ok(at) => leaf.rows[at] = row,
            Err(at) if leaf.rows.len() < LEAF_ROWS_MAX => {
                leaf.put(at, row);
                self.len += 1;
            }
            Err(at) => {
                self.split(number, at);
                self.insert(id, Standing { value, by });
            }
        }
    }

    /// Takes a credential away, if it is there.
    pub(crate) fn remove(&mut self, id: CredentialId) {
        let number = self.leaf_of(id);
        if let Ok(at) = self.leaves[number].find(id) {
            self.note_change(number);
            self.leaves[number].rows.remove(at);
            self.len -= 1;
        }
    }

    /// Up to `limit` credentials, by id, from `from` on.
    pub(crate) fn from(&self, from: CredentialId, limit: usize) -> Vec<Credential> {
        let leaves = self.numbers[self.place_of(from)..].iter().map(|number| &self.leaves[*number as usize]);
        leaves.flat_map(|leaf| &leaf.rows).filter(|row| row.id >= from).take(limit).copied().collect()
    }

    /// All credentials, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Credential> {
        self.numbers.iter().flat_map(|number| &self.leaves[*number as usize].rows)
    }

    /// The heads of the families that have changed since this was asked last.
    pub(crate) fn take_changed(&mut self) -> Vec<u32> {
        let changed = std::mem::take(&mut self.changed);
        for number in &changed {
            self.leaves[*number as usize].has_changed = false;
        }
        changed
    }

    /// The leaves that must be written together with the leaf `head`, itself included.
    pub(crate) fn family(&self, head: u32) -> impl Iterator<Item = (u32, &Leaf)> {
        let others = self.families.get(&head).into_iter().flatten();
        std::iter::once(head).chain(others.copied()).map(|number| (number, &self.leaves[number as usize]))
    }

    /// The heads of the families of more than one leaf.
    pub(crate) fn split_families(&self) -> impl Iterator<Item = u32> {
        self.families.keys().copied()
    }

    /// How many leaves wait for their first row.
    pub(crate) fn unwritten(&self) -> usize {
        self.unwritten
    }

    /// All leaves, by number.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = (u32, &Leaf)> {
        (0..).zip(&self.leaves)
    }

    /// Notes that a leaf is durable with all others of its family.
    pub(crate) fn note_written(&mut self, number: u32, mac: Mac) {
        self.unwritten -= self.families.remove(&number).map_or(0, |others| others.len());
        let leaf = &mut self.leaves[number as usize];
        leaf.mac = Some(mac);
        leaf.head = number;
    }

    fn bare() -> Self {
        Self {
            leaves: Vec::new(),
            lows: Vec::new(),
            numbers: Vec::new(),
            len: 0,
            changed: Vec::new(),
            families: HashMap::new(),
            unwritten: 0,
        }
    }

    fn leaf_of(&self, id: CredentialId) -> usize {
        self.numbers[self.place_of(id)] as usize
    }

    /// Where in the order of leaves the one stands that an id belongs to. The first begins at 0, so there is one.
    fn place_of(&self, id: CredentialId) -> usize {
        let id = key(id);
        let guess = share_of(id, (0, u128::MAX), self.lows.len());
        first_above(self.lows.len(), guess, |at| self.lows[at] > id) - 1
    }

    fn note_change(&mut self, number: usize) {
        let head = self.leaves[number].head;
        let leaf = &mut self.leaves[head as usize];
        if !leaf.has_changed {
            leaf.has_changed = true;
            self.changed.push(head);
        }
    }

    /// Makes room in a full leaf for a row at `at`. Ids that come in order leave full leaves behind them.
    fn split(&mut self, number: usize, at: usize) {
        let leaf = &mut self.leaves[number];
        // At the end there is no row whose id the next leaf could begin with; so the last one goes along.
        let from = if at == LEAF_ROWS_MAX { LEAF_ROWS_MAX - 1 } else { LEAF_ROWS_MAX / 2 };
        let rows = leaf.rows.split_off(from);
        leaf.rows.shrink_to(capacity_for(leaf.rows.len()));
        let (head, high) = (leaf.head, leaf.high);
        leaf.high = key(rows[0].id);
        let other = self.next_number();
        self.push(Leaf { high, ..Leaf::new(rows[0].id, head, rows) });
        self.families.entry(head).or_default().push(other);
        self.unwritten += 1;
    }

    fn push(&mut self, leaf: Leaf) {
        let low = key(leaf.low);
        let place = self.lows.partition_point(|other| *other < low);
        grow_gently(&mut self.leaves);
        grow_gently(&mut self.lows);
        grow_gently(&mut self.numbers);
        self.lows.insert(place, low);
        self.numbers.insert(place, self.next_number());
        self.leaves.push(leaf);
    }

    /// Sorts leaves that came in any order, and tells each where the next one begins.
    fn put_in_order(&mut self) {
        let mut order: Vec<(u128, u32)> =
            self.leaves().map(|(number, leaf)| (key(leaf.low), number)).collect();
        order.sort_unstable();
        (self.lows, self.numbers) = order.into_iter().unzip();
        for (place, number) in self.numbers.iter().enumerate() {
            self.leaves[*number as usize].high = self.lows.get(place + 1).copied().unwrap_or(u128::MAX);
        }
    }

    fn next_number(&self) -> u32 {
        u32::try_from(self.leaves.len()).expect("a leaf takes 4 KiB, and 16 TiB are past any store")
    }

    fn check_order(&self) -> Result<(), (u32, &'static str)> {
        if self.lows[0] != 0 {
            return Err((self.numbers[0], "no leaf begins at the lowest id"));
        }
        for (number, low) in self.numbers.iter().zip(&self.lows) {
            let leaf = &self.leaves[*number as usize];
            if leaf.high <= *low {
                return Err((*number, "another leaf begins where it does"));
            }
            // The highest id of all belongs to the last leaf.
            let is_inside =
                |row: &Credential| *low <= key(row.id) && (key(row.id) < leaf.high || leaf.high == u128::MAX);
            if !leaf.rows.is_sorted_by(|one, next| one.id < next.id) || !leaf.rows.iter().all(is_inside) {
                return Err((*number, "its credentials are not in order"));
            }
        }
        Ok(())
    }
}

impl Leaf {
    fn new(low: CredentialId, head: u32, rows: Vec<Credential>) -> Self {
        Self { low, rows, mac: None, high: u128::MAX, head, has_changed: false }
    }

    /// Where a credential is, or belongs.
    fn find(&self, id: CredentialId) -> Result<usize, usize> {
        let wanted = key(id);
        let above = first_above(self.rows.len(), self.guess(wanted), |at| key(self.rows[at].id) > wanted);
        match above.checked_sub(1) {
            Some(at) if self.rows[at].id == id => Ok(at),
            _ => Err(above),
        }
    }

    /// About where a credential is.
    fn guess(&self, wanted: u128) -> usize {
        share_of(wanted, (key(self.low), self.high), self.rows.len())
    }

    fn put(&mut self, at: usize, row: Credential) {
        if self.rows.len() == self.rows.capacity() {
            self.rows.reserve_exact(capacity_for(self.rows.len() + 1) - self.rows.len());
        }
        self.rows.insert(at, row);
    }
}

impl Default for Standings {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Standings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standings").field("credentials", &self.len).finish_non_exhaustive()
    }
}

/// An id as a number: bytes and numbers have the same order.
fn key(id: CredentialId) -> u128 {
    u128::from_be_bytes(id.0)
}

/// The first of `len` sorted places that is above what is sought. Looks at `guess` first and then ever further from
/// it: ids are spread evenly, so a guess by their value is a few places off, where the memory has been fetched with
/// it. Where they are not, it takes twice the steps of a search by halves.
fn first_above(len: usize, guess: usize, is_above: impl Fn(usize) -> bool) -> usize {
    let guess = guess.min(len.saturating_sub(1));
    let mut step = 1;
    // Everything before `from` is not above, and everything from `to` on is.
    let (mut from, mut to) = (0, len);
    if len > 0 && is_above(guess) {
        to = guess;
        while step <= to && is_above(to - step) {
            to -= step;
            step *= 2;
        }
        from = to.saturating_sub(step);
    } else if len > 0 {
        from = guess + 1;
        while from + step <= len && !is_above(from + step - 1) {
            from += step;
            step *= 2;
        }
        to = len.min(from + step);
    }
    while from < to {
        let middle = usize::midpoint(from, to);
        if is_above(middle) { to = middle } else { from = middle + 1 }
    }
    from
}

/// Which of `len` places `id` would have between two others, were all spread evenly.
fn share_of(id: u128, (low, high): (u128, u128), len: usize) -> usize {
    // The upper halves tell enough; where they are the same, any guess will do. Whatever is not a number becomes 0.
    let upper = |number: u128| (number >> 64) as u64 as f64;
    (upper(id - low) / upper(high - low) * len as f64) as usize
}

/// Makes room for one more, and for a sixteenth: doubling would leave half of it empty.
fn grow_gently<T>(all: &mut Vec<T>) {
    if all.len() == all.capacity() {
        all.reserve_exact(all.len() / 16 + 4);
    }
}

fn capacity_for(rows: usize) -> usize {
    *CAPACITIES.iter().find(|capacity| **capacity >= rows).expect("a leaf has at most LEAF_ROWS_MAX rows")
}

#[cfg(test)]
mod tests;
