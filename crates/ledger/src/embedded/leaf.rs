//! The bytes of a leaf of credentials.
//!
//! A leaf: its lowest id (16 bytes), and for each credential its id (16), value (8, big-endian) and claim (16); then
//! a MAC over the leaf's number and all of that. Does not decide which credentials make a leaf.

use crate::mac::{MAC_BYTES, Mac, MacKey};
use crate::reader::{DecodeError, Reader};
use crate::standings::{LEAF_ROWS_MAX, Leaf};
use crate::{ClaimId, Credential, CredentialId};

const ID_BYTES: usize = 16;
const ROW_BYTES: usize = ID_BYTES + 8 + 16;

/// What a leaf says when it has been read.
pub(super) type ReadLeaf = (CredentialId, Vec<Credential>, Mac);

/// Writes the row of a leaf over `row`; gives its MAC.
pub(super) fn encode(row: &mut Vec<u8>, number: u32, leaf: &Leaf, key: &MacKey) -> Mac {
    row.clear();
    row.extend_from_slice(&leaf.low.0);
    for Credential { id, value, by } in &leaf.rows {
        row.extend_from_slice(&id.0);
        row.extend_from_slice(&value.to_be_bytes());
        row.extend_from_slice(&by.0);
    }
    let mac = key.mac(&[&number.to_be_bytes(), row]);
    row.extend_from_slice(&mac);
    mac
}

/// Reads the row of a leaf.
///
/// # Errors
/// Where it is not as it was written.
pub(super) fn decode(row: &[u8], number: u32, key: &MacKey) -> Result<ReadLeaf, DecodeError> {
    let error = |problem| DecodeError { at: 0, problem };
    let (body, mac) = row.split_last_chunk::<MAC_BYTES>().ok_or(error("cut off"))?;
    if !key.holds(&[&number.to_be_bytes(), body], mac) {
        return Err(error("it fails its checksum"));
    }
    let count = body.len().saturating_sub(ID_BYTES) / ROW_BYTES;
    if count > LEAF_ROWS_MAX {
        return Err(error("more credentials than a leaf takes"));
    }
    let mut reader = Reader::new(body);
    let low = CredentialId(reader.array()?);
    // Just as much room as they take: this is where they stay.
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        let id = CredentialId(reader.array()?);
        rows.push(Credential { id, value: reader.u64()?, by: ClaimId(reader.array()?) });
    }
    reader.finish()?;
    Ok((low, rows, *mac))
}
