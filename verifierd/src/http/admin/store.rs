//! How the daemon and its store are, and the end of what an unclean or short start holds back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use ledger::StartState;
use wire::admin::{FleetStatus, MailStatus, SinkStatus, Status};
use wire::error::ErrorCode;

use super::Administration;
use super::refusals::{Refusal, refusal};
use super::routes::Granted;
use crate::accounts::ChangeError;
use crate::audit::rfc3339;
use crate::audit::sinks::SinkFigures;
use crate::hosts::table::Figures;
use crate::mail::MailFigures;

type Admin = State<Arc<Administration>>;

pub(super) async fn status(State(admin): Admin) -> Json<Status> {
    Json(admin.show_status())
}

/// Lets go on what waits for an administrator: logins without a code after the store lost something, recovery
/// codes and issued passwords after an unclean stop.
pub(super) async fn settle(State(admin): Admin, granted: Granted) -> Result<Json<Status>, Refusal> {
    let has_loss = admin.dialogue.has_loss.load(Ordering::Relaxed);
    let unclean = admin.dialogue.accounts.quarantine.last();
    let is_behind = admin.dialogue.witness.is_behind();
    if !is_behind && !has_loss && (unclean.number == 0 || unclean.settled) {
        let message = "nothing is missing in the store, and neither recovery codes nor issued passwords wait: there is nothing to settle";
        return Err(refusal(ErrorCode::Conflict, message.into()));
    }
    if has_loss {
        admin.read(|ledger| ledger.settle_loss()).await?;
    }
    if has_loss || is_behind {
        admin.dialogue.requests.void_all_passwords(&granted.actor().name).await?;
    }
    if is_behind {
        // Before anybody is let in: which of them were used, the store that knew it is gone.
        admin.dialogue.steward.void_all_recovery_codes(granted.actor()).await?;
    }
    admin.dialogue.steward.settle(granted.actor()).await?;
    if is_behind {
        let outcome = admin.dialogue.witness.settle().await;
        if outcome != ledger::Outcome::Committed {
            return Err(ChangeError::NotStored { outcome }.into());
        }
    }
    admin.dialogue.has_loss.store(false, Ordering::Relaxed);
    Ok(Json(admin.show_status()))
}

impl Administration {
    fn show_status(&self) -> Status {
        let users = self.dialogue.accounts.users();
        let counters = self.dialogue.engine.counters();
        let store_start = match self.store_start {
            StartState::Clean => "clean",
            StartState::Unclean => "unclean",
            StartState::Short { .. } => "short",
        };
        let behind = self.dialogue.witness.loss().map(|loss| loss.told());
        let reasons = [behind, self.loss(), waiting(self.waiting_users(&users))];
        let damage = self.sinks.damage().alarm();
        let hosts = self.registrar.hosts().figures();
        let clocks = hosts.clock_alarm();
        let mails = self.dialogue.requests.mail_figures();
        let sinks = self.sinks.figures(self.dialogue.clock.now());
        let lags = sinks.iter().filter_map(SinkFigures::alarm);
        Status {
            api_version: wire::API_VERSION,
            kind: "status".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            ready: !self.dialogue.witness.is_behind(),
            reasons: reasons
                .into_iter()
                .flatten()
                .chain(damage)
                .chain(clocks)
                .chain(mails.alarm())
                .chain(lags)
                .collect(),
            started: rfc3339(self.started),
            users: users.len() as u64,
            tokens: self.dialogue.accounts.token_count() as u64,
            codes_evaluated: counters.codes_evaluated.load(Ordering::Relaxed),
            accepted: counters.accepted.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
            store_start: store_start.into(),
            sinks: sinks.iter().map(shown_sink).collect(),
            fleet: self.registrar.authority().map(|_| shown_fleet(&hosts)),
            mail: shown_mail(&mails),
        }
    }

    fn loss(&self) -> Option<String> {
        let StartState::Short { found, expected } = self.store_start else { return None };
        self.dialogue.has_loss.load(Ordering::Relaxed).then(|| {
            format!(
                "the store ends at commit {found}, but commit {expected} had been made: an old copy, or damage; \
                 until `postern store settle` nobody gets in without a code"
            )
        })
    }
}

fn shown_sink(figures: &SinkFigures) -> SinkStatus {
    let SinkFigures { name, lag_records, lag_seconds, trouble: _ } = *figures;
    SinkStatus { name: name.into(), lag_records, lag_seconds }
}

fn shown_fleet(figures: &Figures) -> FleetStatus {
    let Figures { pending, active, revoked, connections, clocks: _, clocks_ahead, clocks_behind } = *figures;
    FleetStatus { pending, active, revoked, connections, clocks_off: clocks_ahead + clocks_behind }
}

fn shown_mail(figures: &MailFigures) -> Option<MailStatus> {
    let MailFigures { waiting, sent, failed, failing: _ } = *figures;
    let was_any = waiting > 0 || sent > 0 || failed > 0;
    was_any.then_some(MailStatus { waiting: waiting as u64, sent, failed })
}

fn waiting(users: usize) -> Option<String> {
    let whose = match users {
        0 => return None,
        1 => "the recovery codes of 1 user wait".to_owned(),
        users => format!("the recovery codes of {users} users wait"),
    };
    Some(format!(
        "{whose}: one may have been used just before an unclean stop; `postern store settle` lets them be used again"
    ))
}

#[cfg(test)]
mod tests {
    use super::waiting;

    // covers: A14
    #[test]
    fn recovery_codes_that_wait_are_counted_and_the_way_out_is_named() {
        assert_eq!(waiting(0), None);
        assert!(waiting(1).unwrap().starts_with("the recovery codes of 1 user wait:"));
        let many = waiting(12).unwrap();
        assert!(many.contains("12 users") && many.contains("`postern store settle`"), "{many}");
    }
}
