//! Frames of HTTP/2 (RFC 9113), made by hand: also those that no library sends.

use crate::api::KEY;

/// What a client says first (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames (RFC 9113 §6).
pub mod kind {
    #![expect(missing_docs, reason = "the names are those of the standard")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const CONTINUATION: u8 = 9;
}

/// DATA and HEADERS: no more of this stream.
pub const END_STREAM: u8 = 1;
/// HEADERS and CONTINUATION: no more of these headers.
pub const END_HEADERS: u8 = 4;

/// The setting of how much a peer may send before it is read (RFC 9113 §6.5.2).
const INITIAL_WINDOW_SIZE: u16 = 4;

/// One frame.
///
/// # Panics
/// When the payload is longer than a frame's length can say.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length");
    assert!(length < 1 << 24, "a frame has 24 bits for its length");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The stream of a client's n-th request.
pub fn stream(request: u32) -> u32 {
    2 * request + 1
}

/// A setting of windows that are so small.
pub fn window(bytes: u32) -> Vec<u8> {
    let setting = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &bytes.to_be_bytes()].concat();
    frame(kind::SETTINGS, 0, 0, &setting)
}

/// The header fields of a `POST` with the API's key, each as itself and none remembered (RFC 7541 §6.2.2).
pub fn post(path: &str) -> Vec<u8> {
    // Indices of the static table: `:method: POST`, `:scheme: http`; then names whose values follow.
    let mut block = vec![0x83, 0x86];
    block.extend(field(&[0x04], path));
    block.extend(field(&[0x01], "postern"));
    block.extend(field(&[0x0f, 0x08], &format!("Bearer {KEY}")));
    block
}

/// A field with this name, in the table's terms.
fn field(name: &[u8], value: &str) -> Vec<u8> {
    let length = u8::try_from(value.len()).ok().filter(|length| *length < 0x7f).expect("a short value");
    [name, &[length], value.as_bytes()].concat()
}

/// A whole request.
pub fn request(number: u32, path: &str, body: &[u8]) -> Vec<u8> {
    let mut frames = frame(kind::HEADERS, END_HEADERS, stream(number), &post(path));
    // Frames have at most 16,384 bytes where nobody has agreed on more (RFC 9113 §4.2).
    let mut pieces = body.chunks(16_384).peekable();
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_none() { END_STREAM } else { 0 };
        frames.extend(frame(kind::DATA, flags, stream(number), piece));
    }
    frames
}
