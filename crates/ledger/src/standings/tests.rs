//! Leaves against a plain map, and what they cost.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::decide::NO_CLAIM;

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<(u16, u64)>),
    Remove(u16),
    Write,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What a store would hold, and what memory holds, against a plain map.
    #[test]
    fn leaves_hold_what_a_plain_map_holds_and_so_do_their_rows(
        steps in prop::collection::vec(any_step(), 1..30),
    ) {
        let mut standings = Standings::new();
        let mut model = BTreeMap::new();
        let mut rows = BTreeMap::new();
        for step in steps {
            match step {
                Step::Insert(many) => for (n, value) in many {
                    standings.insert(id(n), at(value));
                    model.insert(id(n), value);
                },
                Step::Remove(n) => {
                    standings.remove(id(n));
                    model.remove(&id(n));
                }
                Step::Write => {
                    for head in standings.take_changed() {
                        write(&mut standings, head, &mut rows);
                        // A crash after each transaction: what the rows hold still fits together.
                        prop_assert!(restored(&rows).is_ok());
                    }
                    prop_assert_eq!(standings.unwritten(), 0);
                    let stored = restored(&rows).expect("it was so a moment ago");
                    prop_assert!(stored.iter().eq(standings.iter()));
                }
            }
            let found = standings.iter().map(|row| (row.id, row.value)).collect::<BTreeMap<_, _>>();
            prop_assert_eq!(&found, &model);
            prop_assert_eq!(standings.len, model.len());
            prop_assert!(model.iter().all(|(id, value)| standings.get(*id) == Some(at(*value))));
            prop_assert!(standings.check_order().is_ok());
        }
    }
}

#[test]
fn a_credential_costs_at_most_48_bytes_at_any_count() {
    let mut standings = Standings::new();
    let mut ordered = Standings::new();
    for n in 1..=120_000_u64 {
        standings.insert(spread(n), at(0));
        ordered.insert(CredentialId(u128::from(n).to_be_bytes()), at(0));
        if n > 2_000 && n % 500 == 0 {
            assert!(standings.bytes() <= 48 * standings.len, "{} bytes for {n}", standings.bytes());
            assert!(ordered.bytes() <= 48 * ordered.len, "{} bytes for {n} in order", ordered.bytes());
        }
        if n % 5_000 == 0 {
            for standings in [&mut standings, &mut ordered] {
                standings
                    .take_changed()
                    .into_iter()
                    .for_each(|head| write(standings, head, &mut BTreeMap::new()));
            }
        }
    }
}

#[test]
fn a_search_finds_its_place_from_any_guess() {
    for len in 0..40 {
        for place in 0..=len {
            for guess in 0..=len + 1 {
                assert_eq!(first_above(len, guess, |at| at >= place), place, "{len} {guess}");
            }
        }
    }
}

#[test]
fn credentials_are_read_in_pieces() {
    let mut standings = Standings::new();
    (1..=500).for_each(|n| standings.insert(id(n), at(u64::from(n))));
    let (mut from, mut found) = (CredentialId([0; 16]), Vec::new());
    while let Some(last) = {
        let piece = standings.from(from, 7);
        found.extend(piece.iter().copied());
        piece.last().map(|row| row.id)
    } {
        from = CredentialId((key(last) + 1).to_be_bytes());
    }
    assert!(found.iter().eq(standings.iter()));
}

#[test]
fn leaves_that_cannot_have_been_written_are_refused() {
    let leaf = |low: u16, ids: &[u16]| {
        let rows = ids.iter().map(|n| Credential { id: id(*n), value: 0, by: NO_CLAIM }).collect();
        (if low == 0 { CredentialId([0; 16]) } else { id(low) }, rows, [0; 32])
    };
    let refused = |leaves: Vec<_>| Standings::restore(leaves.into_iter()).err().map(|(number, _)| number);
    assert_eq!(refused(vec![leaf(0, &[1, 2]), leaf(5, &[5, 7])]), None);
    assert_eq!(refused(vec![]), None);
    assert_eq!(refused(vec![leaf(3, &[3])]), Some(0));
    assert_eq!(refused(vec![leaf(0, &[1]), leaf(0, &[2])]), Some(0));
    assert_eq!(refused(vec![leaf(0, &[1, 6]), leaf(5, &[7])]), Some(0));
    assert_eq!(refused(vec![leaf(0, &[1]), leaf(5, &[4])]), Some(1));
    assert_eq!(refused(vec![leaf(0, &[2, 1])]), Some(0));
    assert_eq!(refused(vec![leaf(0, &[2, 2])]), Some(0));
}

/// What a transaction of the store does with one family.
fn write(standings: &mut Standings, head: u32, rows: &mut BTreeMap<u32, (CredentialId, Vec<Credential>)>) {
    let written: Vec<u32> = standings.family(head).map(|(number, _)| number).collect();
    for number in written {
        let leaf = &standings.leaves[number as usize];
        rows.insert(number, (leaf.low, leaf.rows.clone()));
        standings.note_written(number, [0; 32]);
    }
}

fn restored(rows: &BTreeMap<u32, (CredentialId, Vec<Credential>)>) -> Result<Standings, (u32, &'static str)> {
    Standings::restore(rows.values().map(|(low, rows)| (*low, rows.clone(), [0; 32])))
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop::collection::vec((1..2000_u16, any::<u64>()), 1..200).prop_map(Step::Insert),
        1 => (1..2000_u16).prop_map(Step::Remove),
        1 => Just(Step::Write),
    ]
}

fn id(n: u16) -> CredentialId {
    CredentialId((u128::from(n) << 90).to_be_bytes())
}

/// Ids as chance makes them. Source of the constants: Steele and others, "SplitMix", 2014.
fn spread(n: u64) -> CredentialId {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    CredentialId((u128::from(z ^ (z >> 31)) << 64 | u128::from(n)).to_be_bytes())
}

fn at(value: u64) -> Standing {
    Standing { value, by: NO_CLAIM }
}

impl Standings {
    /// What it has allocated.
    fn bytes(&self) -> usize {
        let rows = |leaf: &Leaf| leaf.rows.capacity() * size_of::<Credential>() + 16;
        self.leaves.iter().map(rows).sum::<usize>()
            + self.leaves.capacity() * size_of::<Leaf>()
            + self.lows.capacity() * size_of::<u128>()
            + self.numbers.capacity() * size_of::<u32>()
    }
}
