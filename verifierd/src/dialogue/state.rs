//! The state of a dialogue, sealed and carried by the host between two requests.
//!
//! It is bound to one login; whoever opens it needs nothing else to go on. It lives five minutes: longer
//! than sshd waits for a login (LoginGraceTime, 120 s by default), short enough to be of no later use.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::accounts::TokenId;
use crate::clock::UnixTime;
use crate::engine::Decision;
use crate::keys::{KeyError, Sealer};
use crate::login::Login;

const LIFETIME_SECONDS: u64 = 300;

const BINDINGS: &[u8] = b"dialogue state, format 1";

/// Where a dialogue stands.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    /// The login it is about.
    pub login: Login,
    /// What was asked last.
    pub asked: Asked,
    issued: UnixTime,
}

/// What was asked last.
#[derive(Serialize, Deserialize)]
pub enum Asked {
    /// A code. With `grace`, an empty answer will do.
    Code {
        /// The token whose secret was shown.
        enrolling: Option<TokenId>,
        /// Whether the user was told that he may do without.
        grace: bool,
    },
    /// The serial number of a token that he was handed.
    Serial,
    /// A code of the token with this serial number, if there is one.
    SerialCode {
        /// As he typed it.
        serial: String,
    },
    /// The code after one that showed that the token is out of step.
    NextCode {
        /// Of which token.
        serial: String,
        /// The first code. Nobody can read it: the state is sealed.
        first: Zeroizing<String>,
        /// Whether the token is to be associated.
        associates: bool,
    },
    /// Whether he wants new recovery codes, now that he has typed his last one.
    NewCodesWish {
        /// That one.
        last: Zeroizing<String>,
    },
    /// To write down the new ones.
    NewCodesShown {
        /// The last of the old ones.
        last: Zeroizing<String>,
        /// The new ones. They are good once the last is used up.
        codes: Vec<Zeroizing<String>>,
    },
    /// A password that was issued on request, or a word. With `grace`, an empty answer will do.
    Issued {
        /// Whether the user was told that he may do without.
        grace: bool,
    },
    /// The address of whoever asks for one.
    RequestEmail {
        /// Whether the approvers are to decide even where nobody need approve.
        emergency: bool,
    },
    /// The reason for an emergency.
    RequestReason {
        /// Of whom.
        email: String,
    },
    /// Whether one is to be sent to the address on record.
    RequestConfirm,
    /// The login name of the person who asks for one.
    RequestLogin,
    /// His password.
    RequestPassword {
        /// Whose.
        login: String,
    },
    /// The login name of the person. With `grace`, an empty answer will do.
    SecondaryLogin {
        /// Whether the user was told that he may do without.
        grace: bool,
    },
    /// His password.
    SecondaryPassword {
        /// Whose.
        login: String,
    },
    /// To take note of a refusal.
    Acknowledgement {
        /// The refusal's reference.
        reference: String,
        /// Whether it was a denial; otherwise the service was unavailable.
        denied: bool,
    },
}

impl Asked {
    /// Whether the answer can only be right for somebody who knew a secret before: what may be asked while commits
    /// are missing in the store.
    pub fn needs_a_known_secret(&self) -> bool {
        match self {
            Self::Code { enrolling, .. } => enrolling.is_none(),
            Self::NextCode { associates, .. } => !associates,
            Self::NewCodesWish { .. } | Self::NewCodesShown { .. } | Self::Acknowledgement { .. } => true,
            // What was issued before may have been used, and persons may be those of long ago.
            Self::Issued { .. }
            | Self::RequestEmail { .. }
            | Self::RequestReason { .. }
            | Self::RequestConfirm
            | Self::RequestLogin
            | Self::RequestPassword { .. }
            | Self::SecondaryLogin { .. }
            | Self::SecondaryPassword { .. } => false,
            Self::Serial | Self::SerialCode { .. } => false,
        }
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asked(..)")
    }
}

/// Not a state of ours, or too old.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StateError {
    /// It does not open.
    #[error("the dialogue's state is not one of this service's")]
    Foreign,
    /// It was issued too long ago, or in the future.
    #[error("the dialogue took too long")]
    Expired,
}

impl State {
    /// A state that begins to age now.
    pub fn new(login: Login, asked: Asked, now: UnixTime) -> Self {
        Self { login, asked, issued: now }
    }

    /// After a refusal.
    pub fn refused(login: Login, decision: &Decision, now: UnixTime) -> Self {
        let denied = decision.verdict == wire::login::Verdict::Deny;
        let asked = Asked::Acknowledgement { reference: decision.reference.to_string(), denied };
        Self::new(login, asked, now)
    }

    /// Seals it for the host.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn seal(&self, sealer: &Sealer) -> Result<String, KeyError> {
        let text = serde_json::to_vec(self).map(Zeroizing::new);
        let text = text.expect("a state holds only texts, numbers and lists");
        Ok(BASE64URL_NOPAD.encode(&sealer.seal(&text, BINDINGS)?))
    }

    /// Opens what the host sent back.
    ///
    /// # Errors
    /// [`StateError`]; an expired state is not told apart from one of the future.
    pub fn open(text: &str, sealer: &Sealer, now: UnixTime) -> Result<Self, StateError> {
        let sealed = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| StateError::Foreign)?;
        let opened = sealer.open(&sealed, BINDINGS).map_err(|_| StateError::Foreign)?;
        let state: Self = serde_json::from_slice(&opened).map_err(|_| StateError::Foreign)?;
        // A clock that was stepped back by a few seconds must not end a dialogue.
        if now.abs_diff(state.issued) > LIFETIME_SECONDS {
            return Err(StateError::Expired);
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::MasterKey;

    fn login() -> Login {
        Login::at("alice", "sshd")
    }

    #[test]
    fn a_state_opens_until_it_is_five_minutes_old_and_only_with_our_key() {
        let sealer = Sealer::new(&MasterKey::generate().unwrap(), "dialogue");
        let other = Sealer::new(&MasterKey::generate().unwrap(), "dialogue");
        let state = State::new(login(), Asked::Code { enrolling: None, grace: false }, 1_000);
        let sealed = state.seal(&sealer).unwrap();
        assert_eq!(State::open(&sealed, &sealer, 1_300).unwrap().login, login());
        assert_eq!(State::open(&sealed, &sealer, 1_301).unwrap_err(), StateError::Expired);
        assert_eq!(State::open(&sealed, &other, 1_000).unwrap_err(), StateError::Foreign);
        assert_eq!(State::open("", &sealer, 1_000).unwrap_err(), StateError::Foreign);
        assert_eq!(State::open("\u{e9}", &sealer, 1_000).unwrap_err(), StateError::Foreign);
    }
}
