//! Puts the parts together, in the order in which they depend on each other, and takes them apart again.

mod asking;
mod chores;
mod load;
mod reload;
mod started;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use ledger::embedded::{EmbeddedLedger, LedgerOpenError};
use ledger::{Ledger, ReadError, StartState};
use serve::process::abort_soon;
use serve::{AnyListener, Listener, NetworkListener, Workers, serve_here};
use tokio::sync::watch;

use crate::access::RequestRecordError;
use crate::accounts::{self, Accounts, ChangeError, Leftovers, RecordError, Steward, Token};
use crate::audit::checkpoint::CheckpointKey;
use crate::audit::sinks::Sinks;
use crate::audit::witness::Witness;
use crate::clock::Clock;
use crate::config::{Config, FleetConfig};
use crate::dialogue::{Dialogue, Metronome, Remembered};
use crate::engine::throttle::Throttles;
use crate::engine::{self, Engine, Recent};
use crate::hosts::registrar;
use crate::hosts::{self, FoundingError, HostRecordError, Registrar};
use crate::http::api::{Api, ApiSecrets};
use crate::http::certificate::CertificateFileError;
use crate::http::fleet::{Fleet, FleetError};
use crate::http::{Administration, Handler};
use crate::keys::{IndexHasher, KeyError, MasterKey, NameHasher, Sealer};
use crate::mail::{MailRecordError, Outbox};
use crate::notify::Notifier;
use crate::offline::{Maker, OfflineRecordError};
use crate::people::{DirectoryOpenError, PersonRecordError};
use crate::person_keys::{self, KeyRecordError, PersonKeys};
use crate::sessions::{SessionRecordError, Sessions};
use crate::web::Web;
use asking::{Asking, Parts};
use load::{Loaded, Loading};
use started::record_start;

pub use reload::{ReloadError, Reloader};

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
    /// What the store holds of the fleet cannot be understood.
    #[error("cannot understand the store")]
    Host(#[from] HostRecordError),
    /// What the store holds of sessions cannot be understood.
    #[error("cannot understand the store")]
    Session(#[from] SessionRecordError),
    /// What the store holds of persons cannot be understood.
    #[error("cannot understand the store")]
    Person(#[from] PersonRecordError),
    /// What the store holds of persons' keys cannot be understood.
    #[error("cannot understand the store")]
    PersonKey(#[from] KeyRecordError),
    /// What the store holds of offline passwords cannot be understood.
    #[error("cannot understand the store")]
    Offline(#[from] OfflineRecordError),
    /// The directory of persons cannot be asked.
    #[error("cannot get the directory of persons ready")]
    Directory(#[from] DirectoryOpenError),
    /// The fleet has no authority.
    #[error("cannot get the fleet's authority ready")]
    Founding(#[from] FoundingError),
    /// What the store holds of requests cannot be understood.
    #[error("cannot understand the store")]
    Request(#[from] RequestRecordError),
    /// What the store holds of mails cannot be understood.
    #[error("cannot understand the store")]
    Mail(#[from] MailRecordError),
    /// The pages cannot be served.
    #[error("cannot get the pages' listener ready")]
    Web(#[from] CertificateFileError),
    /// The fleet cannot be served.
    #[error("cannot get the fleet's listener ready")]
    Fleet(#[from] FleetError),
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
    /// Answers hosts of the fleet, where there is one.
    pub fleet: Option<Fleet>,
    /// Answers browsers, where that is wanted.
    pub web: Option<Arc<Web>>,
    ledger: Arc<dyn Ledger>,
    throttles: Arc<Throttles>,
    notifier: Arc<Notifier>,
    /// Sends mails.
    pub outbox: Arc<Outbox>,
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
    pub api: Option<(NetworkListener, Arc<ArcSwap<ApiSecrets>>)>,
    /// The fleet's.
    pub fleet: Option<NetworkListener>,
    /// Browsers'.
    pub web: Option<NetworkListener>,
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
        let ledger: Arc<dyn Ledger> = Arc::new(ledger);
        let started = Self::on_ledger(foundations, Arc::clone(&ledger), start_state).await;
        if started.is_err() {
            // A start that failed decided nothing: the next one must not take it for a crash.
            close(ledger).await;
        }
        started
    }

    /// Closes the store again: the service cannot be reached, and has decided nothing.
    pub async fn abandon(self) {
        close(self.ledger).await;
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
        let loading = Loading::new(&master, &ledger, &token_sealer, &clock);
        let Loaded { accounts, throttles, leftovers: rest, fleet, sessions, asking, person_keys } =
            tokio::task::spawn_blocking(|| loading.load()).await.map_err(|_| ReadError::Closed)??;
        record_start(&*ledger, &*clock, start_state, &accounts, &asking).await?;
        let notifier = Arc::new(Notifier::new(config.notify.clone()));
        let known = Known { fleet, ledger: &ledger, clock: &clock, notifier: &notifier };
        let registrar = known.registrar(&master, config.fleet.as_ref()).await?;
        let config = Arc::new(ArcSwap::from_pointee(config));
        let steward = steward(&master, &accounts, &ledger, &token_sealer, &clock, &notifier, rest).await?;
        let witness = read_witness(&master, &ledger, &clock, &accounts, &notifier).await?;
        let parts = Parts {
            ledger: &ledger,
            clock: &clock,
            config: &config,
            notifier: &notifier,
            accounts: &accounts,
            registrar: &registrar,
            master: &master,
        };
        let Asking { people, requests, outbox, offline } = parts.asking(asking)?;
        let engine = Engine::new(engine::Tools {
            ledger: Arc::clone(&ledger),
            clock: Arc::clone(&clock),
            accounts: Arc::clone(&accounts),
            steward: Arc::clone(&steward),
            throttles: Arc::clone(&throttles),
            config: Arc::clone(&config),
            notifier: Arc::clone(&notifier),
            witness: Arc::clone(&witness),
            requests: Arc::clone(&requests),
            nobody: Arc::new(Token::of_nobody(&token_sealer)?),
        });
        let sessions =
            Arc::new(Sessions::new(sessions, Arc::clone(&ledger), Arc::clone(&clock), Arc::clone(&people)));
        let dialogue = Arc::new(Dialogue {
            sessions,
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
            requested: Recent::default(),
            people,
            requests,
            witness,
            remembered: Remembered::new("remembered"),
            shown: Remembered::new("shown"),
            metronome: Metronome::default(),
            has_loss: AtomicBool::new(matches!(start_state, StartState::Short { .. })),
        });
        let keys = program_keys(person_keys, &ledger, &dialogue.clock, &notifier, &master);
        let fleet = Fleet::serving(&dialogue, &registrar, &offline)?;
        let kept = (keys, offline);
        let administration = administration(&dialogue, registrar, &ledger, kept, start_state).await?;
        let web = pages(&administration, &master)?;
        Ok(Self { dialogue, administration, fleet, web, ledger, throttles, notifier, outbox, config_path })
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
        let Sockets { login, admin, user, api, fleet, web } = sockets;
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
        if let (Some(listener), Some(web)) = (web, &self.web) {
            listeners.push(("web", listener.into(), Handler::Web(Arc::clone(web))));
        }
        let tally = |listener: &AnyListener| Arc::clone(listener.tally());
        let mut tallies: Vec<_> =
            listeners.iter().map(|(name, listener, _)| (*name, tally(listener))).collect();
        let mut tasks = Vec::new();
        if let (Some(listener), Some(handler)) = (fleet, &self.fleet) {
            let listener = AnyListener::from(listener);
            tallies.push(("fleet", tally(&listener)));
            tasks.push(workers.serve(listener, handler.clone(), stop.clone())?);
        }
        // A service runs once.
        let _ = self.administration.listeners.set(tallies);
        for (_, listener, handler) in listeners {
            tasks.push(match handler {
                Handler::Login(_) | Handler::Api(_) => workers.serve(listener, handler, stop.clone())?,
                Handler::Admin(_) | Handler::Web(_) => serve_here(listener, handler, stop.clone())?,
            });
        }
        tasks.extend(self.begin_chores(&stop));
        for task in tasks {
            // A task that panicked ended the process.
            let _ = task.await;
        }
        self.notifier.finish().await;
        end_sinks(Arc::clone(&self.administration.sinks)).await;
        close(Arc::clone(&self.ledger)).await;
        Ok(())
    }
}

/// What a registrar is made of.
struct Known<'a> {
    fleet: hosts::table::Loaded,
    ledger: &'a Arc<dyn Ledger>,
    clock: &'a Arc<dyn Clock>,
    notifier: &'a Arc<Notifier>,
}

impl Known<'_> {
    /// * `wanted`: the fleet, where one is configured.
    async fn registrar(
        self,
        master: &MasterKey,
        wanted: Option<&FleetConfig>,
    ) -> Result<Arc<Registrar>, FoundingError> {
        let Self { fleet, ledger, clock, notifier } = self;
        let authority = match wanted {
            None => None,
            Some(wanted) => {
                let (sealer, kept) = (hosts::founding::sealer(master), fleet.authority.as_ref());
                Some(hosts::founding::authority(wanted, kept, &sealer, &**ledger, &**clock).await?)
            }
        };
        Ok(Registrar::new(registrar::Tools {
            hosts: fleet.hosts,
            authority,
            ledger: Arc::clone(ledger),
            clock: Arc::clone(clock),
            notifier: Arc::clone(notifier),
            join_hasher: NameHasher::new(master, "join secrets"),
        }))
    }
}

/// The keys with which programs ask.
fn program_keys(
    loaded: person_keys::Loaded,
    ledger: &Arc<dyn Ledger>,
    clock: &Arc<dyn Clock>,
    notifier: &Arc<Notifier>,
    master: &MasterKey,
) -> PersonKeys {
    let (ledger, clock, notifier) = (Arc::clone(ledger), Arc::clone(clock), Arc::clone(notifier));
    PersonKeys::new(loaded, person_keys::Tools { ledger, clock, notifier }, master)
}

/// Makes all changes of users and tokens; what a broken import left is taken away first.
async fn steward(
    master: &MasterKey,
    accounts: &Arc<Accounts>,
    ledger: &Arc<dyn Ledger>,
    sealer: &Arc<Sealer>,
    clock: &Arc<dyn Clock>,
    notifier: &Arc<Notifier>,
    leftovers: Leftovers,
) -> Result<Arc<Steward>, ChangeError> {
    let steward = Steward::new(accounts::Tools {
        accounts: Arc::clone(accounts),
        ledger: Arc::clone(ledger),
        sealer: Arc::clone(sealer),
        clock: Arc::clone(clock),
        notifier: Arc::clone(notifier),
        recovery_hasher: NameHasher::new(master, "recovery codes"),
    });
    steward.clear(leftovers).await?;
    Ok(steward)
}

/// How the store stands to what hosts have seen of it.
async fn read_witness(
    master: &MasterKey,
    ledger: &Arc<dyn Ledger>,
    clock: &Arc<dyn Clock>,
    accounts: &Arc<Accounts>,
    notifier: &Arc<Notifier>,
) -> Result<Arc<Witness>, StartError> {
    let (ledger, clock) = (Arc::clone(ledger), Arc::clone(clock));
    let (accounts, notifier) = (Arc::clone(accounts), Arc::clone(notifier));
    let key = CheckpointKey::new(master);
    let read = tokio::task::spawn_blocking(|| Witness::new(key, ledger, clock, accounts, notifier));
    Ok(Arc::new(read.await.map_err(|_| ReadError::Closed)??))
}

/// What administrators ask, and the threads that take the audit trail elsewhere.
async fn administration(
    dialogue: &Arc<Dialogue>,
    registrar: Arc<Registrar>,
    ledger: &Arc<dyn Ledger>,
    (keys, offline): (PersonKeys, Maker),
    start_state: StartState,
) -> Result<Arc<Administration>, StartError> {
    let (trail, clock) = (Arc::clone(ledger), Arc::clone(&dialogue.clock));
    let config = dialogue.config.load().audit.clone();
    let started = tokio::task::spawn_blocking(move || Sinks::start(&config, &trail, &clock));
    let sinks = Arc::new(started.await.map_err(|_| ReadError::Closed)??);
    let (dialogue, ledger) = (Arc::clone(dialogue), Arc::clone(ledger));
    Ok(Arc::new(Administration::new(dialogue, registrar, ledger, sinks, (keys, offline), start_state)))
}

/// What browsers ask, where that is wanted.
fn pages(
    administration: &Arc<Administration>,
    master: &MasterKey,
) -> Result<Option<Arc<Web>>, CertificateFileError> {
    let config = administration.dialogue.config.load();
    let wanted = config.web.as_ref();
    wanted.map(|wanted| Ok(Arc::new(Web::new(Arc::clone(administration), wanted, master)?))).transpose()
}

async fn end_sinks(sinks: Arc<Sinks>) {
    if let Err(error) = tokio::task::spawn_blocking(move || sinks.end()).await {
        tracing::warn!(%error, "nobody waited for the sinks of the audit trail");
    }
}

async fn close(ledger: Arc<dyn Ledger>) {
    match tokio::task::spawn_blocking(move || ledger.close()).await {
        Ok(Ok(())) => tracing::info!("stopped in order"),
        Ok(Err(error)) => tracing::error!(%error, "the store could not be closed in order"),
        Err(error) => tracing::error!(%error, "the store could not be closed in order"),
    }
}

/// Half a store must not keep answering: after a failed commit nobody can tell what is durable.
fn end_at_once(fault: &str) {
    abort_soon();
    tracing::error!(fault, "the store failed: stopping at once, nothing more is accepted");
    eprintln!("verifierd: the store failed: {fault}");
    std::process::abort();
}
