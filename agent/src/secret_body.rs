//! Bodies that hold a code: in one buffer of our own, which is wiped when the last part of the HTTP library lets go.
//!
//! The library copies the beginning of what it sends into a buffer that it never wipes (h2: at most
//! `CHAIN_THRESHOLD_WITHOUT_VECTORED_IO`, 1,024 bytes; what is longer it sends from where it lies). So a body begins
//! with that many blanks, which JSON allows. They also keep the length of a code from showing.

use hyper::body::Bytes;
use serde::Serialize;
use zeroize::Zeroizing;

/// Blanks before each body.
const LEAD_BYTES: usize = 1_024;

/// A body of what came already as JSON.
pub fn from_json(json: &[u8]) -> Bytes {
    let mut buffer = lead(json.len());
    buffer.extend_from_slice(json);
    sealed(buffer)
}

/// A body of a message.
///
/// * `bytes_max`: at least as many as its JSON has, so that the buffer does not move.
pub fn of<T: Serialize>(message: &T, bytes_max: usize) -> Bytes {
    let mut buffer = lead(bytes_max);
    serde_json::to_writer(&mut *buffer, message).expect("messages hold only numbers, texts and lists");
    sealed(buffer)
}

/// The same without the blanks, for the module: what is sent to it is not copied.
pub fn reply<T: Serialize>(message: &T, bytes_max: usize) -> Bytes {
    let mut buffer = Zeroizing::new(Vec::with_capacity(bytes_max));
    serde_json::to_writer(&mut *buffer, message).expect("messages hold only numbers, texts and lists");
    sealed(buffer)
}

fn lead(more: usize) -> Zeroizing<Vec<u8>> {
    let mut buffer = Zeroizing::new(Vec::with_capacity(LEAD_BYTES + more));
    buffer.resize(LEAD_BYTES, b' ');
    buffer
}

/// Whoever holds a part of it holds the same memory.
fn sealed(buffer: Zeroizing<Vec<u8>>) -> Bytes {
    Bytes::from_owner(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: E23
    #[test]
    fn a_body_is_the_same_json_after_as_many_blanks_as_the_library_copies() {
        let value = serde_json::json!({"answers": ["123456"]});
        for body in [from_json(value.to_string().as_bytes()), of(&value, 64)] {
            assert!(body[..LEAD_BYTES].iter().all(|byte| *byte == b' '));
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), value);
        }
    }
}
