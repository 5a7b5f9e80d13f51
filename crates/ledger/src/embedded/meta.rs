//! The one row that describes the store: who it is, how far it is folded, and what its tables must add up to.

use super::trail::AuditEnd;
use crate::StartState;
use crate::mac::{MAC_BYTES, Mac, MacKey};
use crate::reader::{DecodeError, Reader};

/// The content of the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    /// Chance, made with the store.
    pub(super) store_id: [u8; 16],
    /// How often the store has been opened.
    pub(super) epoch: u64,
    /// All batches up to this one are in the tables.
    pub(super) folded: u64,
    /// How many runs of references there are.
    pub(super) runs: u64,
    /// Where the audit trail ended with that batch.
    pub(super) audit: AuditEnd,
    /// What the leaves of credentials add up to.
    pub(super) leaves: RowSum,
    /// What the rows of records add up to.
    pub(super) records: RowSum,
    /// A loss that nobody has settled yet.
    pub(super) loss: Option<Loss>,
}

/// The store once ended at `found`, though batches up to `expected` had been made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) found: u64,
    pub(super) expected: u64,
}

impl From<Loss> for StartState {
    fn from(Loss { found, expected }: Loss) -> Self {
        Self::Short { found, expected }
    }
}

const META_BYTES: usize = 16 + 4 * 8 + MAC_BYTES + 2 * (8 + 32) + 16;

impl Meta {
    /// A new store's.
    pub(super) fn new(store_id: [u8; 16]) -> Self {
        Self {
            store_id,
            epoch: 0,
            folded: 0,
            runs: 0,
            audit: AuditEnd::default(),
            leaves: RowSum::default(),
            records: RowSum::default(),
            loss: None,
        }
    }

    /// The bytes of the row, with their MAC.
    pub(super) fn seal(&self, key: &MacKey) -> Vec<u8> {
        let loss = self.loss.unwrap_or(Loss { found: 0, expected: 0 });
        let mut bytes = Vec::with_capacity(META_BYTES + MAC_BYTES);
        bytes.extend_from_slice(&self.store_id);
        for number in [self.epoch, self.folded, self.runs, self.audit.sequence] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.audit.head);
        self.leaves.write(&mut bytes);
        self.records.write(&mut bytes);
        for number in [loss.found, loss.expected] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        let mac = key.mac(&[&bytes]);
        bytes.extend_from_slice(&mac);
        bytes
    }

    /// Reads the row; none where its MAC does not hold.
    pub(super) fn unseal(bytes: &[u8], key: &MacKey) -> Option<Self> {
        let (body, mac) = bytes.split_at_checked(META_BYTES)?;
        if !key.holds(&[body], mac) {
            return None;
        }
        Self::decode(body).ok()
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let meta = Self {
            store_id: reader.array()?,
            epoch: reader.u64()?,
            folded: reader.u64()?,
            runs: reader.u64()?,
            audit: AuditEnd { sequence: reader.u64()?, head: reader.array()? },
            leaves: RowSum::read(&mut reader)?,
            records: RowSum::read(&mut reader)?,
            loss: Some(Loss { found: reader.u64()?, expected: reader.u64()? })
                .filter(|loss| loss.expected > 0),
        };
        reader.finish()?;
        Ok(meta)
    }
}

/// How many rows a table has, and the sum of their MACs modulo 2^256.
///
/// Each row's MAC tells that the row is one of ours; the sum tells that these rows, and no older ones, are the
/// table. A page that was lost, or that came back as it had been before, changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RowSum {
    pub(super) rows: u64,
    /// Least significant limb first.
    limbs: [u64; 4],
}

impl RowSum {
    /// Counts a row in.
    pub(super) fn add(&mut self, mac: &Mac) {
        self.rows = self.rows.wrapping_add(1);
        let mut carry = false;
        for (limb, added) in self.limbs.iter_mut().zip(limbs(mac)) {
            let (sum, over) = limb.overflowing_add(added);
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = over || over_again;
        }
    }

    /// Counts a row out.
    pub(super) fn remove(&mut self, mac: &Mac) {
        self.rows = self.rows.wrapping_sub(1);
        let mut borrow = false;
        for (limb, taken) in self.limbs.iter_mut().zip(limbs(mac)) {
            let (difference, under) = limb.overflowing_sub(taken);
            let (difference, under_again) = difference.overflowing_sub(u64::from(borrow));
            *limb = difference;
            borrow = under || under_again;
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.rows.to_be_bytes());
        for limb in self.limbs {
            bytes.extend_from_slice(&limb.to_be_bytes());
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let rows = reader.u64()?;
        Ok(Self { rows, limbs: [reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?] })
    }
}

fn limbs(mac: &Mac) -> [u64; 4] {
    let (chunks, _) = mac.as_chunks::<8>();
    std::array::from_fn(|i| u64::from_be_bytes(chunks[i]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_row_sum_does_not_depend_on_the_order_and_forgets_what_is_removed(
            one in any::<[u8; 32]>(), two in any::<[u8; 32]>(), three in any::<[u8; 32]>(),
        ) {
            let mut forth = RowSum::default();
            [&one, &two, &three].into_iter().for_each(|mac| forth.add(mac));
            forth.remove(&two);
            let mut back = RowSum::default();
            [&three, &one].into_iter().for_each(|mac| back.add(mac));
            prop_assert_eq!(forth, back);
            [&one, &three].into_iter().for_each(|mac| forth.remove(mac));
            prop_assert_eq!(forth, RowSum::default());
        }

        // covers: G05
        #[test]
        fn no_bytes_panic_as_a_meta_row(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let key = MacKey::derive(&[0; 32], "meta", &[]);
            prop_assert_eq!(Meta::unseal(&bytes, &key), None);
        }
    }

    #[test]
    fn a_meta_row_is_read_as_it_was_written() {
        let key = MacKey::derive(&[0; 32], "meta", &[]);
        let mut meta = Meta::new([9; 16]);
        meta.epoch = 3;
        meta.leaves.add(&[255; 32]);
        assert_eq!(Meta::unseal(&meta.seal(&key), &key), Some(meta.clone()));
        meta.loss = Some(Loss { found: 0, expected: 5 });
        let mut sealed = meta.seal(&key);
        assert_eq!(Meta::unseal(&sealed, &key), Some(meta));
        sealed[20] ^= 1;
        assert_eq!(Meta::unseal(&sealed, &key), None);
    }
}
