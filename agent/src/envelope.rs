//! What the PAM module gets as the state of a dialogue: the verifier's own, and whose login it is.
//!
//! So the agent knows of every answer to a question to whom it belongs, and remembers nothing. The module carries the
//! state back unchanged; who else could change it could also ask as somebody else, being root. The verifier's part is
//! sealed by the verifier.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::offline::tries::Place;

/// A dialogue's state as the module has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Whose login it is.
    pub user: String,
    /// To which service.
    pub service: String,
    /// The verifier's state; empty where no verifier is asked.
    pub state: String,
    /// Where somebody sits of whom an offline password was asked; absent where it was a verifier's question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<Place>,
}

impl Envelope {
    /// Closes it, as text.
    pub fn close(&self) -> String {
        BASE64.encode(&serde_json::to_vec(self).expect("texts can be written"))
    }

    /// Opens what [`Self::close`] made; `None` for anything else.
    pub fn open(text: &str) -> Option<Self> {
        serde_json::from_slice(&BASE64.decode(text.as_bytes()).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_closed_opens_and_nothing_else_does() {
        let envelope = Envelope {
            user: "al\"ice\u{e9}".into(),
            service: "sshd".into(),
            state: "sealed".into(),
            offline: None,
        };
        let closed = envelope.close();
        assert_eq!(Envelope::open(&closed), Some(envelope));
        for wrong in ["", "sealed", &closed[4..], &BASE64.encode(b"{}"), &BASE64.encode(b"{\"user\":1}")] {
            assert_eq!(Envelope::open(wrong), None, "{wrong}");
        }
    }
}
