//! The password of an hour for every host: how it stands, and the words of two administrators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use wire::admin::{
    Role, SteppedUniversal, Universal as Shown, UniversalStep, UniversalWaiting, UniversalWish,
};
use wire::error::ErrorCode;
use zeroize::Zeroize as _;

use super::Administration;
use super::asked::Body;
use super::described::Written;
use super::refusals::{Refusal, refusal};
use super::routes::Granted;
use crate::audit::rfc3339;
use crate::config::UniversalVisibleTo;
use crate::http::roles::Caller;
use crate::offline::{Administrator, Stepped, UniversalError};

type Admin = State<Arc<Administration>>;

/// Seconds of an hour, by which the password changes.
const HOUR: u64 = 3_600;

impl From<UniversalError> for Refusal {
    fn from(error: UniversalError) -> Self {
        let code = match error {
            UniversalError::Change(error) => return error.into(),
            UniversalError::Off | UniversalError::On | UniversalError::Over => ErrorCode::Conflict,
            UniversalError::SamePerson => ErrorCode::NotAllowed,
        };
        refusal(code, error.to_string())
    }
}

pub(super) async fn show(State(admin): Admin, granted: Granted) -> Result<Json<Shown>, Refusal> {
    admin.is_seen_by(granted.caller())?;
    Ok(Json(admin.show_universal()))
}

pub(super) async fn enable(
    State(admin): Admin,
    granted: Granted,
    Body(wish): Body<UniversalWish>,
) -> Result<Written<SteppedUniversal>, Refusal> {
    admin.step(&granted, UniversalStep::Enable, wish).await
}

pub(super) async fn release(
    State(admin): Admin,
    granted: Granted,
    Body(wish): Body<UniversalWish>,
) -> Result<Written<SteppedUniversal>, Refusal> {
    admin.step(&granted, UniversalStep::Release, wish).await
}

pub(super) async fn disable(
    State(admin): Admin,
    granted: Granted,
    Body(wish): Body<UniversalWish>,
) -> Result<Written<SteppedUniversal>, Refusal> {
    admin.step(&granted, UniversalStep::Disable, wish).await
}

impl Administration {
    /// Whether somebody may know of it at all.
    fn is_seen_by(&self, caller: &Caller) -> Result<(), Refusal> {
        match self.dialogue.config.load().offline.universal_visible_to {
            UniversalVisibleTo::Super if caller.role < Role::Super => Err(super::routes::denied(caller)),
            UniversalVisibleTo::Super | UniversalVisibleTo::Admin => Ok(()),
        }
    }

    async fn step(
        &self,
        granted: &Granted,
        step: UniversalStep,
        wish: UniversalWish,
    ) -> Result<Written<SteppedUniversal>, Refusal> {
        self.is_seen_by(granted.caller())?;
        if !self.dialogue.config.load().offline.enabled {
            let message = "offline passwords are turned off (offline.enabled)";
            return Err(refusal(ErrorCode::Conflict, message.into()));
        }
        let (by, why) = (self.administrator(granted).await?, self.reason(wish.why)?);
        let stepped = self.offline.universal().step(step, by, why).await?;
        let (password, until) = match stepped {
            Stepped::Waits | Stepped::Done => (None, None),
            Stepped::Released { password, until } => (Some(password.to_string()), Some(rfc3339(until))),
        };
        let mut told = SteppedUniversal { universal: self.show_universal(), password, until };
        let written = Written::of(&told);
        told.password.zeroize();
        Ok(written)
    }

    fn show_universal(&self) -> Shown {
        let record = self.offline.universal().record();
        let waiting = record.waiting.map(|waiting| UniversalWaiting {
            step: waiting.step,
            until: rfc3339(waiting.until()),
            by: waiting.by,
            why: waiting.why,
        });
        Shown {
            is_on: record.on.is_some(),
            enabled: record.on.as_ref().map(|on| rfc3339(on.at)),
            ends: record.on.as_ref().map(|on| rfc3339((on.last + 1) * HOUR)),
            enabled_by: record.on.map(|on| on.by.to_vec()).unwrap_or_default(),
            waiting,
        }
    }

    /// The one person who asks. Whoever is root, or has an account of several, is nobody in particular, and a key that
    /// somebody else made does not speak for its person.
    async fn administrator(&self, granted: &Granted) -> Result<Administrator, Refusal> {
        let caller = granted.caller();
        let is_his_own = caller.key.as_ref().is_none_or(|key| key.is_his_own);
        let person = self.person_of(granted).await?.filter(|_| is_his_own);
        let person = person.ok_or_else(|| {
            let message = "this takes two persons, each by the page, by an account that is his alone, or by a key that he \
                           made himself; root is nobody in particular";
            refusal(ErrorCode::NotAllowed, message.into())
        })?;
        Ok(Administrator { name: person.login.to_lowercase(), signature: caller.signature() })
    }
}
