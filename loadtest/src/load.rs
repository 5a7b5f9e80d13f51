//! A load: many logins for a while, with valid, replayed and wrong codes, measured and counted.
//!
//! In the open loop requests start when the schedule says, whatever the verifier does, and a latency counts from then
//! on: a slow answer makes the requests behind it slow, too, instead of fewer. In the closed loop each connection
//! sends its next request when it has its answer; that finds the highest rate, and its latencies say little else.

mod deck;
mod document;
mod judge;
mod lane;
mod live;
mod outage;
mod profile;
mod schedule;
mod tally;

use std::path::Path;
use std::sync::{Arc, Barrier, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use tokio::task::JoinSet;

pub use document::{Document, Interval, Percentiles};
pub use profile::{Mix, Profile};
pub use schedule::Spacing;
pub use tally::Counts;

use crate::args::{HostArgs, ReportArgs, RunArgs, SteadyArgs};
use crate::ask::{self, Way};
use crate::authenticator::{self, Authenticator, Pace};
use crate::clock::{Clock, pauses};
use crate::embedded::Embedded;
use crate::journal::Journal;
use crate::login::RequestIds;
use crate::page;
use crate::report::Conclusion;
use crate::target::{Protocol, Route, Target};
use lane::{Finished, Pacing, Plan};
use live::Recent;
use outage::Outage;
use schedule::Curve;
use tally::Tally;

/// Most stretches that a run is reported in: as many as a plot can show.
const STRETCHES_MAX: u32 = 300;

/// Users of a verifier of our own, unless told otherwise. Half of them count presses and always have a valid code.
const USERS: u32 = 1_000;

/// Settings as the report states them.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    profile: Option<Profile>,
    verifier: String,
    embedded: bool,
    protocol: Protocol,
    way: Way,
    service: String,
    #[serde(rename = "loop")]
    kind: LoopKind,
    arrivals: Option<Spacing>,
    rate: Option<u32>,
    seconds: u32,
    connections: u32,
    in_flight: u32,
    batch: u32,
    threads: u32,
    users: usize,
    hotp_users: usize,
    mix: Mix,
    seed: u64,
}

/// What makes a request start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum LoopKind {
    Open,
    Closed,
}

/// A load that is ready to be put on.
struct Load {
    settings: Settings,
    plan: Arc<Plan>,
    authenticators: Vec<Authenticator>,
    embedded: Option<Embedded>,
    /// When a verifier of our own is to be gone.
    absence: Option<(Duration, Duration)>,
}

/// Runs what `run` says, and reports.
///
/// # Errors
/// When the run could not be made: settings that contradict, nobody who answers, a file that cannot be written.
pub async fn run(host: &HostArgs, args: &RunArgs, clock: Clock) -> Result<Conclusion> {
    args.check()?;
    args.report.check(args.html.as_deref())?;
    let embedded = match args.embedded {
        true => Some(Embedded::start(args.verifierd.as_deref(), args.over).await?),
        false => None,
    };
    let target = target(host, args, embedded.as_ref())?;
    ask::reach(&args.way(), &target).await?;
    let mut authenticators = match (&embedded, &args.secrets) {
        (Some(own), _) => own.enrol(args.users.unwrap_or(USERS), args.hotp_percent, clock).await?,
        (None, secrets) => authenticator::read_many(secrets.as_deref().context("--secrets is needed")?)?,
    };
    authenticators.truncate(args.users.unwrap_or(u32::MAX) as usize);
    let lanes = lanes(args.threads, args.connections, authenticators.len());
    let settings = Settings {
        profile: Some(args.profile),
        verifier: if args.pam { "whom the PAM stack asks".to_owned() } else { target.to_string() },
        embedded: args.embedded,
        protocol: args.protocol(),
        way: args.way(),
        service: host.service.clone(),
        kind: if args.closed { LoopKind::Closed } else { LoopKind::Open },
        arrivals: (!args.closed).then_some(args.arrivals),
        rate: (!args.closed).then_some(args.rate),
        seconds: args.seconds,
        connections: args.connections,
        in_flight: args.in_flight,
        batch: args.batch,
        threads: lanes,
        users: authenticators.len(),
        hotp_users: authenticators.iter().filter(|user| user.pace() != Pace::Time).count(),
        mix: args.mix()?,
        seed: seed(args.seed)?,
    };
    let outage = match args.outage {
        Some((from, until)) => {
            Outage::stated(Duration::from_secs(from.into()), Duration::from_secs(until.into()))
        }
        None => Outage::none(),
    };
    let whole = args.duration();
    let absence = args.profile.outage().filter(|_| args.embedded);
    let absence = absence.map(|part| (whole.mul_f64(*part.start()), whole.mul_f64(*part.end())));
    let journal = args.journal.as_deref().map(Journal::append_to).transpose()?;
    let plan = plan(&settings, target, outage, journal, clock)?;
    let load = Load { settings, plan, authenticators, embedded, absence };
    load.put_on(&args.report, args.html.as_deref(), args.secrets.as_deref()).await
}

/// Runs what `steady` says, and reports: a closed loop through the login dialogue.
///
/// # Errors
/// As of [`run`].
pub async fn steady(host: &HostArgs, args: &SteadyArgs, clock: Clock) -> Result<Conclusion> {
    let mix = Mix::of(args.replay_percent, args.wrong_percent)?;
    args.report.check(None)?;
    let authenticators = authenticator::read_many(&args.secrets)?;
    let journal = args.journal.as_deref().map(Journal::append_to).transpose()?;
    let target = Target::unix(&host.socket);
    ask::reach(&Way::Dialogue, &target).await?;
    let settings = Settings {
        profile: None,
        verifier: target.to_string(),
        embedded: false,
        protocol: Protocol::Http1,
        way: Way::Dialogue,
        service: host.service.clone(),
        kind: LoopKind::Closed,
        arrivals: None,
        rate: None,
        seconds: args.seconds,
        connections: args.connections,
        in_flight: 1,
        batch: 1,
        threads: lanes(None, args.connections, authenticators.len()),
        users: authenticators.len(),
        hotp_users: authenticators.iter().filter(|user| user.pace() != Pace::Time).count(),
        mix,
        seed: seed(args.seed)?,
    };
    let outage = if args.expect_restarts { Outage::all_along() } else { Outage::none() };
    let plan = plan(&settings, target, outage, journal, clock)?;
    let load = Load { settings, plan, authenticators, embedded: None, absence: None };
    load.put_on(&args.report, None, Some(&args.secrets)).await
}

fn target(host: &HostArgs, args: &RunArgs, embedded: Option<&Embedded>) -> Result<Arc<Target>> {
    let own = format!("unix:{}", host.socket.display());
    match embedded {
        Some(embedded) => embedded.target(args.protocol()),
        None => Target::parse(Route {
            to: args.to.as_deref().unwrap_or(&own),
            protocol: args.protocol(),
            ca: args.ca.as_deref(),
            key_file: args.key_file.as_deref(),
        }),
    }
}

/// As many lanes as asked for, or as cores; each needs a connection and a user.
fn lanes(threads: Option<u32>, connections: u32, users: usize) -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wanted = threads.unwrap_or_else(|| u32::try_from(cores).unwrap_or(u32::MAX));
    wanted.min(connections).min(u32::try_from(users).unwrap_or(u32::MAX)).max(1)
}

fn seed(given: Option<u64>) -> Result<u64> {
    given.map_or_else(|| getrandom::u64().context("the kernel gives no random numbers"), Ok)
}

fn plan(
    settings: &Settings,
    target: Arc<Target>,
    outage: Outage,
    journal: Option<Journal>,
    clock: Clock,
) -> Result<Arc<Plan>> {
    let Settings { seconds, threads, batch, .. } = *settings;
    let duration = Duration::from_secs(seconds.into());
    let pacing = match (settings.rate, settings.arrivals) {
        (Some(rate), Some(spacing)) => {
            let profile = settings.profile.unwrap_or(Profile::Steady);
            let calls = f64::from(rate) / f64::from(batch);
            let curve = Curve::new(calls, duration, |moment| profile.share(moment));
            ensure!(curve.total() >= 1.0, "--rate {rate} makes no request in {seconds} s");
            Pacing::Open { curve: Arc::new(curve), spacing }
        }
        _ => Pacing::Closed,
    };
    Ok(Arc::new(Plan {
        target,
        way: settings.way.clone(),
        service: settings.service.clone(),
        ids: Arc::new(RequestIds::new()?),
        mix: settings.mix,
        pacing,
        lanes: threads,
        connections: settings.connections,
        in_flight: settings.in_flight,
        batch,
        duration,
        stretch: Duration::from_secs(seconds.div_ceil(STRETCHES_MAX).into()),
        seed: settings.seed,
        clock,
        outage,
        journal,
        recents: (0..threads).map(|_| Recent::default()).collect(),
        meeting: Barrier::new(threads as usize),
        started: OnceLock::new(),
    }))
}

impl Load {
    async fn put_on(
        self,
        report: &ReportArgs,
        html: Option<&Path>,
        secrets: Option<&Path>,
    ) -> Result<Conclusion> {
        let Self { settings, plan, authenticators, mut embedded, absence } = self;
        if report.next_step {
            plan.clock.next_step().await;
        }
        let lanes = start_lanes(&plan, authenticators);
        let work = async { tokio::try_join!(finish(lanes), be_absent(&plan, embedded.as_mut(), absence)) };
        let (finished, ()) = tokio::select! {
            worked = work => worked?,
            never = live::show(&plan) => match never {},
        };
        let mut tally = Tally::new(plan.stretch);
        finished.iter().for_each(|lane| tally.add(&lane.tally));
        if let Some(secrets) = secrets {
            keep_counters(secrets, &finished)?;
        }
        if let Some(embedded) = &mut embedded {
            embedded.stop().await?;
        }
        let document = Document::new(&settings, &plan, &tally, report.commit.as_deref());
        document.publish(report.json.as_deref())?;
        if let Some(path) = html {
            page::write(path, &document)?;
        }
        Ok(document.conclusion())
    }
}

/// Every lane gets its share of users of each kind.
fn start_lanes(plan: &Arc<Plan>, mut authenticators: Vec<Authenticator>) -> JoinSet<Result<Finished>> {
    let mut shares: Vec<Vec<Authenticator>> = (0..plan.lanes).map(|_| Vec::new()).collect();
    authenticators.sort_by_key(|authenticator| authenticator.pace() != Pace::Time);
    for (number, authenticator) in authenticators.into_iter().enumerate() {
        let lane = number % shares.len();
        shares[lane].push(authenticator);
    }
    let mut lanes = JoinSet::new();
    for (number, share) in (0..).zip(shares) {
        let plan = Arc::clone(plan);
        lanes.spawn_blocking(move || lane::run(&plan, number, share));
    }
    lanes
}

async fn finish(mut lanes: JoinSet<Result<Finished>>) -> Result<Vec<Finished>> {
    let mut finished = Vec::new();
    while let Some(lane) = lanes.join_next().await {
        finished.push(lane.context("a lane ended early")??);
    }
    Ok(finished)
}

/// Stops our verifier and starts it again, when the profile says so.
async fn be_absent(
    plan: &Plan,
    embedded: Option<&mut Embedded>,
    absence: Option<(Duration, Duration)>,
) -> Result<()> {
    let (Some(embedded), Some((from, until))) = (embedded, absence) else { return Ok(()) };
    let wait = async |moment| {
        let mut pauses = pauses();
        while since_start(plan).is_none_or(|now| now < moment) {
            pauses.tick().await;
        }
        since_start(plan).unwrap_or_default()
    };
    plan.outage.begin(wait(from).await);
    embedded.stop().await?;
    wait(until).await;
    embedded.launch().await?;
    plan.outage.end(since_start(plan).unwrap_or_default());
    Ok(())
}

fn since_start(plan: &Plan) -> Option<Duration> {
    plan.started.get().map(|started| plan.clock.elapsed().saturating_sub(*started))
}

/// Counters of tokens that count presses went on; a later run begins where this one ended.
fn keep_counters(path: &Path, finished: &[Finished]) -> Result<()> {
    let users = || finished.iter().flat_map(|lane| &lane.users);
    if users().all(|(_, pace)| *pace == Pace::Time) {
        return Ok(());
    }
    authenticator::write_counters(path, users().map(|(user, pace)| (user.user(), *pace)))
}
