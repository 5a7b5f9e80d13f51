//! A server to be measured: a bare hello, or the real service on a ledger in memory or on disk.
//!
//! Says `ready ADDRESS ADDRESS` when it answers, for HTTP/1.1 and for HTTP/2 over TCP. Then obeys lines on standard
//! input: `step N` moves the clock into a time step, `skip N` moves waits on by seconds; both are answered with `ok`.
//! Ends with its input.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io::{BufRead as _, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io, thread};

use anyhow::{Context as _, Result, bail};
use arc_swap::ArcSwap;
use benches::clock::StepClock;
use benches::load::KEY;
use benches::population::{Registrar, master};
use benches::serving::{hello, hello_http2};
use benches::volatile::VolatileLedger;
use clap::{Parser, ValueEnum};
use ledger::embedded::EmbeddedLedger;
use ledger::{Ledger, Outcome, Pending, StartState};
use serve::{Audience, Listener, NetworkListener, Workers};
use tokio::sync::watch;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use verifierd::config::Config;
use verifierd::http::api::{ApiKey, ApiSecrets};
use verifierd::service::{Foundations, Service, Sockets, store_key};

/// As the daemon: its allocator decides a tenth of its speed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The Unix socket, in the server's folder.
const LOGIN: &str = "login.sock";

/// Entries on their way into a new store at once.
const FILLING: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Five letters for each request.
    Hello,
    /// The service, its claims in memory.
    Volatile,
    /// The service, its claims on disk.
    Durable,
}

/// A server to be measured.
#[derive(Parser)]
struct Arguments {
    kind: Kind,
    /// A folder of its own, for sockets and the store; made anew.
    #[arg(long)]
    dir: PathBuf,
    #[arg(long, default_value_t = 1_000_000)]
    users: u64,
    /// Threads that serve.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// The time step to begin with.
    #[arg(long, default_value_t = 60_000_000)]
    step: u64,
    /// Where the log goes that the daemon would write; by default nowhere, after it was formatted.
    #[arg(long, default_value = "/dev/null")]
    log: PathBuf,
    /// Format no log at all.
    #[arg(long)]
    no_log: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.dir.exists() {
        fs::remove_dir_all(&arguments.dir).with_context(|| arguments.dir.display().to_string())?;
    }
    fs::create_dir_all(&arguments.dir).with_context(|| arguments.dir.display().to_string())?;
    let _log = if arguments.no_log { None } else { Some(log(&arguments.log)?) };
    let clock = Arc::new(StepClock::at_step(arguments.step));
    let ledger = ledger(arguments.kind, &arguments)?;
    let tcp = NetworkListener::bind(([127, 0, 0, 1], 0).into())?;
    let address = tcp.address();
    // The service speaks both on one address.
    let second = NetworkListener::bind(([127, 0, 0, 1], 0).into())?;
    let http2 = if arguments.kind == Kind::Hello { second.address() } else { address };
    let workers = Workers::start(arguments.threads)?;
    let (stop, stopping) = watch::channel(false);
    // Sweeps and administration go on beside, as in the daemon.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (dir, ours) = (arguments.dir.clone(), Arc::clone(&clock));
    let (ready, is_ready) = std::sync::mpsc::channel();
    let background = thread::spawn(move || {
        runtime.block_on(async {
            match ledger {
                None => greet(&dir, [tcp, second], &workers, stopping, ready).await,
                Some(ledger) => {
                    serve(&dir, tcp, &workers, service(ledger, ours).await?, stopping, ready).await
                }
            }
        })
    });
    // Whoever serves says what went wrong when it ends instead.
    if is_ready.recv().is_ok() {
        say(&format!("ready {address} {http2}"));
        obey(&clock)?;
    }
    let _ = stop.send(true);
    background.join().expect("the service does not panic")
}

/// Says hello on all sockets.
///
/// * `tcp`: for HTTP/1.1 and for HTTP/2.
async fn greet(
    dir: &Path,
    [tcp, http2]: [NetworkListener; 2],
    workers: &Workers,
    stop: watch::Receiver<bool>,
    ready: std::sync::mpsc::Sender<()>,
) -> Result<()> {
    let unix = Listener::bind(&dir.join(LOGIN), Audience::Root)?;
    let tasks = [
        workers.serve_bare(tcp, stop.clone(), hello)?,
        workers.serve_bare(http2, stop.clone(), hello_http2)?,
        workers.serve_bare(unix, stop, hello)?,
    ];
    ready.send(()).context("somebody waits")?;
    for task in tasks {
        task.await?;
    }
    Ok(())
}

/// The real service on its real sockets: the login socket and the network's.
async fn serve(
    dir: &Path,
    tcp: NetworkListener,
    workers: &Workers,
    service: Service,
    stop: watch::Receiver<bool>,
    ready: std::sync::mpsc::Sender<()>,
) -> Result<()> {
    let bind = |name: &str| Listener::bind(&dir.join(name), Audience::Root);
    let key = ApiKey::parse(KEY.as_bytes()).context("64 hexadecimal digits")?;
    let secrets = Arc::new(ArcSwap::from_pointee(ApiSecrets::plain(key)));
    let (login, admin, user) = (bind(LOGIN)?, bind("admin.sock")?, bind("user.sock")?);
    let sockets = Sockets { login, admin, user, api: Some((tcp, secrets)), fleet: None, web: None };
    // Both listen already: who connects before they are served waits for a moment.
    ready.send(()).context("somebody waits")?;
    service.run(sockets, workers, stop).await.context("the service")
}

/// None for a hello, which has no users.
fn ledger(kind: Kind, arguments: &Arguments) -> Result<Option<Arc<dyn Ledger>>> {
    Ok(match kind {
        Kind::Hello => None,
        Kind::Volatile => Some(Arc::new(VolatileLedger::new(arguments.users))),
        Kind::Durable => Some(Arc::new(filled(&arguments.dir.join("store"), arguments.users)?)),
    })
}

async fn service(ledger: Arc<dyn Ledger>, clock: Arc<StepClock>) -> Result<Service> {
    let foundations = Foundations {
        config: Config::parse("version = 1").expect("the least configuration"),
        config_path: "/nonexistent".into(),
        master: master(),
        clock,
        host: "bench".into(),
    };
    Service::on_ledger(foundations, ledger, StartState::Clean).await.context("the service")
}

/// A store with the population, closed and opened again as after a stop in order.
fn filled(dir: &Path, users: u64) -> Result<EmbeddedLedger> {
    let key = store_key(&master());
    EmbeddedLedger::create(dir, &key)?;
    let ledger = open(dir)?;
    // Sealing a million secrets takes longer than storing them: each core does its half.
    thread::scope(|scope| {
        let second = scope.spawn(|| fill(&ledger, users / 2..users));
        fill(&ledger, 0..users / 2)?;
        second.join().expect("it fills")
    })?;
    ledger.close()?;
    open(dir)
}

fn fill(ledger: &EmbeddedLedger, users: Range<u64>) -> Result<()> {
    let registrar = Registrar::default();
    let mut on_their_way = VecDeque::new();
    for entry in registrar.entries(users) {
        on_their_way.push_back(ledger.submit(entry));
        if on_their_way.len() > FILLING {
            on_their_way.pop_front().map_or(Ok(()), expect_committed)?;
        }
    }
    on_their_way.into_iter().try_for_each(expect_committed)
}

fn open(dir: &Path) -> Result<EmbeddedLedger> {
    let end = |fault: &str| {
        eprintln!("the store failed: {fault}");
        std::process::abort();
    };
    EmbeddedLedger::open(dir, &store_key(&master()), Box::new(end)).context("the store")
}

fn expect_committed(pending: Pending) -> Result<()> {
    match pending.wait() {
        Outcome::Committed => Ok(()),
        outcome => bail!("the store did not take the population: {outcome:?}"),
    }
}

fn log(path: &Path) -> Result<tracing_appender::non_blocking::WorkerGuard> {
    let file = fs::OpenOptions::new().create(true).append(true).open(path)?;
    let (writer, guard) = tracing_appender::non_blocking(file);
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(writer);
    tracing_subscriber::registry().with(LevelFilter::INFO).with(lines).init();
    Ok(guard)
}

fn obey(clock: &StepClock) -> Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ') {
            Some(("step", step)) => clock.set_step(step.parse()?),
            Some(("skip", seconds)) => clock.skip(Duration::from_secs(seconds.parse()?)),
            _ => bail!("not an order: {line}"),
        }
        say("ok");
    }
    Ok(())
}

fn say(line: &str) {
    println!("{line}");
    // A pipe keeps it otherwise.
    let _ = io::stdout().flush();
}
