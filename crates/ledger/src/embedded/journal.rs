//! The bytes of a journal row: a batch, where the audit trail ends with it, and a MAC over its number and both.
//!
//! So the last row says how far the trail must go, and the trail's own rows need no other.

use super::trail::AuditEnd;
use crate::mac::{MAC_BYTES, MacKey};
use crate::reader::{DecodeError, Reader};
use crate::{Entry, batch};

const END_BYTES: usize = 8 + MAC_BYTES;

/// Appends what belongs behind the bytes of batch `seq`.
pub(super) fn seal(row: &mut Vec<u8>, seq: u64, end: &AuditEnd, key: &MacKey) {
    row.extend_from_slice(&end.sequence.to_be_bytes());
    row.extend_from_slice(&end.head);
    let mac = key.mac(&[&seq.to_be_bytes(), row]);
    row.extend_from_slice(&mac);
}

/// The entries of a row, without their audit lines, and where the trail ends with them.
///
/// # Errors
/// Where it is not as it was written.
pub(super) fn open(row: &[u8], seq: u64, key: &MacKey) -> Result<(Vec<Entry>, AuditEnd), DecodeError> {
    let body = checked(row, seq, key)?;
    let (batch, end) = body.split_at_checked(body.len().saturating_sub(END_BYTES)).unwrap_or_default();
    let entries = batch::decode(batch)?;
    let mut reader = Reader::new(end);
    let end = AuditEnd { sequence: reader.u64()?, head: reader.array()? };
    reader.finish()?;
    Ok((entries, end))
}

/// What the MAC at the end of a row covers.
pub(super) fn checked<'a>(row: &'a [u8], seq: u64, key: &MacKey) -> Result<&'a [u8], DecodeError> {
    row.split_last_chunk::<MAC_BYTES>()
        .filter(|(body, mac)| key.holds(&[&seq.to_be_bytes(), body], mac.as_slice()))
        .map(|(body, _)| body)
        .ok_or(DecodeError { at: 0, problem: "it fails its checksum" })
}
