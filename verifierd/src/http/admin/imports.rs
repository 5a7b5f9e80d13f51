//! Importing many tokens: begun, sent in parts, finished or abandoned.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use wire::admin::{IMPORT_ROWS_MAX, Import, ImportCheck, ImportRows, Imported, NewImport};
use wire::error::ErrorCode;

use super::Administration;
use super::asked::{Body, BodyOrDefault, Named};
use super::refusals::{Refusal, refusal};
use super::routes::Granted;
use crate::http::imports::{SerialFormat, Which, wipe};

type Admin = State<Arc<Administration>>;

pub(super) async fn begin(
    State(admin): Admin,
    granted: Granted,
    BodyOrDefault(new): BodyOrDefault<NewImport>,
) -> Result<Json<Import>, Refusal> {
    let format = SerialFormat::new(new.serial_format.as_deref());
    let format = format.map_err(|fault| refusal(ErrorCode::Malformed, fault))?;
    let id = admin.imports.begin(granted.caller().id(), format, admin.dialogue.clock.elapsed())?;
    Ok(Json(Import { id }))
}

pub(super) async fn add(
    State(admin): Admin,
    granted: Granted,
    Named(id): Named,
    Body(ImportRows { rows }): Body<ImportRows>,
) -> Result<Json<ImportCheck>, Refusal> {
    if rows.len() > IMPORT_ROWS_MAX {
        let message = format!("{} rows in one request: at most {IMPORT_ROWS_MAX} are taken", rows.len());
        wipe(rows);
        return Err(refusal(ErrorCode::TooLarge, message));
    }
    let now = admin.dialogue.clock.elapsed();
    let which = Which { id: &id, owner: granted.caller().id() };
    Ok(Json(admin.imports.add(which, rows, &admin.dialogue.accounts, now)?))
}

pub(super) async fn finish(
    State(admin): Admin,
    granted: Granted,
    Named(id): Named,
) -> Result<Json<Imported>, Refusal> {
    let which = Which { id: &id, owner: granted.caller().id() };
    let staged = admin.imports.finish(which, admin.dialogue.clock.elapsed())?;
    if staged.is_empty() {
        return Ok(Json(Imported { tokens: 0 }));
    }
    Ok(Json(Imported { tokens: admin.dialogue.steward.import(staged, granted.actor()).await? }))
}

pub(super) async fn abandon(
    State(admin): Admin,
    granted: Granted,
    Named(id): Named,
) -> Result<Json<Imported>, Refusal> {
    let which = Which { id: &id, owner: granted.caller().id() };
    admin.imports.abandon(which, admin.dialogue.clock.elapsed())?;
    Ok(Json(Imported { tokens: 0 }))
}
