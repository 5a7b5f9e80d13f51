//! What is done beside logins: what is old is forgotten, and checkpoints of the audit trail are made.

use std::sync::Arc;
use std::time::Duration;

use ledger::Entry;
use serve::stopped;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::Service;
use crate::access::Requests;
use crate::audit::retention::{self, Expiry};
use crate::audit::witness::{PUBLISH_EVERY, Witness};
use crate::clock::Clock;
use crate::engine::throttle::Throttles;
use crate::http::Administration;
use crate::http::fleet::Fleet;
use crate::sessions;

/// How often what is old is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How much one batch of a sweep looks at, before others have their turn.
const SWEEP_BATCH_MAX: usize = 1_000;

/// Requests that are ended in one batch: each is a commit, and others wait for a turn meanwhile.
const REQUESTS_BATCH_MAX: usize = 128;

/// How long a sweep stands still between two batches, so that a million things that end at once cost logins little.
const SWEEP_PAUSE: Duration = Duration::from_millis(1);

impl Service {
    /// Begins all of it, until `stop` says so.
    pub(super) fn begin_chores(&self, stop: &watch::Receiver<bool>) -> [JoinHandle<()>; 6] {
        let Self { dialogue, administration, .. } = self;
        let registrar = Arc::clone(&administration.registrar);
        let expiry = Expiry::new(
            Arc::clone(&self.ledger),
            Arc::clone(&dialogue.clock),
            Arc::clone(&dialogue.config),
            Arc::clone(&administration.sinks),
        );
        [
            tokio::spawn(publish_checkpoints(Arc::clone(&dialogue.witness), stop.clone())),
            tokio::spawn(sessions::chores::look_after(
                Arc::clone(&dialogue.sessions),
                move |session| sessions::chores::is_of_revoked(registrar.hosts(), session),
                stop.clone(),
            )),
            tokio::spawn(expire(expiry, stop.clone())),
            tokio::spawn(Arc::clone(&self.outbox).run(stop.clone())),
            tokio::spawn(end_requests(Arc::clone(&dialogue.requests), stop.clone())),
            tokio::spawn(sweep(
                Arc::clone(&self.throttles),
                Arc::clone(administration),
                self.fleet.clone(),
                Arc::clone(&dialogue.clock),
                stop.clone(),
            )),
        ]
    }
}

/// Makes checkpoints of the audit trail: every ten seconds, and sooner where much is recorded.
async fn publish_checkpoints(witness: Arc<Witness>, mut stop: watch::Receiver<bool>) {
    let mut every = tokio::time::interval(PUBLISH_EVERY);
    let mut look = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            _ = every.tick() => witness.publish_soon().await,
            _ = look.tick() => if witness.is_due() {
                witness.publish_soon().await;
            }
        }
    }
}

/// Removes old records of the audit trail, every few hours.
async fn expire(mut expiry: Expiry, mut stop: watch::Receiver<bool>) {
    let first = tokio::time::Instant::now() + retention::RUN_FIRST;
    let mut every = tokio::time::interval_at(first, retention::RUN_EVERY);
    let mut between = tokio::time::interval(retention::PAUSE);
    between.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            _ = every.tick() => expiry.begin(),
        }
        let mut has_more = true;
        while has_more {
            between.tick().await;
            let is_ending = *stop.borrow();
            let step = tokio::task::spawn_blocking(move || {
                if is_ending {
                    expiry.end();
                }
                let stepped = expiry.step();
                (expiry, stepped)
            });
            let stepped;
            (expiry, stepped) = step.await.expect("a panic ends the process");
            has_more = stepped.unwrap_or_else(|error| {
                tracing::warn!(%error, "old records stay in the audit trail");
                false
            });
        }
    }
}

/// Ends requests that nobody decided, and passwords that nobody used.
async fn end_requests(requests: Arc<Requests>, mut stop: watch::Receiver<bool>) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            _ = every.tick() => requests.sweep(REQUESTS_BATCH_MAX).await,
        };
    }
}

async fn sweep(
    throttles: Arc<Throttles>,
    administration: Arc<Administration>,
    fleet: Option<Fleet>,
    clock: Arc<dyn Clock>,
    mut stop: watch::Receiver<bool>,
) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    let mut between = tokio::time::interval(SWEEP_PAUSE);
    between.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            _ = every.tick() => {
                administration.imports.sweep(clock.elapsed());
                if let (Some(fleet), Some(wanted)) = (&fleet, &administration.dialogue.config.load().fleet) {
                    fleet.look_after(&wanted.names);
                }
                while sweep_batch(&throttles, &administration, &*clock).await && !*stop.borrow() {
                    between.tick().await;
                }
            }
        }
    }
}

/// Forgets a bounded number of old things in each table; whether there may be more.
async fn sweep_batch(throttles: &Throttles, administration: &Administration, clock: &dyn Clock) -> bool {
    let dialogue = &administration.dialogue;
    let begun = clock.elapsed();
    let requests = dialogue.recent.sweep(begun, SWEEP_BATCH_MAX);
    dialogue.recent.took(clock.elapsed().saturating_sub(begun));
    let remembered = dialogue.remembered.sweep(clock.elapsed(), SWEEP_BATCH_MAX);
    let shown = dialogue.shown.sweep(clock.elapsed(), SWEEP_BATCH_MAX);
    let refusals = dialogue.engine.sweep(SWEEP_BATCH_MAX);
    let submit = |changes: Vec<_>| {
        (!changes.is_empty()).then(|| administration.ledger.submit(Entry { changes, ..Entry::default() }))
    };
    let (counts, pending) = throttles.sweep(clock, SWEEP_BATCH_MAX, submit);
    // What is not removed now is removed after the next start.
    if let Some(pending) = pending {
        pending.await;
    }
    [requests, remembered, shown, refusals, counts].iter().any(|swept| swept.seen == SWEEP_BATCH_MAX)
}
