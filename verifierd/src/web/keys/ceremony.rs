//! What browsers are asked for and what keys answer, checked by the library: WebAuthn Level 3, sections 7.1 and 7.2. Keys
//! verify their user, by a PIN or a finger; which make they are is not asked.
//!
//! Whom an answer is for is said by the configuration alone: the name and the origin of `web.base_url`.

use std::time::Duration;

use serde_json::Value;
use url::Url;
use webauthn_rs::prelude::{
    Passkey, PasskeyAuthentication, PasskeyRegistration, PublicKeyCredential, RegisterPublicKeyCredential,
    Uuid, WebauthnError,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use crate::config::BaseUrl;
use crate::people::Person;
use crate::people::keys::{HeldKey, Signed};

/// How long somebody may take to touch his key: as long as for the second step.
pub const CEREMONY_MAX: Duration = Duration::from_secs(5 * 60);

/// A question to a key that waits for its one answer.
#[derive(Clone)]
pub enum Ceremony {
    /// A new one.
    Making {
        /// What its answer is compared with.
        state: Box<PasskeyRegistration>,
        /// What its owner calls it.
        name: String,
    },
    /// One that he has.
    Signing(Box<PasskeyAuthentication>),
}

/// Why an answer is not good.
#[derive(Debug, thiserror::Error)]
pub enum AnswerFault {
    /// Nothing was asked, or it was answered before, or too long ago.
    #[error("nothing was asked of a key, or its answer came before, or too late")]
    NotAsked,
    /// No answer of a browser.
    #[error("this is no answer of a browser")]
    Unreadable,
    /// The key has signed as often before.
    #[error("the key has signed as often before: there may be a copy of it")]
    Counter,
    /// The key is not his, or not any more.
    #[error("the key is none of his")]
    NotHis,
    /// What the library says.
    #[error("{0}")]
    Refused(WebauthnError),
}

impl From<WebauthnError> for AnswerFault {
    fn from(error: WebauthnError) -> Self {
        match error {
            WebauthnError::CredentialPossibleCompromise => Self::Counter,
            error => Self::Refused(error),
        }
    }
}

/// Asks and checks, for one address.
pub struct Checker(Webauthn);

impl Checker {
    /// For pages at `base`.
    pub fn new(base: &BaseUrl) -> Result<Self, WebauthnError> {
        let origin = Url::parse(&base.origin()).map_err(|_| WebauthnError::Configuration)?;
        let builder = WebauthnBuilder::new(base.name(), &origin)?;
        Ok(Self(builder.rp_name("Postern").timeout(CEREMONY_MAX).build()?))
    }

    /// Asks for a new key, none of those that he has.
    pub fn ask_new(
        &self,
        person: &Person,
        held: &[HeldKey],
    ) -> Result<(Value, Box<PasskeyRegistration>), WebauthnError> {
        let known = passkeys(held).map(|(_, key)| key.cred_id().clone()).collect();
        let whose = Uuid::from_u128(person.id.0);
        let asked = self.0.start_passkey_registration(whose, &person.login, &person.name, Some(known));
        let (question, state) = asked?;
        Ok((value(&question), Box::new(state)))
    }

    /// What is to be kept of a new key.
    pub fn take_new(&self, state: &PasskeyRegistration, answer: &str) -> Result<Value, AnswerFault> {
        let answer: RegisterPublicKeyCredential =
            serde_json::from_str(answer).map_err(|_| AnswerFault::Unreadable)?;
        Ok(value(&self.0.finish_passkey_registration(&answer, state)?))
    }

    /// Asks for one of the keys that he has.
    pub fn ask(&self, held: &[HeldKey]) -> Result<(Value, Box<PasskeyAuthentication>), WebauthnError> {
        let keys: Vec<_> = passkeys(held).map(|(_, key)| key).collect();
        let (question, state) = self.0.start_passkey_authentication(&keys)?;
        Ok((value(&question), Box::new(state)))
    }

    /// Which one signed what was asked.
    pub fn take(
        &self,
        state: &PasskeyAuthentication,
        answer: &str,
        held: &[HeldKey],
    ) -> Result<Signed, AnswerFault> {
        let answer: PublicKeyCredential =
            serde_json::from_str(answer).map_err(|_| AnswerFault::Unreadable)?;
        let result = self.0.finish_passkey_authentication(&answer, state)?;
        let (id, mut key) =
            passkeys(held).find(|(_, key)| key.cred_id() == result.cred_id()).ok_or(AnswerFault::NotHis)?;
        key.update_credential(&result);
        Ok(Signed { id: id.to_owned(), counter: result.counter(), credential: value(&key) })
    }
}

/// The keys that the library understands.
fn passkeys(held: &[HeldKey]) -> impl Iterator<Item = (&str, Passkey)> {
    held.iter().filter_map(|key| match serde_json::from_value(key.credential.clone()) {
        Ok(passkey) => Some((key.id.as_str(), passkey)),
        Err(error) => {
            tracing::warn!(key = key.id, %error, "a security key cannot be understood and is left out");
            None
        }
    })
}

fn value(of: &impl serde::Serialize) -> Value {
    serde_json::to_value(of).expect("the library's types are made to be written as JSON")
}
