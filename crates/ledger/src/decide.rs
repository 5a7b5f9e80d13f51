//! Which entries of a batch are written: the one place where a claim wins or loses.
//!
//! Works on the values in memory and moves none of them: a round collects what its batch would change, and
//! the caller takes that over when the batch is durable. Records and audit lines never decide anything.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::standings::{Standing, Standings};
use crate::{Change, Claim, ClaimId, CredentialId, Entry, Refusal};

/// Stands where no claim has been made.
pub(crate) const NO_CLAIM: ClaimId = ClaimId([0; 16]);

/// What a batch does to the credentials: a new standing, or none where it is taken away.
pub(crate) type Moves = HashMap<CredentialId, Option<Standing>, BuildHasherDefault<IdHasher>>;

/// Hashes the ids of one batch, thousands at most. The daemon chooses them, so nobody can make them collide.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.write_u64(u64::from_le_bytes(*word)));
        rest.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        // The constant is 2^64 divided by the golden ratio: Knuth, "Sorting and Searching", 6.4.
        self.0 = (self.0.rotate_left(32) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, _length: usize) {
        // All ids have the same.
    }

    fn finish(&self) -> u64 {
        // A map uses both ends of a hash.
        self.0 ^ self.0.rotate_left(32)
    }
}

/// What is to be done with an entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is part of the batch.
    Write,
    /// Its claim has been won by an earlier entry of this same batch, under the same id: it shares its fate.
    Follow,
    /// Its claim had been won before, under the same id: nothing is to be written.
    Already,
    /// It loses.
    Refuse(Refusal),
}

/// Decides the entries of one batch, in order.
pub(crate) struct Round<'a> {
    base: &'a Standings,
    moves: Moves,
}

impl<'a> Round<'a> {
    /// A round on top of the durable standings.
    pub(crate) fn new(base: &'a Standings) -> Self {
        Self { base, moves: Moves::default() }
    }

    /// A round for entries that are known: room is made for their moves, and what they claim is fetched.
    pub(crate) fn of(base: &'a Standings, entries: &[Entry]) -> Self {
        let claimed =
            || entries.iter().filter_map(|entry| entry.claim.as_ref()).map(|claim| claim.credential);
        base.fetch(claimed());
        let mut moves = Moves::default();
        moves.reserve(claimed().count());
        Self { base, moves }
    }

    /// Decides the next entry. What it changes counts for the entries after it only if it is to be written.
    ///
    /// An entry that is to be written holds no moves afterwards: each has become what it came to, so that a
    /// journal read again on top of what it did gives the same.
    pub(crate) fn decide(&mut self, entry: &mut Entry) -> Decision {
        let claimed = match &entry.claim {
            None => None,
            Some(claim) => match self.decide_claim(claim) {
                Decision::Write => Some((claim.credential, Some(claim.standing()))),
                other => return other,
            },
        };
        if entry.changes.is_empty() {
            self.moves.extend(claimed);
            return Decision::Write;
        }
        self.decide_changes(entry, claimed)
    }

    /// Decides an entry whose claim wins.
    fn decide_changes(
        &mut self,
        entry: &mut Entry,
        claimed: Option<(CredentialId, Option<Standing>)>,
    ) -> Decision {
        let mut own: Moves = claimed.into_iter().collect();
        let mut moved = Vec::new();
        for change in &entry.changes {
            match change {
                Change::AddCredential { credential, value } => {
                    if self.standing_after(&own, *credential).is_some() {
                        return Decision::Refuse(Refusal::CredentialExists);
                    }
                    own.insert(*credential, Some(Standing { value: *value, by: NO_CLAIM }));
                }
                Change::RemoveCredential { credential } => {
                    own.insert(*credential, None);
                }
                Change::MoveCredential { from, to } => {
                    let Some(Standing { value, .. }) = self.standing_after(&own, *from) else {
                        return Decision::Refuse(Refusal::NoSuchCredential);
                    };
                    if self.standing_after(&own, *to).is_some() {
                        return Decision::Refuse(Refusal::CredentialExists);
                    }
                    own.insert(*from, None);
                    own.insert(*to, Some(Standing { value, by: NO_CLAIM }));
                    moved.push(value);
                }
                Change::Put { .. } | Change::Delete { .. } => {}
            }
        }
        self.moves.extend(own);
        if !moved.is_empty() {
            spell_out_moves(&mut entry.changes, &moved);
        }
        Decision::Write
    }

    /// What the written entries do to the credentials.
    pub(crate) fn into_moves(self) -> Moves {
        self.moves
    }

    /// Decides a claim by itself.
    pub(crate) fn decide_claim(&self, claim: &Claim) -> Decision {
        match self.standing(claim.credential) {
            None => Decision::Refuse(Refusal::NoSuchCredential),
            Some(Standing { value, .. }) if value < claim.to => Decision::Write,
            // The id that stands for "no claim" is nobody's: a credential that was made with this value
            // must not look as if the claim had won.
            Some(standing) if standing == claim.standing() && claim.id != NO_CLAIM => {
                if self.moves.contains_key(&claim.credential) { Decision::Follow } else { Decision::Already }
            }
            Some(Standing { value, by }) => Decision::Refuse(Refusal::Superseded { value, by }),
        }
    }

    /// Where a credential stands after the entries before, and what `own` says of this one so far.
    fn standing_after(&self, own: &Moves, credential: CredentialId) -> Option<Standing> {
        own.get(&credential).copied().unwrap_or_else(|| self.standing(credential))
    }

    fn standing(&self, credential: CredentialId) -> Option<Standing> {
        match self.moves.get(&credential) {
            Some(moved) => *moved,
            None => self.base.get(credential),
        }
    }
}

impl Claim {
    fn standing(&self) -> Standing {
        Standing { value: self.to, by: self.id }
    }
}

/// Puts in the place of each move what it comes to; `values` are those that go along, in order.
fn spell_out_moves(changes: &mut Vec<Change>, values: &[u64]) {
    let mut values = values.iter();
    let mut spelled = Vec::with_capacity(changes.len() + values.len());
    for change in changes.drain(..) {
        match change {
            Change::MoveCredential { from, to } => {
                let value = *values.next().expect("each move of a written entry has a value that goes along");
                spelled.push(Change::RemoveCredential { credential: from });
                spelled.push(Change::AddCredential { credential: to, value });
            }
            other => spelled.push(other),
        }
    }
    *changes = spelled;
}

/// Takes over what a durable batch did.
pub(crate) fn apply(standings: &mut Standings, moves: &Moves) {
    for (credential, moved) in moves {
        match moved {
            Some(standing) => standings.insert(*credential, *standing),
            None => standings.remove(*credential),
        }
    }
}

/// What one durable entry does, whatever stands there: for reading a journal again.
pub(crate) fn replay(moves: &mut Moves, entry: &Entry) {
    if let Some(claim) = &entry.claim {
        moves.insert(claim.credential, Some(claim.standing()));
    }
    for change in &entry.changes {
        match change {
            Change::AddCredential { credential, value } => {
                moves.insert(*credential, Some(Standing { value: *value, by: NO_CLAIM }));
            }
            Change::RemoveCredential { credential } => {
                moves.insert(*credential, None);
            }
            Change::MoveCredential { .. } => unreachable!("a decided entry holds no moves"),
            Change::Put { .. } | Change::Delete { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIAL: CredentialId = CredentialId([1; 16]);

    #[test]
    fn a_claim_wins_only_above_the_standing_value() {
        let base = base(Standing { value: 5, by: NO_CLAIM });
        let mut round = Round::new(&base);
        assert_eq!(decide(&mut round, claim(4, 1)), superseded(5, NO_CLAIM));
        assert_eq!(decide(&mut round, claim(5, 1)), superseded(5, NO_CLAIM));
        assert_eq!(decide(&mut round, claim(6, 1)), Decision::Write);
        assert_eq!(decide(&mut round, claim(6, 2)), superseded(6, ClaimId([1; 16])));
        assert_eq!(decide(&mut round, claim(7, 2)), Decision::Write);
        assert_eq!(decide(&mut round, claim(6, 1)), superseded(7, ClaimId([2; 16])));
    }

    #[test]
    fn the_same_claim_again_is_recognised_by_its_id_and_value() {
        let base = base(Standing { value: 5, by: ClaimId([3; 16]) });
        let mut round = Round::new(&base);
        assert_eq!(decide(&mut round, claim(5, 3)), Decision::Already);
        assert_eq!(decide(&mut round, claim(6, 3)), Decision::Write);
        assert_eq!(decide(&mut round, claim(6, 3)), Decision::Follow);
    }

    #[test]
    fn no_claim_is_nobodys_claim() {
        let base = base(Standing { value: 5, by: NO_CLAIM });
        let refused = Decision::Refuse(Refusal::Superseded { value: 5, by: NO_CLAIM });
        assert_eq!(decide(&mut Round::new(&base), claim(5, 0)), refused);
    }

    #[test]
    fn a_refused_entry_changes_nothing_for_those_after_it() {
        let base = base(Standing { value: 5, by: NO_CLAIM });
        let add = Change::AddCredential { credential: CREDENTIAL, value: 0 };
        let mut round = Round::new(&base);
        let both = Entry { changes: vec![add], ..claim(9, 1) };
        assert_eq!(decide(&mut round, both), Decision::Refuse(Refusal::CredentialExists));
        assert_eq!(decide(&mut round, claim(6, 2)), Decision::Write);
    }

    #[test]
    fn a_credential_may_be_replaced_within_one_entry() {
        let base = base(Standing { value: 5, by: NO_CLAIM });
        let remove = Change::RemoveCredential { credential: CREDENTIAL };
        let add = Change::AddCredential { credential: CREDENTIAL, value: 1 };
        let mut round = Round::new(&base);
        let mut entry = Entry { changes: vec![remove, add], ..Entry::default() };
        assert_eq!(round.decide(&mut entry), Decision::Write);
        let moves = round.into_moves();
        assert_eq!(moves[&CREDENTIAL], Some(Standing { value: 1, by: NO_CLAIM }));
        let mut again = Moves::default();
        replay(&mut again, &entry);
        assert_eq!(again, moves);
    }

    #[test]
    fn a_move_becomes_a_removal_and_an_addition_of_what_stands_then() {
        let base = base(Standing { value: 5, by: NO_CLAIM });
        let mut round = Round::new(&base);
        assert_eq!(decide(&mut round, claim(6, 1)), Decision::Write);
        // The entry's own claim counts, too, and what is not a move keeps its place.
        let delete = Change::Delete { kind: 1, key: vec![1] };
        let mut entry = Entry { changes: vec![delete.clone(), a_move(CREDENTIAL, OTHER)], ..claim(7, 2) };
        assert_eq!(round.decide(&mut entry), Decision::Write);
        let remove = Change::RemoveCredential { credential: CREDENTIAL };
        let add = Change::AddCredential { credential: OTHER, value: 7 };
        assert_eq!(entry.changes, [delete, remove, add]);
        let gone = Decision::Refuse(Refusal::NoSuchCredential);
        assert_eq!(decide(&mut round, claim(8, 3)), gone);
        assert_eq!(decide(&mut round, claim_on(OTHER, 7, 2)), superseded(7, NO_CLAIM));
        assert_eq!(decide(&mut round, claim_on(OTHER, 8, 3)), Decision::Write);
        let moves = round.into_moves();
        assert_eq!(moves[&CREDENTIAL], None);
        assert_eq!(moves[&OTHER], Some(Standing { value: 8, by: ClaimId([3; 16]) }));
    }

    #[test]
    fn a_move_needs_its_old_name_and_a_free_new_one() {
        let base = base(Standing { value: 5, by: NO_CLAIM });
        let mut round = Round::new(&base);
        let refused = Decision::Refuse;
        assert_eq!(decide(&mut round, moves(&[(OTHER, CREDENTIAL)])), refused(Refusal::NoSuchCredential));
        assert_eq!(
            decide(&mut round, moves(&[(CREDENTIAL, CREDENTIAL)])),
            refused(Refusal::CredentialExists)
        );
        let there_and_gone = moves(&[(CREDENTIAL, OTHER), (CREDENTIAL, OTHER)]);
        assert_eq!(decide(&mut round, there_and_gone), refused(Refusal::NoSuchCredential));
        // The refused entry moved nothing.
        assert_eq!(decide(&mut round, claim(6, 1)), Decision::Write);
        let add = Change::AddCredential { credential: OTHER, value: 1 };
        let onto = Entry { changes: vec![add, a_move(CREDENTIAL, OTHER)], ..Entry::default() };
        assert_eq!(decide(&mut round, onto), refused(Refusal::CredentialExists));
    }

    #[test]
    fn a_move_there_and_back_keeps_the_value_and_is_replayed_the_same() {
        let base = base(Standing { value: 5, by: ClaimId([9; 16]) });
        let mut round = Round::new(&base);
        let mut entry = moves(&[(CREDENTIAL, OTHER), (OTHER, CREDENTIAL)]);
        assert_eq!(round.decide(&mut entry), Decision::Write);
        assert_eq!(decide(&mut round, claim(5, 9)), superseded(5, NO_CLAIM));
        let moves = round.into_moves();
        assert_eq!(moves[&CREDENTIAL], Some(Standing { value: 5, by: NO_CLAIM }));
        assert_eq!(moves[&OTHER], None);
        let mut again = Moves::default();
        replay(&mut again, &entry);
        replay(&mut again, &entry);
        assert_eq!(again, moves);
    }

    const OTHER: CredentialId = CredentialId([2; 16]);

    fn decide(round: &mut Round<'_>, mut entry: Entry) -> Decision {
        round.decide(&mut entry)
    }

    fn base(standing: Standing) -> Standings {
        let mut base = Standings::new();
        base.insert(CREDENTIAL, standing);
        base
    }

    fn superseded(value: u64, by: ClaimId) -> Decision {
        Decision::Refuse(Refusal::Superseded { value, by })
    }

    fn a_move(from: CredentialId, to: CredentialId) -> Change {
        Change::MoveCredential { from, to }
    }

    fn moves(names: &[(CredentialId, CredentialId)]) -> Entry {
        let changes = names.iter().map(|(from, to)| a_move(*from, *to)).collect();
        Entry { changes, ..Entry::default() }
    }

    fn claim(to: u64, id: u8) -> Entry {
        claim_on(CREDENTIAL, to, id)
    }

    fn claim_on(credential: CredentialId, to: u64, id: u8) -> Entry {
        let claim = Claim { credential, to, id: ClaimId([id; 16]) };
        Entry { claim: Some(claim), ..Entry::default() }
    }
}
