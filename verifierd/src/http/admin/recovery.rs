//! Recovery codes: how many are left, and new ones.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use wire::admin::{Proof, RecoveryCodes, RecoveryStatus};
use zeroize::Zeroize;

use super::Administration;
use super::asked::{BodyOrDefault, Named};
use super::codes::proved;
use super::described::Written;
use super::refusals::Refusal;
use super::routes::Granted;

type Admin = State<Arc<Administration>>;

pub(super) async fn status(
    State(admin): Admin,
    granted: Granted,
    Named(name): Named,
) -> Result<Json<RecoveryStatus>, Refusal> {
    Ok(Json(admin.show_recovery(&granted.user(&name)?)))
}

pub(super) async fn regenerate(
    State(admin): Admin,
    granted: Granted,
    Named(name): Named,
    BodyOrDefault(proof): BodyOrDefault<Proof>,
) -> Result<Written<RecoveryCodes>, Refusal> {
    let name = granted.user(&name)?;
    proved(&admin, &granted, &name, proof).await?;
    let codes = admin.dialogue.steward.make_recovery_codes(name.clone(), granted.actor()).await?;
    let codes = codes.iter().map(|code| code.expose().as_str().to_owned()).collect();
    let mut told = RecoveryCodes { user: name.to_string(), codes };
    let written = Written::of(&told);
    told.codes.zeroize();
    Ok(written)
}
