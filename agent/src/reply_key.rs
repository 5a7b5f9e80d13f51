//! A key for one answer, told with the question: what an answer shows a user lies nowhere but in memory of ours.
//!
//! TLS and HTTP/2 open what they receive in buffers of their own, which they keep and never wipe. An enrolment's secret
//! would lie there until something else does. So the verifier seals such an answer once more under a key that we drew for
//! it, which is wiped with the answer. What the library keeps of the key is the head of the request that carried it, until
//! the next request's head lies over it: that is half a minute at most, because the agent reports.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use data_encoding::BASE64URL_NOPAD;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use wire::fleet::REPLY_KEY_BYTES;
use zeroize::Zeroizing;

/// The key.
pub struct ReplyKey(Zeroizing<[u8; REPLY_KEY_BYTES]>);

impl ReplyKey {
    /// Another one for each request; none where the kernel has no random bytes.
    pub fn draw() -> Option<Self> {
        let mut key = Zeroizing::new([0; REPLY_KEY_BYTES]);
        getrandom::fill(&mut *key).ok()?;
        Some(Self(key))
    }

    /// For the request, in memory that is wiped.
    pub fn header(&self) -> HeaderValue {
        let text = Zeroizing::new(BASE64URL_NOPAD.encode(&*self.0).into_bytes());
        let header = HeaderValue::from_maybe_shared(Bytes::from_owner(text));
        let mut header = header.expect("base 64 is a value of a header");
        // Otherwise HTTP/2 keeps it, to name it by a number next time (RFC 7541 §7.1.3).
        header.set_sensitive(true);
        header
    }

    /// Opens an answer where it lies. `false` where it was not sealed under this key; nothing is left of it then.
    pub fn open(&self, body: &mut Vec<u8>) -> bool {
        let key = UnboundKey::new(&AES_256_GCM, &*self.0).expect("a key of 32 bytes");
        // The key seals one answer.
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let opened = LessSafeKey::new(key).open_in_place(nonce, Aad::empty(), body).map(|text| text.len());
        body.truncate(opened.unwrap_or_default());
        opened.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: E23
    #[test]
    fn an_answer_opens_under_its_own_key_and_no_other() {
        let (ours, other) = (ReplyKey::draw().unwrap(), ReplyKey::draw().unwrap());
        assert!(ours.header().is_sensitive());
        let key = BASE64URL_NOPAD.decode(ours.header().as_bytes()).unwrap();
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
        let mut sealed = b"the secret".to_vec();
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut sealed).unwrap();
        let mut opened = sealed.clone();
        assert!(ours.open(&mut opened) && opened == b"the secret");
        for (key, mut wrong) in [(&other, sealed.clone()), (&ours, sealed[1..].to_vec()), (&ours, vec![])] {
            assert!(!key.open(&mut wrong) && wrong.is_empty());
        }
    }
}
