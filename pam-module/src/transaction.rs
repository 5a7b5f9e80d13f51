//! One PAM transaction: libpam's items, conversation, log and module data in owned, safe types.
//!
//! Decides nothing. Everything that libpam hands out is copied at once, because it frees an item when the
//! item is set again.

use std::ffi::CStr;

use pamsm::{LogLvl, Pam, PamError, PamLibExt};
use wire::session::LOGIN_VARIABLE;
use zeroize::Zeroizing;

use crate::conversation::{Conversation, ConversationFailed, Message, RawAnswer};
use crate::ending::Refusal;
use crate::fault::fault_point;
use crate::login::PamItems;
use crate::person::{self, Known};
use crate::raw;
use crate::recorder::Kept;

/// libpam's handle, for the length of one call into the module.
pub(crate) struct Transaction {
    pam: Pam,
}

/// Longest reference that is kept. They have nine characters.
const REFERENCE_BYTES_MAX: usize = 32;

/// Under this name libpam keeps the user whose login was allowed, for the account phase.
const VERIFIED_USER: &str = "pam_postern.verified_user";

/// Under this name libpam keeps the reference of the login until a session begins.
const LOGIN: &str = "pam_postern.login";

/// Under this name libpam keeps who was let in.
const PERSON: &str = "pam_postern.person";

/// Under this name libpam keeps that what the environment said of the login was taken over: what is there later, others
/// put there.
const TAKEN_OVER: &str = "pam_postern.taken_over";

/// Under this name libpam keeps what became of the recorder of the open session.
const RECORDER: &str = "pam_postern.recorder";

/// Under this name libpam keeps what the open session is called, for its end.
const SESSION: &str = "pam_postern.session";

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
        Ok(self.items_of(owned(user)))
    }

    /// The same for a session, at whose begin nobody is asked anything.
    pub(crate) fn session_items(&self) -> PamItems {
        self.items_of(self.user())
    }

    fn items_of(&self, user: Option<Vec<u8>>) -> PamItems {
        PamItems {
            user: user.unwrap_or_default(),
            service: owned(self.pam.get_service().ok().flatten()),
            rhost: owned(self.pam.get_rhost().ok().flatten()),
            ruser: owned(self.pam.get_ruser().ok().flatten()),
            tty: raw::tty(&self.pam),
            ssh_connection: owned(self.pam.getenv("SSH_CONNECTION").ok().flatten()),
        }
    }

    /// Puts the reference of the login into the PAM environment, for the session that follows. Nothing but the form of
    /// a reference gets there: where neither `setcred` nor `open_session` is called, it reaches the user's programs.
    pub(crate) fn set_login_reference(&self, reference: &str) {
        let is_one = reference.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if is_one && (1..=REFERENCE_BYTES_MAX).contains(&reference.len()) {
            // A session without it is listed as one without a login.
            let _unset = self.pam.putenv(&format!("{LOGIN_VARIABLE}={reference}"));
            let _kept = self.pam.send_bytes(LOGIN, reference.as_bytes().to_vec(), None);
        }
    }

    /// Takes that of an earlier try away.
    pub(crate) fn forget_login_reference(&self) {
        self.take_login_variable();
        let _kept = self.pam.send_bytes(TAKEN_OVER, Vec::new(), None);
        let _kept = self.pam.send_bytes(LOGIN, Vec::new(), None);
    }

    /// Takes over what sshd's process for passwords has left in the environment: the reference of the login, and who was
    /// let in. Once for each login: modules of the session, which come later, put there what users have written.
    pub(crate) fn take_over_login(&self) {
        if self.pam.retrieve_bytes(TAKEN_OVER).is_ok_and(|taken| !taken.is_empty()) {
            return;
        }
        let _kept = self.pam.send_bytes(TAKEN_OVER, b"yes".to_vec(), None);
        if let Some(reference) = self.take_login_variable() {
            let _kept = self.pam.send_bytes(LOGIN, reference, None);
        }
        if self.person().is_none() {
            let [login, email, reference] =
                person::VARIABLES.map(|name| owned(self.pam.getenv(name).ok().flatten()));
            if let Some(known) = Known::from_environment(login, email, reference) {
                let _kept = self.pam.send_bytes(PERSON, known.to_bytes(), None);
            }
        }
    }

    /// Takes the reference out of the PAM environment, which becomes that of the user's programs.
    fn take_login_variable(&self) -> Option<Vec<u8>> {
        let reference = owned(self.pam.getenv(LOGIN_VARIABLE).ok().flatten())?;
        // libpam complains when a variable is taken away that is not there.
        let _left = self.pam.putenv(LOGIN_VARIABLE);
        Some(reference)
    }

    /// The reference of the login, if there was one. What else is under its name in the environment goes.
    pub(crate) fn login_reference(&self) -> Option<Vec<u8>> {
        self.take_login_variable();
        self.pam.retrieve_bytes(LOGIN).ok().filter(|reference| !reference.is_empty())
    }

    /// Puts who was let in into the PAM environment, where the user's programs find it, and keeps it here.
    pub(crate) fn set_person(&self, known: &Known) {
        for (name, value) in known.variables() {
            // A session without it says nothing of a person.
            let _unset = self.pam.putenv(&format!("{name}={value}"));
        }
        let _kept = self.pam.send_bytes(PERSON, known.to_bytes(), None);
    }

    /// Takes that of an earlier try away.
    pub(crate) fn forget_person(&self) {
        for name in person::VARIABLES {
            // libpam complains when a variable is taken away that is not there.
            if self.pam.getenv(name).ok().flatten().is_some() {
                let _left = self.pam.putenv(name);
            }
        }
        let _kept = self.pam.send_bytes(PERSON, Vec::new(), None);
    }

    /// Who was let in, if that is known.
    pub(crate) fn person(&self) -> Option<Known> {
        Known::from_bytes(&self.pam.retrieve_bytes(PERSON).ok()?)
    }

    /// Keeps what became of the recorder of the open session; nothing where there is none.
    pub(crate) fn keep_recorder(&self, kept: Option<&Kept>) {
        let bytes = kept.and_then(|kept| serde_json::to_vec(kept).ok()).unwrap_or_default();
        let _kept = self.pam.send_bytes(RECORDER, bytes, None);
    }

    /// What became of the recorder of the open session.
    pub(crate) fn recorder(&self) -> Option<Kept> {
        serde_json::from_slice(&self.pam.retrieve_bytes(RECORDER).ok()?).ok()
    }

    /// Keeps what the open session is called; `false` when libpam cannot.
    pub(crate) fn keep_session(&self, session: &str) -> bool {
        self.pam.send_bytes(SESSION, session.as_bytes().to_vec(), None).is_ok()
    }

    /// Keeps that there is none.
    pub(crate) fn forget_session(&self) {
        let _kept = self.keep_session("");
    }

    /// What the open session is called, if there is one.
    pub(crate) fn session(&self) -> Option<String> {
        let kept = self.pam.retrieve_bytes(SESSION).ok()?;
        String::from_utf8(kept).ok().filter(|session| !session.is_empty())
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
