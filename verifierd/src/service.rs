//! Puts the parts together, in the order in which they depend on each other, and takes them apart again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;
use ledger::embedded::{EmbeddedLedger, LedgerOpenError};
use ledger::{Entry, Ledger, ReadError, StartState, Stored};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::accounts::{
    self, Accounts, ChangeError, Leftovers, Loader, RecordError, Steward, Token, UncleanStop,
};
use crate::audit::{self, AuditRecord, Reference, rfc3339};
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::dialogue::Dialogue;
use crate::engine::throttle::Throttles;
use crate::engine::{self, Engine, Recent};
use crate::http::api::{Api, ApiSecretError, ApiSecrets};
use crate::http::{
    Administration, AnyListener, ApiListener, Handler, Listener, Workers, serve_here, stopped,
};
use crate::keys::{IndexHasher, KeyError, MasterKey, NameHasher, Sealer};
use crate::notify::Notifier;

/// How often what is old is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How much one batch of a sweep looks at, before others have their turn.
const SWEEP_BATCH_MAX: usize = 1_000;

/// How long a sweep stands still between two batches, so that a million things that end at once cost logins little.
const SWEEP_PAUSE: Duration = Duration::from_millis(1);

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no store: it was lost, or never made.
    #[error("no store in {}: `postern init` makes one (and only that does: a lost store is no fresh start)", .state_dir.display())]
    NoStore {
        /// Where it should be.
        state_dir: PathBuf,
    },
    /// The store cannot be used.
    #[error("cannot open the store in {}", .state_dir.display())]
    Store {
        /// Where it is.
        state_dir: PathBuf,
        /// Why.
        source: LedgerOpenError,
    },
    /// No key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What the store holds cannot be read.
    #[error("cannot read the store")]
    Read(#[from] ReadError),
    /// What the store holds cannot be understood.
    #[error("cannot understand the store")]
    Record(#[from] RecordError),
    /// The stand-in for unknown users could not be made, or what a broken import left could not be taken away.
    #[error("cannot get the tokens ready")]
    Tokens(#[from] ChangeError),
    /// The start could not be recorded.
    #[error("the store takes no records: {0}")]
    NotRecorded(String),
}

/// A service that can answer, without its sockets.
#[derive(Debug)]
pub struct Service {
    /// Answers logins.
    pub dialogue: Arc<Dialogue>,
    /// Answers administrators.
    pub administration: Arc<Administration>,
    ledger: Arc<dyn Ledger>,
    throttles: Arc<Throttles>,
    notifier: Arc<Notifier>,
    config_path: PathBuf,
}

/// The sockets that a service answers.
#[derive(Debug)]
pub struct Sockets {
    /// The PAM module's.
    pub login: Listener,
    /// Root's `postern` command's.
    pub admin: Listener,
    /// Everybody else's.
    pub user: Listener,
    /// The network's, and what opens it.
    pub api: Option<(ApiListener, Arc<ArcSwap<ApiSecrets>>)>,
}

/// What a service is made of.
#[derive(Debug)]
pub struct Foundations {
    /// The checked configuration.
    pub config: Config,
    /// Where it came from, for reloading.
    pub config_path: PathBuf,
    /// The key everything is derived from.
    pub master: MasterKey,
    /// The one clock.
    pub clock: Arc<dyn Clock>,
    /// The machine's name.
    pub host: String,
}

/// The key with which the store is checked for damage.
pub fn store_key(master: &MasterKey) -> [u8; 32] {
    *master.derive("store integrity")
}

/// Makes the store.
///
/// # Errors
/// Where one exists already, or the directory cannot be made.
pub fn create_store(state_dir: &Path, master: &MasterKey) -> Result<(), StartError> {
    EmbeddedLedger::create(state_dir, &store_key(master))
        .map_err(|source| StartError::Store { state_dir: state_dir.into(), source })
}

impl Service {
    /// Opens the store and gets everything ready. To be called on a runtime.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left changed.
    pub async fn start(foundations: Foundations) -> Result<Self, StartError> {
        let state_dir = foundations.config.state_dir.clone();
        let (key, on_fatal) = (store_key(&foundations.master), Box::new(end_at_once));
        let opened = EmbeddedLedger::open_with(&state_dir, &key, on_fatal, &|progress| {
            tracing::info!(rows = progress.rows, of = progress.of, "reading the store");
        });
        let ledger = opened.map_err(|source| match source {
            LedgerOpenError::NoStore { .. } => StartError::NoStore { state_dir },
            source => StartError::Store { state_dir, source },
        })?;
        let start_state = ledger.start_state();
        Self::on_ledger(foundations, Arc::new(ledger), start_state).await
    }

    /// The same on a ledger that is open already.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn on_ledger(
        foundations: Foundations,
        ledger: Arc<dyn Ledger>,
        start_state: StartState,
    ) -> Result<Self, StartError> {
        let Foundations { config, config_path, master, clock, host } = foundations;
        let token_sealer = Arc::new(Sealer::new(&master, "token secrets"));
        let throttles = Throttles::new(IndexHasher::new(&master, "throttles"));
        let loading = Loading {
            ledger: Arc::clone(&ledger),
            sealer: Arc::clone(&token_sealer),
            clock: Arc::clone(&clock),
            throttles,
            names: IndexHasher::new(&master, "user names"),
        };
        let loaded =
            tokio::task::spawn_blocking(|| loading.load()).await.map_err(|_| ReadError::Closed)??;
        let Loaded { accounts, throttles, leftovers } = loaded;
        let quarantine = (start_state != StartState::Clean)
            .then(|| accounts.quarantine.last().next(clock.now(), !accounts.has_recovery_codes()));
        record_start(&*ledger, &*clock, start_state, quarantine).await?;
        if let Some(stop) = quarantine {
            accounts.quarantine.set(stop);
        }
        let notifier = Arc::new(Notifier::new(config.notify.clone()));
        let config = Arc::new(ArcSwap::from_pointee(config));
        let steward = Steward::new(accounts::Tools {
            accounts: Arc::clone(&accounts),
            ledger: Arc::clone(&ledger),
            sealer: Arc::clone(&token_sealer),
            clock: Arc::clone(&clock),
            notifier: Arc::clone(&notifier),
            recovery_hasher: NameHasher::new(&master, "recovery codes"),
        });
        steward.clear(leftovers).await?;
        let engine = Engine::new(engine::Tools {
            ledger: Arc::clone(&ledger),
            clock: Arc::clone(&clock),
            accounts: Arc::clone(&accounts),
            steward: Arc::clone(&steward),
            throttles: Arc::clone(&throttles),
            config: Arc::clone(&config),
            notifier: Arc::clone(&notifier),
            nobody: Arc::new(Token::of_nobody(&token_sealer)?),
        });
        let started = clock.now();
        let dialogue = Arc::new(Dialogue {
            accounts,
            steward,
            engine: Arc::new(engine),
            config,
            clock,
            token_sealer,
            state_sealer: Sealer::new(&master, "dialogue states"),
            request_hasher: IndexHasher::new(&master, "requests"),
            host,
            recent: Recent::default(),
            has_loss: AtomicBool::new(matches!(start_state, StartState::Short { .. })),
        });
        let administration =
            Arc::new(Administration::new(Arc::clone(&dialogue), Arc::clone(&ledger), started, start_state));
        Ok(Self { dialogue, administration, ledger, throttles, notifier, config_path })
    }

    /// Serves until `stop` says so, then lets requests end and closes the store. Logins and the API are served by
    /// `workers`, administration on the present runtime.
    ///
    /// # Errors
    /// When a listener cannot be waited for.
    pub async fn run(
        self,
        sockets: Sockets,
        workers: &Workers,
        stop: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let Sockets { login, admin, user, api } = sockets;
        let administer = || Handler::Admin(Arc::clone(&self.administration));
        let mut listeners = vec![
            ("login", AnyListener::from(login), Handler::Login(Arc::clone(&self.dialogue))),
            ("admin", admin.into(), administer()),
            ("user", user.into(), administer()),
        ];
        if let Some((listener, secrets)) = api {
            let api = Api::new(Arc::clone(&self.dialogue), secrets);
            listeners.push(("api", listener.into(), Handler::Api(Arc::new(api))));
        }
        let tallies = listeners.iter().map(|(name, listener, _)| (*name, Arc::clone(listener.tally())));
        // A service runs once.
        let _ = self.administration.listeners.set(tallies.collect());
        let mut tasks = Vec::new();
        for (_, listener, handler) in listeners {
            tasks.push(match handler {
                Handler::Login(_) | Handler::Api(_) => workers.serve(listener, handler, stop.clone())?,
                Handler::Admin(_) => serve_here(listener, handler, stop.clone())?,
            });
        }
        tasks.push(tokio::spawn(sweep(
            Arc::clone(&self.throttles),
            Arc::clone(&self.administration),
            Arc::clone(&self.dialogue.clock),
            stop,
        )));
        for task in tasks {
            // A task that panicked ended the process.
            let _ = task.await;
        }
        self.notifier.finish().await;
        let ledger = Arc::clone(&self.ledger);
        match tokio::task::spawn_blocking(move || ledger.close()).await {
            Ok(Ok(())) => tracing::info!("stopped in order"),
            Ok(Err(error)) => tracing::error!(%error, "the store could not be closed in order"),
            Err(error) => tracing::error!(%error, "the store could not be closed in order"),
        }
        Ok(())
    }

    /// A handle that reads the configuration anew.
    ///
    /// * `api`: what opens the API, where it is served.
    pub fn reloader(&self, api: Option<Arc<ArcSwap<ApiSecrets>>>) -> Reloader {
        Reloader {
            api,
            path: self.config_path.clone(),
            config: Arc::clone(&self.dialogue.config),
            notifier: Arc::clone(&self.notifier),
        }
    }
}

/// Reads the configuration anew.
#[derive(Clone, Debug)]
pub struct Reloader {
    path: PathBuf,
    config: Arc<ArcSwap<Config>>,
    notifier: Arc<Notifier>,
    api: Option<Arc<ArcSwap<ApiSecrets>>>,
}

/// Why the configuration stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file is broken.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that it names for the API is.
    #[error(transparent)]
    Api(#[from] ApiSecretError),
    /// The API would go on at its address without encryption.
    #[error(
        "[api] certificate_file: the certificate is taken away by a restart only, not while the API listens"
    )]
    TlsOff,
}

impl Reloader {
    /// Takes over a changed file, and a new key and certificate of the API; keeps all as it was when one of them is
    /// broken.
    ///
    /// # Errors
    /// See [`ReloadError`].
    pub fn reload(&self) -> Result<(), ReloadError> {
        let newer = Config::load(&self.path)?;
        let secrets = newer.api.as_ref().map(ApiSecrets::load).transpose()?;
        let loses_tls = |present: &Arc<ArcSwap<ApiSecrets>>| {
            present.load().tls().is_some() && secrets.as_ref().is_some_and(|newer| newer.tls().is_none())
        };
        if self.api.as_ref().is_some_and(loses_tls) {
            return Err(ReloadError::TlsOff);
        }
        let old = self.config.load_full();
        let fixed = old.needs_restart(&newer);
        if !fixed.is_empty() {
            tracing::warn!(settings = ?fixed, "changed settings take effect at the next start");
        }
        if let (Some(present), Some(secrets)) = (&self.api, secrets) {
            present.store(Arc::new(secrets));
        }
        self.notifier.change(newer.notify.clone());
        self.config.store(Arc::new(newer));
        Ok(())
    }
}

/// What a start reads the ledger with.
struct Loading {
    ledger: Arc<dyn Ledger>,
    sealer: Arc<Sealer>,
    clock: Arc<dyn Clock>,
    throttles: Throttles,
    names: IndexHasher,
}

/// What was in the ledger.
struct Loaded {
    accounts: Arc<Accounts>,
    throttles: Arc<Throttles>,
    leftovers: Leftovers,
}

impl Loading {
    /// Reads everything once, on a thread that may wait.
    fn load(self) -> Result<Loaded, StartError> {
        let Self { ledger, sealer, clock, throttles, names } = self;
        let accounts = Arc::new(Accounts::new(names));
        let mut loader = Loader::new(&accounts, &sealer);
        let mut fault = None;
        ledger.load_each(&mut |stored| {
            if fault.is_some() {
                return;
            }
            if let Stored::Record(record) = &stored {
                throttles.take(record, &*clock);
            }
            fault = loader.take(&stored).err();
        })?;
        if let Some(fault) = fault {
            return Err(fault.into());
        }
        let leftovers = loader.finish()?;
        Ok(Loaded { accounts, throttles: Arc::new(throttles), leftovers })
    }
}

async fn record_start(
    ledger: &dyn Ledger,
    clock: &dyn Clock,
    state: StartState,
    quarantine: Option<UncleanStop>,
) -> Result<(), StartError> {
    let (reason, detail) = match state {
        StartState::Clean => ("clean", None),
        StartState::Unclean => {
            ("unclean", Some("codes that were admissible at the start are refused".into()))
        }
        StartState::Short { found, expected } => {
            tracing::error!(
                found,
                expected,
                "the store ends early: it may be an old copy; claims are missing"
            );
            ("short", Some(format!("the store ends at commit {found} of {expected}")))
        }
    };
    let record = AuditRecord {
        at: rfc3339(clock.now()),
        event: "service_started".into(),
        reason: reason.into(),
        detail,
        ..AuditRecord::default()
    };
    let audit = Some(audit::entry(&record, Reference::draw()?));
    let changes = quarantine.map(|stop| stop.put()).into_iter().collect();
    let entry = Entry { claim: None, changes, audit };
    match ledger.submit(entry).await {
        ledger::Outcome::Committed => Ok(()),
        outcome => Err(StartError::NotRecorded(format!("{outcome:?}"))),
    }
}

async fn sweep(
    throttles: Arc<Throttles>,
    administration: Arc<Administration>,
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
    let refusals = dialogue.engine.sweep(SWEEP_BATCH_MAX);
    let submit = |changes: Vec<_>| {
        (!changes.is_empty()).then(|| administration.ledger.submit(Entry { changes, ..Entry::default() }))
    };
    let (counts, pending) = throttles.sweep(clock, SWEEP_BATCH_MAX, submit);
    // What is not removed now is removed after the next start.
    if let Some(pending) = pending {
        pending.await;
    }
    [requests, refusals, counts].iter().any(|swept| swept.seen == SWEEP_BATCH_MAX)
}

/// Half a store must not keep answering: after a failed commit nobody can tell what is durable.
fn end_at_once(fault: &str) {
    tracing::error!(fault, "the store failed: stopping at once, nothing more is accepted");
    eprintln!("verifierd: the store failed: {fault}");
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::trial::Trial;

    // covers: F15
    #[tokio::test]
    async fn a_reload_does_not_turn_encryption_off_where_the_api_listens() {
        let trial = Trial::new().await;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| {
            std::fs::write(path(name), text).unwrap();
            std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        let mine = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        write("key", &"0a".repeat(32));
        write("certificate", &mine.cert.pem());
        write("private", &mine.signing_key.serialize_pem());
        let [key, certificate, private] = ["key", "certificate", "private"].map(path);
        let plain = format!("version = 1\n[api]\nlisten = \"127.0.0.1:7878\"\nkey_file = {key:?}\n");
        let encrypted = plain.replace("127.0.0.1", "0.0.0.0")
            + &format!("certificate_file = {certificate:?}\nprivate_key_file = {private:?}\n");
        let config = Config::parse(&encrypted).unwrap();
        let secrets = ApiSecrets::load(config.api.as_ref().unwrap()).unwrap();
        let secrets = Arc::new(ArcSwap::from_pointee(secrets));
        write("config", &plain);
        let reloader = Reloader {
            path: path("config"),
            config: Arc::new(ArcSwap::from_pointee(config)),
            ..trial.service.reloader(Some(Arc::clone(&secrets)))
        };
        assert!(matches!(reloader.reload(), Err(ReloadError::TlsOff)));
        assert!(secrets.load().tls().is_some());
        write("config", &encrypted);
        assert!(reloader.reload().is_ok());
    }
}
