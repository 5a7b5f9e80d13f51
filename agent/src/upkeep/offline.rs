//! What the host says of its offline passwords to the verifier that answers, and what it is told.

use std::sync::PoisonError;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::Instant;
use wire::API_VERSION;
use wire::offline::{OFFLINE_PATH, OfflineOrders, OfflineReport, TIME_ZONE_BYTES_MAX, USES_MAX};
use zeroize::Zeroize as _;

use super::{REPORT_TIMEOUT, Upkeep, json};
use crate::offline::keeper::Standing;
use crate::status::OfflineTold;

/// How often offline passwords are spoken of where there is nothing to tell: a revoked one opens for as long.
const OFFLINE_EVERY: Duration = Duration::from_secs(600);

/// Times at once: a key is asked for, and told of.
const OFFLINE_ROUNDS_MAX: usize = 2;

/// When a verifier is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfflinePlan {
    /// Not before, where there is nothing to tell.
    due: Instant,
    /// Not before, whatever there is.
    not_before: Instant,
}

impl OfflinePlan {
    pub(super) fn at_once() -> Self {
        let now = Instant::now();
        Self { due: now, not_before: now }
    }
}

impl Upkeep {
    /// Tells the verifier that answers how this host stands to its offline passwords, and passes on what it says: every ten
    /// minutes, and at once where there is something to tell, or no key.
    ///
    /// * `plan`: when.
    pub(super) async fn speak_of_offline(&self, number: usize, plan: &mut OfflinePlan) {
        if Instant::now() < plan.not_before {
            return;
        }
        // A key that came is told of at once: passwords are made for it from then on.
        for _ in 0..OFFLINE_ROUNDS_MAX {
            let Some(standing) = self.look_at_offline().await else { return };
            let wants_key = standing.epoch.is_none() && standing.is_enabled;
            let has_news = wants_key || !standing.uses.is_empty();
            if Instant::now() < plan.due && !has_news {
                return;
            }
            plan.due = Instant::now() + OFFLINE_EVERY + self.chance.up_to(OFFLINE_EVERY / 10);
            let Some(orders) = self.tell_of_offline(number, standing).await else { return };
            let has_key = orders.key.is_some();
            let obeyed = self.offline.obey(&orders).await;
            wipe(orders);
            match obeyed {
                Ok(standing) => self.note_offline(OfflineTold::Stands(standing)),
                Err(error) => {
                    // Each key that is asked for is on record there for ever.
                    plan.not_before = Instant::now() + OFFLINE_EVERY;
                    tracing::error!(%error, "what a verifier says of offline passwords was not taken over");
                    return;
                }
            }
            if !has_key {
                return;
            }
            plan.due = Instant::now();
        }
    }

    async fn tell_of_offline(&self, number: usize, standing: Standing) -> Option<OfflineOrders> {
        let report = OfflineReport {
            api_version: API_VERSION,
            epoch: standing.epoch,
            generation: standing.generation,
            highest: standing.highest,
            time_zone: time_zone(),
            uses: standing.uses.into_iter().take(USES_MAX).collect(),
        };
        let deadline = Instant::now() + REPORT_TIMEOUT;
        let asked = self.verifiers.ask_one(number, OFFLINE_PATH, &json(&report), deadline).await;
        let answer = match asked {
            Ok(answer) if answer.status == StatusCode::OK => answer,
            // A verifier of an earlier version knows nothing of this.
            Ok(answer) => {
                tracing::debug!(status = %answer.status, "the verifier says nothing of offline passwords");
                return None;
            }
            Err(fault) => {
                tracing::debug!(%fault, "offline passwords");
                return None;
            }
        };
        let orders: OfflineOrders = serde_json::from_slice(&answer.body).ok()?;
        let is_ours = orders.host == self.reporter.identity.load().host && orders.api_version == API_VERSION;
        if !is_ours {
            tracing::error!("ALERT: what came of offline passwords is for another host");
            wipe(orders);
            return None;
        }
        Some(orders)
    }

    /// How it stands, also while nobody can be told.
    pub(super) async fn look_at_offline(&self) -> Option<Standing> {
        match self.offline.standing().await {
            Ok(standing) => {
                self.note_offline(OfflineTold::Stands(standing.clone()));
                Some(standing)
            }
            Err(error) => {
                tracing::debug!(%error, "offline passwords");
                self.note_offline(OfflineTold::Silent);
                None
            }
        }
    }

    fn note_offline(&self, told: OfflineTold) {
        self.reporter.told.lock().unwrap_or_else(PoisonError::into_inner).offline = Some(told);
    }
}

fn wipe(orders: OfflineOrders) {
    if let Some(mut key) = orders.key {
        key.key.zeroize();
    }
}

/// This host's time zone, as its administrator set it (`timedatectl`): the name at the end of the link.
fn time_zone() -> Option<String> {
    let to = std::fs::read_link("/etc/localtime").ok()?;
    let (_, name) = to.to_str()?.split_once("zoneinfo/")?;
    Some(name.to_owned()).filter(|name| name.len() <= TIME_ZONE_BYTES_MAX)
}
