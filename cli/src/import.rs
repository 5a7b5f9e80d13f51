//! `postern token import`: a file of tokens, checked here and by `verifierd`, then stored as a whole or not at all.
//!
//! * [`mod@file`]: the file's bytes become rows and faults; nothing is asked of anybody yet but a passphrase.
//! * [`staging`]: rows go to the daemon, which keeps them aside and says which are faulty.
//! * [`faults`]: what is said about faulty rows.
//! * [`rejects`]: the `--reject-file`.
//! * [`secret`], [`private_file`]: secrets and keys in files of their own.
//! * [`template`]: what a file looks like.

mod faults;
mod file;
mod private_file;
mod rejects;
pub mod secret;
mod staging;
pub mod template;

use std::time::Duration;

use hyper::Method;
use pskc::{TokenRow, TokenType};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use wire::admin::{ImportFault, Imported};

use crate::args::ImportOrder;
use crate::client::segment;
use crate::confirm;
use crate::failure::Failure;
use crate::output::escape::escaped;
use crate::output::json::Document;
use crate::output::{Answer, table};
use crate::verbs::{Session, until_interrupted};
use file::Batch;
use rejects::{Place, Rejects};

/// What a file holds, and whether it is in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Summary {
    tokens: u64,
    hotp: u64,
    totp: u64,
    first_serial: String,
    last_serial: String,
    imported: bool,
}

/// Runs the import. Whatever goes wrong after its begin, Ctrl-C included, ends it in the daemon too.
pub async fn run(session: &Session, order: ImportOrder) -> Result<Answer, Failure> {
    let place = order.reject_file.as_deref().map(|path| Place::checked(path, &order.file)).transpose()?;
    let Batch { rows, mut faults, rows_named } = file::read(&order, session)?;
    let rejects = place.map(Place::begin).transpose()?;
    let summary = Summary::of(&rows);
    if rows.is_empty() {
        return rejected(rejects, faults, rows_named, session);
    }
    let begun = Begun { session, id: until_stopped(staging::begin(session, order.serial_format)).await? };
    let sent = until_stopped(staging::send(session, &begun.id, rows)).await;
    faults.extend(begun.or_end(sent).await?);
    tell_memory(session);
    if !faults.is_empty() {
        begun.end().await;
        return rejected(rejects, faults, rows_named, session);
    }
    begun.or_end(keep(rejects, &[])).await?;
    if order.dry_run {
        begun.end().await;
        return summary.answer(session, &format!("{}; nothing was imported", summary.line()));
    }
    let question = format!("Import {}?", escaped(&summary.line()));
    let consent = until_stopped(confirm::consent(session, question)).await;
    begun.or_end(consent).await?;
    let imported = begun.finish(summary.tokens).await?;
    let words = format!("{} imported and available", tokens_in_words(imported.tokens));
    Summary { imported: true, ..summary }.answer(session, &words)
}

/// Tells all faults, in the order of the file.
fn rejected(
    rejects: Option<Rejects>,
    mut faults: Vec<ImportFault>,
    rows_named: &str,
    session: &Session,
) -> Result<Answer, Failure> {
    faults.sort_by_key(|fault| fault.row);
    keep(rejects, &faults)?;
    faults::report(&faults, rows_named, session.format)
}

fn keep(rejects: Option<Rejects>, faults: &[ImportFault]) -> Result<(), Failure> {
    rejects.map_or(Ok(()), |rejects| rejects.keep(faults))
}

impl Summary {
    fn of(rows: &[TokenRow]) -> Self {
        let count = |of: TokenType| rows.iter().filter(|row| row.token_type == of).count() as u64;
        let serials = || rows.iter().map(|row| row.serial.as_str());
        Self {
            tokens: rows.len() as u64,
            hotp: count(TokenType::Hotp),
            totp: count(TokenType::Totp),
            first_serial: serials().min().unwrap_or_default().to_owned(),
            last_serial: serials().max().unwrap_or_default().to_owned(),
            imported: false,
        }
    }

    /// `100000 tokens: 60000 hotp, 40000 totp, serials 2600000000001 to 2600000100000`.
    fn line(&self) -> String {
        let Self { tokens, hotp, totp, first_serial, last_serial, .. } = self;
        let tokens = tokens_in_words(*tokens);
        format!("{tokens}: {hotp} hotp, {totp} totp, serials {first_serial} to {last_serial}")
    }

    fn answer(&self, session: &Session, words: &str) -> Result<Answer, Failure> {
        let answer = Answer::one(session.format, &Document::new("import", self), || {
            table::properties([
                ("tokens", self.tokens.to_string()),
                ("hotp", self.hotp.to_string()),
                ("totp", self.totp.to_string()),
                ("first serial", self.first_serial.clone()),
                ("last serial", self.last_serial.clone()),
                ("imported", table::yes_no(self.imported)),
            ])
        })?;
        Ok(answer.saying(words))
    }
}

fn tokens_in_words(count: u64) -> String {
    format!("{count} {}", if count == 1 { "token" } else { "tokens" })
}

/// An import that the daemon keeps aside. One that it cannot be told to end ends by itself, ten minutes after its
/// last row.
struct Begun<'a> {
    session: &'a Session,
    id: String,
}

impl Begun<'_> {
    fn path(&self) -> String {
        format!("/v1/imports/{}", segment(&self.id))
    }

    /// Passes an outcome on; a failure ends the import first.
    async fn or_end<T>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        if outcome.is_err() {
            self.end().await;
        }
        outcome
    }

    async fn end(&self) {
        let _ends_by_itself = self.session.client.delete::<Imported>(&self.path()).await;
    }

    /// Has the daemon store everything. When no answer comes, it may have.
    async fn finish(&self, tokens: u64) -> Result<Imported, Failure> {
        // A slow disk stores a thousand tokens a second.
        let more = Duration::from_millis(tokens);
        let path = format!("{}/finish", self.path());
        match until_stopped(self.session.client.patiently(Method::POST, &path, more)).await {
            Ok(imported) => Ok(imported),
            Err(refused @ Failure::Refused { .. }) => self.or_end(Err(refused)).await,
            Err(Failure::Interrupted) => Err(Failure::ImportInterrupted),
            Err(unclear) => Err(Failure::ImportUnclear { source: Box::new(unclear) }),
        }
    }
}

/// Does something until it is done, Ctrl-C is pressed, or somebody ends this process or its terminal: an import that
/// was begun keeps others out until it ends.
async fn until_stopped<T>(job: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let listen = |kind| signal(kind).map_err(|source| Failure::Runtime { source });
    let (mut terminated, mut hung_up) = (listen(SignalKind::terminate())?, listen(SignalKind::hangup())?);
    tokio::select! {
        outcome = until_interrupted(job) => outcome,
        _ = terminated.recv() => Err(Failure::Interrupted),
        _ = hung_up.recv() => Err(Failure::Interrupted),
    }
}

/// With `-v`: how much memory this took, as the kernel counted it.
fn tell_memory(session: &Session) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    if let (true, Some(peak)) = (session.verbose, peak) {
        eprintln!("postern: peak memory: {}", peak.trim());
    }
}
