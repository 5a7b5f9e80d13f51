//! Runs the agent: socket, signals, systemd, log. One thread does everything but look names up.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agent::chance::SystemChance;
use agent::checkpoint::Checkpoints;
use agent::clock::SystemClock;
use agent::config::{Config, VERIFIERS_MAX};
use agent::identity::{Identity, IdentityError};
use agent::login::LoginSocket;
use agent::offline::keeper::Keeper;
use agent::offline::link::Link;
use agent::offline::service::Service;
use agent::offline::store::Places;
use agent::sessions::Sessions;
use agent::status::Reporter;
use agent::tls;
use agent::upkeep::Upkeep;
use agent::verifiers::Verifiers;
use arc_swap::ArcSwap;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use serve::process::{self, Asked, Signals, tell_systemd};
use serve::{Audience, CONNECTIONS_MAX, Listener};
use tokio::sync::watch;

use crate::Failure;
use crate::commands::NOT_READY;

/// Threads that look names up, which may hang: two for each verifier, so that one name keeps no other waiting.
const BLOCKING_THREADS_MAX: usize = 2 * VERIFIERS_MAX;

/// Descriptors beside the connections of the login socket: those of the verifiers and of name look-ups, the log.
const DESCRIPTORS_KEPT: usize = 64;

/// Threads that wait for the disk, in the service of offline passwords.
const OFFLINE_THREADS_MAX: usize = 4;

/// Serves until SIGTERM or SIGINT.
pub fn run(path: &Path) -> Result<ExitCode, Failure> {
    let config = Config::load(path).map_err(|error| Failure::new(2, error))?;
    let _log = process::log();
    process::forbid_core_dumps();
    process::raise_descriptor_limit(CONNECTIONS_MAX + DESCRIPTORS_KEPT);
    // Whatever is made from here on is ours alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    if config.verifiers.is_empty() {
        let error = anyhow::anyhow!("{} names no verifier: there is nobody to ask", path.display());
        return Err(Failure::new(2, error));
    }
    let identity = Identity::load(&config.state_dir).map_err(|error| match error {
        IdentityError::NotJoined { .. } => Failure::new(NOT_READY, error),
        other => Failure::new(2, other),
    })?;
    let inherited = inherited();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .map_err(|error| Failure::new(1, error))?;
    let served = runtime.block_on(serve(config, identity, inherited));
    // Whoever still looks a name up is not waited for.
    runtime.shutdown_background();
    served.map_err(|error| Failure::new(1, error))?;
    Ok(ExitCode::SUCCESS)
}

/// Serves the agent with what is checked of offline passwords, until SIGTERM or SIGINT. It needs no network.
pub fn run_offline(path: &Path) -> Result<ExitCode, Failure> {
    let config = Config::load(path).map_err(|error| Failure::new(2, error))?;
    let _log = process::log();
    process::forbid_core_dumps();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Each tries to be the one that decides; what waits longer than the agent does is not heard any more.
        .max_blocking_threads(OFFLINE_THREADS_MAX)
        .build()
        .map_err(|error| Failure::new(1, error))?;
    runtime.block_on(serve_offline(config)).map_err(|error| Failure::new(1, error))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve_offline(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::take()?;
    let run = config.offline_socket.parent().map(Path::to_path_buf).unwrap_or_default();
    let places = Places { folder: config.offline_dir, elsewhere: config.offline_note_dir, run };
    let keeper = tokio::task::spawn_blocking(|| Keeper::open(places)).await?;
    let listener = Listener::bind(&config.offline_socket, Audience::Root)?;
    let (stop, stopping) = watch::channel(false);
    let serving = serve::serve_here(listener, Service::new(keeper, Arc::new(SystemClock)), stopping)?;
    tell_systemd(&[NotifyState::Ready, NotifyState::Status("checking offline passwords")]);
    tracing::info!(socket = %config.offline_socket.display(), "ready");
    let pulse = tokio::spawn(feed_watchdog());
    while signals.next().await == Asked::Reload {}
    tell_systemd(&[NotifyState::Stopping]);
    let _ = stop.send(true);
    serving.await?;
    pulse.abort();
    Ok(())
}

async fn serve(config: Config, identity: Identity, inherited: Option<UnixListener>) -> anyhow::Result<()> {
    let mut signals = Signals::take()?;
    let tls = tls::for_host(&identity)?;
    let host = identity.host.clone();
    let chance = Arc::new(SystemChance);
    let checkpoints = Arc::new(Checkpoints::load(config.state_dir.clone()));
    let verifiers = Verifiers::new(config.verifiers, tls, chance.clone()).showing(checkpoints.clone());
    let verifiers = Arc::new(verifiers);
    let reporter = Reporter { identity: Arc::new(ArcSwap::from_pointee(identity)), told: Arc::default() };
    let sessions = Arc::new(Sessions::default());
    let (timeout, told) = (config.timeout, sessions.clone());
    let link = Link::new(config.offline_socket);
    let socket =
        LoginSocket::new(verifiers.clone(), host.clone(), timeout, reporter.clone(), told, link.clone());
    let listener = match inherited {
        Some(inherited) => Listener::inherited(&config.login_socket, Audience::Root, inherited)?,
        None => Listener::bind(&config.login_socket, Audience::Root)?,
    };
    let (stop, stopping) = watch::channel(false);
    let serving = serve::serve_here(listener, socket, stopping.clone())?;
    let upkeep = Upkeep {
        verifiers,
        reporter,
        state_dir: config.state_dir,
        sessions,
        checkpoints,
        offline: link,
        clock: Arc::new(SystemClock),
        chance,
    };
    let keeping = tokio::spawn(upkeep.run(stopping));
    tell_systemd(&[NotifyState::Ready, NotifyState::Status("asking about logins")]);
    tracing::info!(host, login = %config.login_socket.display(), "ready");
    let pulse = tokio::spawn(feed_watchdog());
    // The configuration is read once.
    while signals.next().await == Asked::Reload {}
    tracing::info!("stopping");
    tell_systemd(&[NotifyState::Stopping]);
    // Whoever listens is gone only when there is nothing to stop.
    let _ = stop.send(true);
    serving.await?;
    keeping.await?;
    pulse.abort();
    Ok(())
}

/// The socket that systemd opened for us, by the name that its unit gives it.
fn inherited() -> Option<UnixListener> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut passed = ListenFd::from_env();
    let index = names.split(':').position(|name| name == "login")?;
    passed.take_unix_listener(index).ok().flatten()
}

/// On the thread that does everything else: whatever keeps it from logins keeps it from this.
async fn feed_watchdog() {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let mut every = tokio::time::interval(period.max(Duration::from_millis(2)) / 2);
    loop {
        every.tick().await;
        tell_systemd(&[NotifyState::Watchdog]);
    }
}
