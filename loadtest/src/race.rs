//! One valid code on many connections at one instant, round after round: exactly one may be accepted.
//!
//! Every connection has begun its login and holds the request with the code ready; a barrier lets all go at once.
//! The verifier looks at a few tries of a user at a time and refuses the others unseen, which is a refusal like
//! any other here.

mod rota;
mod tally;

use std::sync::Arc;

use anyhow::{Result, bail};
use serde::Serialize;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::args::{HostArgs, RaceArgs};
use crate::authenticator;
use crate::clock::{Clock, pauses};
use crate::latency::Latency;
use crate::login::{Answer, Begun, Host, RequestIds, reach};
use crate::outcome::Outcome;
use crate::progress;
use crate::report::{Conclusion, Report};
use crate::target::Target;
use rota::{Entrant, Rota};
use tally::{Round, Tally};

/// Settings as the report states them.
#[derive(Serialize)]
struct Settings<'a> {
    #[serde(flatten)]
    host: &'a HostArgs,
    #[serde(flatten)]
    race: &'a RaceArgs,
    users: usize,
}

/// Runs all rounds and reports.
///
/// # Errors
/// When there is no user, nobody answers at the start, or the report cannot be written.
pub async fn run(host: &HostArgs, args: &RaceArgs, clock: Clock) -> Result<Conclusion> {
    let authenticators = match (&args.secrets, &args.user, &args.secret_file) {
        (Some(path), _, _) => authenticator::read_many(path)?,
        (None, Some(user), Some(path)) => vec![authenticator::read_one(user, path)?],
        _ => bail!("either --secrets, or --user with --secret-file, is needed"),
    };
    let target = Target::unix(&host.socket);
    reach(&target).await?;
    args.report.check(None)?;
    if args.report.next_step {
        clock.next_step().await;
    }
    let settings = Settings { host, race: args, users: authenticators.len() };

    let ids = Arc::new(RequestIds::new()?);
    let mut hosts: Vec<Host> =
        (0..args.connections).map(|_| Host::new(&target, &host.service, &ids)).collect();
    let mut rota = Rota::new(authenticators);
    let mut tally = Tally::default();
    let bar = progress::count(args.rounds.into(), "rounds");
    for number in 1..=args.rounds {
        let entrant = next_entrant(&mut rota, clock).await;
        let (round, latency);
        (hosts, round, latency) = run_round(hosts, &entrant, Round::new(number, &entrant), clock).await;
        tally.add(round, &latency);
        bar.inc(1);
    }
    bar.finish_and_clear();

    let rows = tally.rows();
    let conclusion = if tally.is_right() { Conclusion::Right } else { Conclusion::Miscounted };
    let report = Report::new("race", &args.report, settings, tally.result(), clock);
    report.publish(&args.report, rows, conclusion)
}

/// The next code that was not raced for; waits for a time step when all were.
async fn next_entrant(rota: &mut Rota, clock: Clock) -> Entrant {
    let mut pauses = pauses();
    loop {
        if let Some(entrant) = rota.next(clock.step()) {
            return entrant;
        }
        pauses.tick().await;
    }
}

/// Races once. Gives the hosts back, with their connections open.
async fn run_round(
    hosts: Vec<Host>,
    entrant: &Entrant,
    mut round: Round,
    clock: Clock,
) -> (Vec<Host>, Round, Latency) {
    let barrier = Arc::new(Barrier::new(hosts.len()));
    let mut runners = JoinSet::new();
    for mut host in hosts {
        let (barrier, entrant) = (Arc::clone(&barrier), entrant.clone());
        runners.spawn(async move {
            let ready = get_ready(&mut host, entrant).await;
            barrier.wait().await;
            let released = clock.elapsed();
            let outcome = match ready {
                Ok(answer) => host.submit(answer).await,
                Err(over) => over,
            };
            (host, outcome, clock.elapsed().saturating_sub(released))
        });
    }
    let mut latency = Latency::default();
    let mut hosts = Vec::with_capacity(runners.len());
    for (host, outcome, took) in runners.join_all().await {
        if let Outcome::Decided { .. } = outcome {
            latency.record(took);
        }
        round.add(&outcome);
        hosts.push(host);
    }
    (hosts, round, latency)
}

/// Everything up to the code; the outcome, when the login ended before that.
async fn get_ready(host: &mut Host, entrant: Entrant) -> Result<Answer, Outcome> {
    let lost = |error: anyhow::Error| Outcome::NotBegun { problem: format!("{error:#}") };
    match host.begin(&entrant.user, None).await.map_err(lost)? {
        Begun::Asked(asked) => host.prepare(asked, entrant.code).map_err(lost),
        Begun::Over(outcome) => Err(outcome),
    }
}
