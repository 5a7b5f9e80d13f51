//! Runs the service: sockets, signals, systemd, logs.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use serve::process::{self, Asked, Signals, tell_systemd};
use serve::seats::DESCRIPTORS_WANTED;
use serve::{Audience, ListenError, Listener, NetworkListener, Workers};
use tokio::sync::watch;
use verifierd::clock::{Clock, SystemClock};
use verifierd::config::{ApiConfig, Config};
use verifierd::http::api::ApiSecrets;
use verifierd::keys::MasterKey;
use verifierd::service::{Foundations, Reloader, Service, Sockets};

use crate::Failure;
use crate::commands::credentials;

/// Threads of the main runtime that may block: requests of the admin sockets that read the store or ask the name
/// service. 16 of users (see `http`), some of administrators, and one that reads the configuration.
const BLOCKING_THREADS_MAX: usize = 32;

/// Serves until SIGTERM or SIGINT.
pub fn run(path: &Path) -> Result<ExitCode, Failure> {
    let config = Config::load(path).map_err(|error| Failure::new(2, error))?;
    let _log = process::log();
    process::forbid_core_dumps();
    process::raise_descriptor_limit(DESCRIPTORS_WANTED);
    // Whatever is made from here on is ours alone, unless it says otherwise.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let inherited = Inherited::take();
    let failed = |error: anyhow::Error| Failure::new(1, error);
    let workers = Workers::for_this_machine().map_err(|error| failed(error.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .map_err(|error| failed(error.into()))?;
    runtime.block_on(serve(config, path, inherited, &workers)).map_err(failed)?;
    workers.shutdown();
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config, path: &Path, inherited: Inherited, workers: &Workers) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let master = MasterKey::load(config.key_file.as_deref(), credentials().as_deref())?;
    let paths =
        [&config.login_socket, &config.admin_socket, &config.user_socket].map(|path| path.to_path_buf());
    let api = config.api.clone();
    let fleet = config.fleet.as_ref().map(|fleet| fleet.listen);
    let web = config.web.as_ref().map(|web| web.listen);
    // Before the store is open: what is wrong with these files has nothing to do with it.
    let secrets = api.as_ref().map(ApiSecrets::load).transpose()?;
    let secrets = secrets.map(|secrets| Arc::new(ArcSwap::from_pointee(secrets)));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // Before the store is open: a signal in the middle of a start must not leave it as a crash does.
    let signals = Signals::take()?;
    // The store first: whoever holds it is the one daemon that may answer.
    let service =
        Service::start(Foundations { config, config_path: path.into(), master, clock, host }).await?;
    let [login, admin, user] = &paths;
    let open = || -> anyhow::Result<Sockets> {
        Ok(Sockets {
            login: listen(login, Audience::Root, inherited.login)?,
            admin: listen(admin, Audience::Root, inherited.admin)?,
            user: listen(user, Audience::Everybody, inherited.user)?,
            api: match (&api, secrets.clone()) {
                (Some(api), Some(secrets)) => Some((listen_to_network(api, inherited.api)?, secrets)),
                (None, _) | (_, None) => None,
            },
            fleet: fleet.map(|at| listen_at(at, inherited.fleet)).transpose()?,
            web: web.map(|at| listen_at(at, inherited.web)).transpose()?,
        })
    };
    let sockets = match open() {
        Ok(sockets) => sockets,
        Err(error) => {
            service.abandon().await;
            return Err(error);
        }
    };
    let (stop, stopping) = watch::channel(false);
    let reloader = service.reloader(secrets);
    let heed = tokio::spawn(heed_signals(signals, reloader, stop));
    tell_systemd(&[NotifyState::Ready, NotifyState::Status("deciding logins")]);
    tracing::info!(login = %login.display(), admin = %admin.display(), user = %user.display(), "ready");
    if let Some((listener, _)) = &sockets.api {
        tracing::info!(address = %listener.address(), encrypted = api.is_some_and(|api| api.certificate.is_some()), "the API is served");
    }
    if let Some(listener) = &sockets.fleet {
        tracing::info!(address = %listener.address(), "the fleet is served");
    }
    if let Some(listener) = &sockets.web {
        tracing::info!(address = %listener.address(), "the pages are served");
    }
    let pulse = async {
        match sd_notify::watchdog_enabled() {
            Some(period) => feed_watchdog(period / 2, workers).await,
            None => std::future::pending().await,
        }
    };
    let served = tokio::select! {
        served = service.run(sockets, workers, stopping) => served,
        () = pulse => Ok(()),
    };
    heed.abort();
    Ok(served?)
}

/// systemd's socket, where it made one, else our own. Whoever wrote the unit may have chosen another address than
/// the configuration: what is plain stays on the machine all the same.
fn listen_to_network(api: &ApiConfig, inherited: Option<TcpListener>) -> anyhow::Result<NetworkListener> {
    let listener = match inherited {
        Some(socket) => NetworkListener::inherited(socket)?,
        None => NetworkListener::bind(api.listen)?,
    };
    anyhow::ensure!(
        api.may_listen_at(listener.address()),
        "the socket that systemd made for the API listens at {}: without a certificate only a loopback address is served",
        listener.address()
    );
    Ok(listener)
}

fn listen_at(address: SocketAddr, inherited: Option<TcpListener>) -> Result<NetworkListener, ListenError> {
    match inherited {
        Some(socket) => NetworkListener::inherited(socket),
        None => NetworkListener::bind(address),
    }
}

fn listen(path: &Path, audience: Audience, inherited: Option<UnixListener>) -> Result<Listener, ListenError> {
    match inherited {
        Some(socket) => Listener::inherited(path, audience, socket),
        None => Listener::bind(path, audience),
    }
}

/// Sockets that systemd opened for us, by the names its units give them.
#[derive(Default)]
struct Inherited {
    login: Option<UnixListener>,
    admin: Option<UnixListener>,
    user: Option<UnixListener>,
    api: Option<TcpListener>,
    fleet: Option<TcpListener>,
    web: Option<TcpListener>,
}

impl Inherited {
    fn take() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut passed = ListenFd::from_env();
        let mut inherited = Self::default();
        for (index, name) in names.split(':').enumerate() {
            let mut socket = || passed.take_unix_listener(index).ok().flatten();
            match name {
                "login" => inherited.login = socket(),
                "admin" => inherited.admin = socket(),
                "user" => inherited.user = socket(),
                "api" => inherited.api = passed.take_tcp_listener(index).ok().flatten(),
                "fleet" => inherited.fleet = passed.take_tcp_listener(index).ok().flatten(),
                "web" => inherited.web = passed.take_tcp_listener(index).ok().flatten(),
                _ => {}
            }
        }
        inherited
    }
}

async fn heed_signals(mut signals: Signals, reloader: Reloader, stop: watch::Sender<bool>) {
    while signals.next().await == Asked::Reload {
        reload(&reloader).await;
    }
    tracing::info!("stopping");
    tell_systemd(&[NotifyState::Stopping]);
    // The service listens as long as it runs; when it is gone there is nothing to stop.
    let _ = stop.send(true);
}

async fn reload(reloader: &Reloader) {
    tell_systemd(&[NotifyState::Reloading]);
    // Roles are looked up in the name service, which may block. A task that panics ends the process.
    let reloader = reloader.clone();
    let reloaded = tokio::task::spawn_blocking(move || reloader.reload());
    match reloaded.await.expect("the runtime lives as long as its signals are heeded") {
        Ok(()) => tracing::info!("the configuration was read anew"),
        Err(error) => {
            tracing::error!("the configuration is kept as it was: {:#}", anyhow::Error::from(error))
        }
    }
    tell_systemd(&[NotifyState::Ready]);
}

/// As long as all threads that serve do something.
async fn feed_watchdog(every: Duration, workers: &Workers) {
    let mut every = tokio::time::interval(every);
    loop {
        every.tick().await;
        workers.answer().await;
        tell_systemd(&[NotifyState::Watchdog]);
    }
}
