//! What is done beside logins: what is old is forgotten, and checkpoints of the audit trail are made.

use std::sync::Arc;
use std::time::Duration;

use ledger::Entry;
use serve::stopped;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::audit::witness::{PUBLISH_EVERY, Witness};
use crate::clock::Clock;
use crate::engine::throttle::Throttles;
use crate::http::Administration;
use crate::http::fleet::Fleet;

/// How often what is old is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How much one batch of a sweep looks at, before others have their turn.
const SWEEP_BATCH_MAX: usize = 1_000;

/// How long a sweep stands still between two batches, so that a million things that end at once cost logins little.
const SWEEP_PAUSE: Duration = Duration::from_millis(1);

/// Makes checkpoints of the audit trail: every ten seconds, and sooner where much is recorded.
pub(super) async fn publish_checkpoints(witness: Arc<Witness>, mut stop: watch::Receiver<bool>) {
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

pub(super) async fn sweep(
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
