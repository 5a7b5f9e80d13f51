//! Reads what a caller sends, at most [`wire::BODY_BYTES_MAX`] of it.
//!
//! Bodies hold codes and secrets: what is read is wiped when it is dropped, and so is the buffer it came in, where
//! nothing else shares it. A body that came in one piece is not copied.

use std::ops::Deref;

use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Body as _, Bytes, Incoming};
use wire::error::ErrorCode;
use zeroize::{Zeroize, Zeroizing};

use crate::reply::{Reply, error_reply};

/// A body that was read.
pub enum Body {
    /// As it came.
    Whole(Bytes),
    /// Put together.
    Gathered(Zeroizing<Vec<u8>>),
}

impl Body {
    fn push(&mut self, more: Bytes) {
        if self.is_empty() {
            *self = Self::Whole(more);
            return;
        }
        if let Self::Whole(_) = self {
            // At its full size at once: a vector that grows leaves what it held behind.
            let mut gathered = Zeroizing::new(Vec::with_capacity(wire::BODY_BYTES_MAX));
            gathered.extend_from_slice(self);
            *self = Self::Gathered(gathered);
        }
        // Wiped as it is dropped.
        let more = Self::Whole(more);
        if let Self::Gathered(gathered) = self {
            gathered.extend_from_slice(&more);
        }
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Gathered(bytes) => bytes,
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Self::Whole(bytes) = self
            && let Ok(mut bytes) = std::mem::take(bytes).try_into_mut()
        {
            bytes.as_mut().zeroize();
        }
    }
}

/// Reads a body. How long that may take, the connection says (see `pace`).
pub async fn read(request: Request<Incoming>) -> Result<Body, Reply> {
    let mut incoming = request.into_body();
    if incoming.size_hint().lower() > wire::BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut body = Body::Whole(Bytes::new());
    while !incoming.is_end_stream() {
        let Some(frame) = incoming.frame().await else { break };
        let Ok(frame) = frame else {
            return Err(error_reply(ErrorCode::Malformed, "the body could not be read".into()));
        };
        // Trailers say nothing that anybody asked for.
        let Ok(data) = frame.into_data() else { continue };
        if body.len() + data.len() > wire::BODY_BYTES_MAX {
            return Err(too_large());
        }
        body.push(data);
    }
    Ok(body)
}

/// Lets a body of HTTP/2 come and looks at none of it: a caller whose stream is ended in the middle of what he sends
/// takes the end for a fault and does not read the reply.
pub async fn discard(request: Request<Incoming>) {
    let (mut incoming, mut bytes) = (request.into_body(), 0);
    while bytes <= wire::BODY_BYTES_MAX && !incoming.is_end_stream() {
        let Some(Ok(frame)) = incoming.frame().await else { return };
        let data = frame.into_data().map(Body::Whole);
        bytes += data.map_or(0, |data| data.len());
    }
}

fn too_large() -> Reply {
    error_reply(ErrorCode::TooLarge, format!("a body has at most {} bytes", wire::BODY_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_is_not_copied_and_several_are_put_together() {
        let piece = Bytes::from(b"{\"code\":".to_vec());
        let start = piece.as_ptr();
        let mut body = Body::Whole(Bytes::new());
        body.push(piece);
        assert_eq!(body.as_ptr(), start);
        for more in ["\"1", "2\"}"] {
            body.push(Bytes::from_static(more.as_bytes()));
        }
        assert_eq!(&*body, b"{\"code\":\"12\"}");
        assert!(matches!(&body, Body::Gathered(all) if all.capacity() == wire::BODY_BYTES_MAX));
    }
}
