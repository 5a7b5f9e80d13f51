//! A closed loop: each connection makes one login after the other, with valid, replayed and wrong codes.
//!
//! A user has one login at a time, so that every refusal has one possible reason; many at once on one code are
//! the race's part. Latencies are those of a closed loop: a slow reply delays the next request.

mod deck;
mod judge;
mod tally;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use tokio::task::JoinSet;
use wire::login::Verdict;

use crate::args::{HostArgs, SteadyArgs};
use crate::authenticator::{self, Authenticator};
use crate::chance::Chance;
use crate::clock::{Clock, pauses};
use crate::journal::{Journal, Line, Sent};
use crate::login::{Begun, Host, Outcome, RequestIds, reach};
use crate::progress;
use crate::report::{Conclusion, Report};
use deck::{Deck, Mix, Try};
use tally::{Tally, Times, Told};

/// Settings as the report states them.
#[derive(Serialize)]
struct Settings<'a> {
    #[serde(flatten)]
    host: &'a HostArgs,
    #[serde(flatten)]
    steady: &'a SteadyArgs,
    users: usize,
}

/// What all connections share.
#[derive(Debug)]
struct Load {
    authenticators: Vec<Authenticator>,
    /// Locked to take a try or give it back; never while hashing or waiting.
    deck: Mutex<Deck>,
    journal: Option<Journal>,
    clock: Clock,
    until: Duration,
}

/// Runs the load and reports.
///
/// # Errors
/// When there is no user, nobody answers at the start, or the journal or the report cannot be written.
pub async fn run(host: &HostArgs, args: &SteadyArgs, clock: Clock) -> Result<Conclusion> {
    let mix = Mix::new(args.replay_percent, args.wrong_percent)?;
    let authenticators = authenticator::read_many(&args.secrets)?;
    let journal = args.journal.as_deref().map(Journal::append_to).transpose()?;
    let seed = match args.seed {
        Some(seed) => seed,
        None => getrandom::u64().context("the kernel gives no random numbers")?,
    };
    let args = &SteadyArgs { seed: Some(seed), ..args.clone() };
    reach(&host.socket).await?;
    if args.run.next_step {
        clock.next_step().await;
    }
    let settings = Settings { host, steady: args, users: authenticators.len() };

    let load = Arc::new(Load {
        deck: Mutex::new(Deck::new(authenticators.len(), mix)),
        authenticators,
        journal,
        clock,
        until: clock.elapsed() + Duration::from_secs(args.seconds.into()),
    });
    let ids = Arc::new(RequestIds::new()?);
    let mut workers = JoinSet::new();
    for number in 0..args.connections {
        let chance = Chance::new(seed, number.into());
        let tally = Tally::new(args.expect_restarts);
        workers.spawn(Arc::clone(&load).work(Host::new(host, &ids), chance, tally));
    }
    let bar = tokio::spawn(show_progress(args.seconds.into()));
    let mut tally = Tally::new(args.expect_restarts);
    while let Some(worked) = workers.join_next().await {
        tally.add(worked.context("a connection's task ended early")??);
    }
    bar.abort();

    let rows = tally.rows();
    let conclusion = if tally.is_right() { Conclusion::Right } else { Conclusion::Miscounted };
    let report = Report::new("steady", &args.run, settings, tally.result(), clock);
    report.publish(&args.run, rows, conclusion)
}

async fn show_progress(seconds: u64) {
    let bar = progress::seconds(seconds);
    let mut moves = tokio::time::interval(Duration::from_millis(progress::MOVE_PERIOD_MS));
    loop {
        moves.tick().await;
        bar.set_position(bar.elapsed().as_secs());
    }
}

impl Load {
    /// One connection, until time is up.
    async fn work(self: Arc<Self>, mut host: Host, mut chance: Chance, mut tally: Tally) -> Result<Tally> {
        let mut pauses = pauses();
        let started = self.clock.elapsed();
        while self.clock.elapsed() < self.until {
            let step = self.clock.step();
            let Some(dealt) = self.deck().deal(step, &mut chance) else {
                pauses.tick().await;
                continue;
            };
            let authenticator = &self.authenticators[dealt.user];
            let Some(code) = code_of(authenticator, &dealt, step, &mut chance) else {
                self.deck().put_aside(&dealt);
                continue;
            };
            let told = self.log_in(&mut host, authenticator, &dealt, code).await?;
            let fate = self.deck().give_back(&dealt, &told.outcome);
            tally.count(authenticator.user(), &dealt, fate, &told);
            if !matches!(told.outcome, Outcome::Decided { .. }) {
                pauses.tick().await;
            }
        }
        tally.worked(self.clock.elapsed().saturating_sub(started));
        Ok(tally)
    }

    async fn log_in(
        &self,
        host: &mut Host,
        whose: &Authenticator,
        dealt: &Try,
        code: String,
    ) -> Result<Told> {
        let started = self.clock.elapsed();
        let sent_at_ms = self.clock.unix_ms();
        let answer = match host.begin(whose.user()).await {
            Ok(Begun::Asked(asked)) => host.prepare(asked, code)?,
            Ok(Begun::Over(outcome)) => return Ok(Told::over(outcome)),
            Err(error) => return Ok(Told::over(Outcome::NotBegun { problem: format!("{error:#}") })),
        };
        let asked = self.clock.elapsed();
        let request_id = answer.request_id.clone();
        let outcome = host.submit(answer).await;
        let ended = self.clock.elapsed();
        if let Some(journal) = &self.journal {
            let (verdict, reference) = match &outcome {
                Outcome::Decided { verdict, reference } => (*verdict, Some(reference.clone())),
                Outcome::NoAnswer { .. } | Outcome::NotBegun { .. } => (Verdict::Unknown, None),
            };
            let step = (dealt.sent != Sent::Wrong).then_some(dealt.step);
            let user = whose.user().to_owned();
            journal.write(&Line {
                user,
                step,
                request_id,
                sent: dealt.sent,
                sent_at_ms,
                verdict,
                reference,
            })?;
        }
        let times = Times { begin: asked.saturating_sub(started), submit: ended.saturating_sub(asked) };
        Ok(Told { outcome, times: Some(times) })
    }

    fn deck(&self) -> std::sync::MutexGuard<'_, Deck> {
        self.deck.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn code_of(authenticator: &Authenticator, dealt: &Try, now: u64, chance: &mut Chance) -> Option<String> {
    match dealt.sent {
        Sent::Valid | Sent::Replay => authenticator.code(dealt.step),
        Sent::Wrong => Some(authenticator.wrong_code(now, chance)),
    }
}

impl Mix {
    /// A mix in percent; what is left are valid codes.
    ///
    /// # Errors
    /// When nothing is left for them.
    fn new(replay: u8, wrong: u8) -> Result<Self> {
        let others = replay.saturating_add(wrong);
        ensure!(others < 100, "--replay-percent and --wrong-percent leave nothing for valid codes");
        Ok(Self { valid: 100 - others, replay, wrong })
    }
}
