//! Steps of a login as a host wants them: sealed once more, under the key that came with the question.
//!
//! Against nobody on the way, where TLS is, but against what the host's own libraries keep of an answer: a secret that an
//! enrolment shows (`agent::reply_key` has the other side).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use data_encoding::BASE64URL_NOPAD;
use hyper::Request;
use hyper::header::{HeaderMap, HeaderValue};
use serve::Reply;
use wire::fleet::{REPLY_KEY_BYTES, REPLY_KEY_HEADER, SEALED_HEADER};
use wire::login::{BEGIN_PATH, CONTINUE_PATH};
use zeroize::Zeroizing;

/// A key for one answer.
#[derive(Debug)]
pub(super) struct ReplyKey(LessSafeKey);

impl ReplyKey {
    /// The key of a step of a login, if its host told one.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        let is_login = [BEGIN_PATH, CONTINUE_PATH].contains(&request.uri().path());
        Self::told(request.headers()).filter(|_| is_login)
    }

    fn told(headers: &HeaderMap) -> Option<Self> {
        let key =
            BASE64URL_NOPAD.decode(headers.get(REPLY_KEY_HEADER)?.as_bytes()).ok().map(Zeroizing::new)?;
        let key = UnboundKey::new(&AES_256_GCM, key.first_chunk::<REPLY_KEY_BYTES>()?).ok()?;
        Some(Self(LessSafeKey::new(key)))
    }

    /// The same answer, sealed.
    pub(super) fn seal(self, reply: Reply) -> Reply {
        let (mut head, body) = reply.into_parts();
        let mut body = body.into_inner().unwrap_or_default().to_vec();
        // The key seals this answer and is gone.
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let sealed = self.0.seal_in_place_append_tag(nonce, Aad::empty(), &mut body);
        sealed.expect("answers are far below the 64 GiB that AES-GCM allows");
        head.headers.insert(SEALED_HEADER, HeaderValue::from_static("1"));
        Reply::from_parts(head, body.into())
    }
}
