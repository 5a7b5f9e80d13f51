//! One PAM transaction: libpam's items, conversation, log and module data in owned, safe types.
//!
//! Decides nothing. Everything that libpam hands out is copied at once, because it frees an item when the
//! item is set again.

use std::ffi::CStr;

use pamsm::{LogLvl, Pam, PamError, PamLibExt};
use zeroize::Zeroizing;

use crate::conversation::{Conversation, ConversationFailed, Message, RawAnswer};
use crate::ending::Refusal;
use crate::fault::fault_point;
use crate::login::PamItems;
use crate::raw;

/// libpam's handle, for the length of one call into the module.
pub(crate) struct Transaction {
    pam: Pam,
}

/// Under this name libpam keeps the user whose login was allowed, for the account phase.
const VERIFIED_USER: &str = "pam_postern.verified_user";

impl Transaction {
    pub(crate) fn new(pam: Pam) -> Self {
        Self { pam }
    }

    /// Reads the items that describe the login. Where PAM_USER is not set, libpam asks for it.
    ///
    /// # Errors
    /// When libpam could not ask, or failed.
    pub(crate) fn items(&self) -> Result<PamItems, Refusal> {
        fault_point!("transaction::items");
        let user = self.pam.get_user(None).map_err(|code| match code {
            PamError::CONV_ERR => Refusal::ConversationFailed,
            _ => Refusal::PamFailed,
        })?;
        Ok(PamItems {
            user: user.map(|user| user.to_bytes().to_vec()).unwrap_or_default(),
            service: owned(self.pam.get_service().ok().flatten()),
            rhost: owned(self.pam.get_rhost().ok().flatten()),
            ruser: owned(self.pam.get_ruser().ok().flatten()),
            tty: raw::tty(&self.pam),
            ssh_connection: owned(self.pam.getenv("SSH_CONNECTION").ok().flatten()),
        })
    }

    /// Writes one line to the system's log, facility authpriv, under the module's and the service's name.
    pub(crate) fn log(&self, level: LogLvl, line: &str) {
        // There is nowhere to complain when the log cannot be written.
        let _unreported = self.pam.syslog(level, line);
    }

    /// The same for a fixed line, without needing memory.
    pub(crate) fn log_fixed(&self, line: &'static CStr) {
        raw::log_fixed(&self.pam, LogLvl::ERR as i32, line);
    }

    /// Keeps who was allowed, or with `None` that nobody is.
    ///
    /// # Errors
    /// When libpam cannot keep it.
    pub(crate) fn remember_verified(&self, user: Option<&str>) -> Result<(), Refusal> {
        fault_point!("transaction::remember_verified");
        let bytes = user.unwrap_or_default().as_bytes().to_vec();
        self.pam.send_bytes(VERIFIED_USER, bytes, None).map_err(|_| Refusal::PamFailed)
    }

    /// Whether this transaction allowed a user other than the one PAM_USER names at this moment.
    pub(crate) fn user_changed_since(&self) -> bool {
        let verified = self.pam.retrieve_bytes(VERIFIED_USER).unwrap_or_default();
        !verified.is_empty() && self.user() != Some(verified)
    }
}

impl Conversation for Transaction {
    fn converse(&mut self, messages: &[Message]) -> Result<Vec<Option<RawAnswer>>, ConversationFailed> {
        fault_point!("transaction::converse");
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        raw::converse(&self.pam, messages)
    }

    fn user(&self) -> Option<Vec<u8>> {
        owned(self.pam.get_cached_user().ok().flatten())
    }

    fn authtok(&self) -> Option<RawAnswer> {
        owned(self.pam.get_cached_authtok().ok().flatten()).map(Zeroizing::new)
    }
}

fn owned(text: Option<&CStr>) -> Option<Vec<u8>> {
    text.map(|text| text.to_bytes().to_vec())
}
