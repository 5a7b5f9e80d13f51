//! The bytes of one batch of entries, as they stand in a row of the journal.
//!
//! All numbers are big-endian. A batch is a version byte, the number of entries (4 bytes), and the entries. An
//! entry is a byte of flags (1: claim), the claim (credential, value, claim id), the number of changes (2 bytes),
//! and the changes, each behind a byte that names its sort. The keys of records carry one byte of length, their
//! values four.
//!
//! Version 1 had the audit line in here, too (flag 2; reference, length in 4 bytes, body). Since version 2 it goes
//! straight into the trail. Does not cover the MAC: the journal puts one over these bytes and their number.

use crate::reader::{DecodeError, Reader};
use crate::{
    AuditEntry, Change, Claim, ClaimId, CredentialId, ENTRY_CHANGES_MAX, Entry, RECORD_BYTES_MAX,
    RECORD_KEY_BYTES_MAX,
};

const VERSION: u8 = 2;
/// With audit lines; read from stores of format 1 only.
const VERSION_1: u8 = 1;

const FLAG_CLAIM: u8 = 1;
const FLAG_AUDIT: u8 = 2;

const ADD_CREDENTIAL: u8 = 1;
const REMOVE_CREDENTIAL: u8 = 2;
const PUT: u8 = 3;
const DELETE: u8 = 4;

/// Whether everything in the entry is within the bounds that the encoding has room for.
pub(crate) fn within_bounds(entry: &Entry) -> bool {
    let key_fits = |key: &[u8]| (1..=RECORD_KEY_BYTES_MAX).contains(&key.len());
    let change_fits = |change: &Change| match change {
        Change::AddCredential { .. } | Change::RemoveCredential { .. } | Change::MoveCredential { .. } => {
            true
        }
        Change::Put { kind: _, key, value } => key_fits(key) && value.len() <= RECORD_BYTES_MAX,
        Change::Delete { kind: _, key } => key_fits(key),
    };
    let moves = entry.changes.iter().filter(|change| matches!(change, Change::MoveCredential { .. })).count();
    // A move becomes two changes when it is decided.
    entry.changes.len() + moves <= ENTRY_CHANGES_MAX
        && entry.changes.iter().all(change_fits)
        && entry.audit.as_ref().is_none_or(|audit| audit.body.len() <= RECORD_BYTES_MAX)
}

/// Appends the bytes of a batch, without its audit lines. Every entry must be within bounds, and decided: moves have
/// no bytes.
pub(crate) fn encode<'a>(out: &mut Vec<u8>, entries: impl ExactSizeIterator<Item = &'a Entry>) {
    out.push(VERSION);
    put_len_u32(out, entries.len());
    for entry in entries {
        encode_entry(out, entry);
    }
}

/// The entries of a batch.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Entry>, DecodeError> {
    let mut reader = Reader::new(bytes);
    if !matches!(reader.u8()?, VERSION | VERSION_1) {
        return Err(DecodeError { at: 0, problem: "unknown version of a batch" });
    }
    let count = reader.u32()?;
    // The count is not trusted with an allocation: each entry must be there first.
    let entries = (0..count).map(|_| decode_entry(&mut reader)).collect::<Result<Vec<_>, _>>()?;
    reader.finish()?;
    Ok(entries)
}

fn encode_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.push(entry.claim.map_or(0, |_| FLAG_CLAIM));
    if let Some(claim) = &entry.claim {
        out.extend_from_slice(&claim.credential.0);
        out.extend_from_slice(&claim.to.to_be_bytes());
        out.extend_from_slice(&claim.id.0);
    }
    let changes =
        u16::try_from(entry.changes.len()).expect("an entry holds at most ENTRY_CHANGES_MAX changes");
    out.extend_from_slice(&changes.to_be_bytes());
    for change in &entry.changes {
        encode_change(out, change);
    }
}

fn encode_change(out: &mut Vec<u8>, change: &Change) {
    match change {
        Change::AddCredential { credential, value } => {
            out.push(ADD_CREDENTIAL);
            out.extend_from_slice(&credential.0);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Change::RemoveCredential { credential } => {
            out.push(REMOVE_CREDENTIAL);
            out.extend_from_slice(&credential.0);
        }
        Change::MoveCredential { .. } => unreachable!("a decided entry holds no moves"),
        Change::Put { kind, key, value } => {
            out.push(PUT);
            encode_key(out, *kind, key);
            put_len_u32(out, value.len());
            out.extend_from_slice(value);
        }
        Change::Delete { kind, key } => {
            out.push(DELETE);
            encode_key(out, *kind, key);
        }
    }
}

fn encode_key(out: &mut Vec<u8>, kind: u8, key: &[u8]) {
    out.push(kind);
    out.push(u8::try_from(key.len()).expect("a record's key has at most RECORD_KEY_BYTES_MAX bytes"));
    out.extend_from_slice(key);
}

fn put_len_u32(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("batches, values and audit bodies are far below 4 GiB");
    out.extend_from_slice(&len.to_be_bytes());
}

fn decode_entry(reader: &mut Reader<'_>) -> Result<Entry, DecodeError> {
    let unknown = reader.error("unknown flags of an entry");
    let flags = reader.u8()?;
    if flags & !(FLAG_CLAIM | FLAG_AUDIT) != 0 {
        return Err(unknown);
    }
    let claim = if flags & FLAG_CLAIM != 0 { Some(decode_claim(reader)?) } else { None };
    let too_many = reader.error("too many changes");
    let count = usize::from(reader.u16()?);
    if count > ENTRY_CHANGES_MAX {
        return Err(too_many);
    }
    let changes = (0..count).map(|_| decode_change(reader)).collect::<Result<Vec<_>, _>>()?;
    let audit = if flags & FLAG_AUDIT != 0 { Some(decode_audit(reader)?) } else { None };
    Ok(Entry { claim, changes, audit })
}

fn decode_claim(reader: &mut Reader<'_>) -> Result<Claim, DecodeError> {
    let credential = CredentialId(reader.array()?);
    let to = reader.u64()?;
    Ok(Claim { credential, to, id: ClaimId(reader.array()?) })
}

fn decode_change(reader: &mut Reader<'_>) -> Result<Change, DecodeError> {
    let unknown = reader.error("unknown sort of change");
    match reader.u8()? {
        ADD_CREDENTIAL => {
            let credential = CredentialId(reader.array()?);
            Ok(Change::AddCredential { credential, value: reader.u64()? })
        }
        REMOVE_CREDENTIAL => Ok(Change::RemoveCredential { credential: CredentialId(reader.array()?) }),
        PUT => {
            let (kind, key) = decode_key(reader)?;
            Ok(Change::Put { kind, key, value: decode_long(reader)? })
        }
        DELETE => {
            let (kind, key) = decode_key(reader)?;
            Ok(Change::Delete { kind, key })
        }
        _ => Err(unknown),
    }
}

fn decode_audit(reader: &mut Reader<'_>) -> Result<AuditEntry, DecodeError> {
    let reference = reader.array()?;
    Ok(AuditEntry { reference, body: decode_long(reader)? })
}

fn decode_key(reader: &mut Reader<'_>) -> Result<(u8, Vec<u8>), DecodeError> {
    let kind = reader.u8()?;
    let empty = reader.error("empty key of a record");
    let len = usize::from(reader.u8()?);
    if len == 0 {
        return Err(empty);
    }
    Ok((kind, reader.bytes(len)?.to_vec()))
}

fn decode_long(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    let too_long = reader.error("longer than a record may be");
    let len = usize::try_from(reader.u32()?).ok().filter(|len| *len <= RECORD_BYTES_MAX).ok_or(too_long)?;
    Ok(reader.bytes(len)?.to_vec())
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded_but_for_the_audit_lines(
            mut entries in prop::collection::vec(any_entry(), 0..6),
        ) {
            prop_assert_eq!(decode(&encode_version_1(&entries)), Ok(entries.clone()));
            let bytes = encoded(&entries);
            entries.iter_mut().for_each(|entry| entry.audit = None);
            prop_assert_eq!(decode(&bytes), Ok(entries));
        }

        // covers: G05
        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        // covers: G05
        #[test]
        fn a_changed_or_cut_batch_does_not_panic(
            entries in prop::collection::vec(any_entry(), 1..4),
            at in any::<prop::sample::Index>(),
            to in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = encode_version_1(&entries);
            let len = bytes.len();
            prop_assert!(decode(&bytes[..cut.index(len)]).is_err());
            bytes[at.index(len)] = to;
            let _ = decode(&bytes);
            bytes.push(0);
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn entries_past_the_bounds_are_told_apart() {
        let put = |key: usize, value: usize| Entry {
            changes: vec![Change::Put { kind: 0, key: vec![0; key], value: vec![0; value] }],
            ..Entry::default()
        };
        assert!(within_bounds(&put(RECORD_KEY_BYTES_MAX, RECORD_BYTES_MAX)));
        assert!(!within_bounds(&put(0, 0)));
        assert!(!within_bounds(&put(RECORD_KEY_BYTES_MAX + 1, 0)));
        assert!(!within_bounds(&put(1, RECORD_BYTES_MAX + 1)));
        let delete = Change::Delete { kind: 0, key: vec![1] };
        let many = |count| Entry { changes: vec![delete.clone(); count], ..Entry::default() };
        assert!(within_bounds(&many(ENTRY_CHANGES_MAX)));
        assert!(!within_bounds(&many(ENTRY_CHANGES_MAX + 1)));
        let a_move = Change::MoveCredential { from: CredentialId([1; 16]), to: CredentialId([2; 16]) };
        let moves = |count| Entry { changes: vec![a_move.clone(); count], ..Entry::default() };
        assert!(within_bounds(&moves(ENTRY_CHANGES_MAX / 2)));
        assert!(!within_bounds(&moves(ENTRY_CHANGES_MAX / 2 + 1)));
        let audit = AuditEntry { reference: [0; 8], body: vec![0; RECORD_BYTES_MAX + 1] };
        assert!(!within_bounds(&Entry { audit: Some(audit), ..Entry::default() }));
    }

    fn encoded(entries: &[Entry]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, entries.iter());
        out
    }

    /// As the program wrote batches while its stores had format 1.
    pub(crate) fn encode_version_1(entries: &[Entry]) -> Vec<u8> {
        let mut out = vec![VERSION_1];
        put_len_u32(&mut out, entries.len());
        for entry in entries {
            let flags = out.len();
            encode_entry(&mut out, entry);
            if let Some(audit) = &entry.audit {
                out[flags] |= FLAG_AUDIT;
                out.extend_from_slice(&audit.reference);
                put_len_u32(&mut out, audit.body.len());
                out.extend_from_slice(&audit.body);
            }
        }
        out
    }

    /// Entries over few credentials and keys, so that they meet.
    pub(crate) fn any_entry() -> impl Strategy<Value = Entry> {
        let claim = (any_credential(), 0..40_u64, any::<[u8; 16]>()).prop_map(|(credential, to, id)| Claim {
            credential,
            to,
            id: ClaimId(id),
        });
        let body = prop::collection::vec(any::<u8>(), 0..40);
        let audit = (any::<[u8; 8]>(), body).prop_map(|(reference, body)| AuditEntry { reference, body });
        let changes = prop::collection::vec(any_change(), 0..4);
        (prop::option::of(claim), changes, prop::option::of(audit))
            .prop_map(|(claim, changes, audit)| Entry { claim, changes, audit })
    }

    fn any_change() -> impl Strategy<Value = Change> {
        let key = || prop::collection::vec(0..3_u8, 1..3);
        let value = prop::collection::vec(any::<u8>(), 0..60);
        prop_oneof![
            3 => (any_credential(), 0..20_u64)
                .prop_map(|(credential, value)| Change::AddCredential { credential, value }),
            1 => any_credential().prop_map(|credential| Change::RemoveCredential { credential }),
            3 => (0..2_u8, key(), value).prop_map(|(kind, key, value)| Change::Put { kind, key, value }),
            1 => (0..2_u8, key()).prop_map(|(kind, key)| Change::Delete { kind, key }),
        ]
    }

    pub(crate) fn any_credential() -> impl Strategy<Value = CredentialId> {
        (0..6_u8).prop_map(|n| CredentialId([n; 16]))
    }
}
