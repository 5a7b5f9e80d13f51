//! A fleet of agents in one process: the code that `postern-agent` runs, without its login socket, many times.
//!
//! They share nothing but the process. The verifier is the built program, in the sandbox.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::chance::SystemChance;
use agent::clock::SystemClock;
use agent::config::VerifierAddress;
use agent::join::{JoinSecret, join};
use agent::judgement::{self, Asked};
use agent::secret_body;
use agent::status::Reporter;
use agent::tls;
use agent::upkeep::Upkeep;
use agent::verifiers::Verifiers;
use arc_swap::ArcSwap;
use system_tests::login_socket::{exchange, random_id};
use system_tests::machine::run;
use system_tests::time;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use wire::login::Verdict;
use wire::verify::{VERIFY_PATH, Verified, Verify};

/// How many addresses the verifier has: its certificate has room for as many names.
const ADDRESSES: usize = 16;

/// How many agents ask at one address: a source has 128 connections, and joins need some.
const AGENTS_PER_ADDRESS_MAX: usize = 125;

/// How many hosts join at once.
const JOINING_MAX: usize = 8;

/// Descriptors of the rig itself.
const DESCRIPTORS_KEPT: u64 = 256;

/// How long a login may take before it counts as lost.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Where the verifier is found. What is sent to one of these addresses comes from the same one.
///
/// # Panics
/// Outside the sandbox, which has routes of its own.
pub fn addresses() -> Vec<String> {
    let addresses: Vec<String> = (1..=ADDRESSES).map(|number| format!("127.1.0.{number}")).collect();
    for address in &addresses {
        run("ip", &["route", "replace", "local", address, "dev", "lo", "src", address, "table", "local"]);
    }
    addresses
}

/// One agent.
struct Member {
    host: String,
    verifiers: Arc<Verifiers>,
}

/// All of them; they end when this is dropped.
pub struct Crowd {
    members: Vec<Member>,
    runtime: Runtime,
    _stop: watch::Sender<bool>,
    _state: tempfile::TempDir,
}

impl Crowd {
    /// So many hosts enrol, join and start, one to an address in turns.
    ///
    /// # Panics
    /// When the verifier refuses one.
    pub fn join(count: usize, addresses: &[String]) -> Self {
        assert!(count <= ADDRESSES * AGENTS_PER_ADDRESS_MAX, "the addresses have no room for {count}");
        allow_descriptors(DESCRIPTORS_KEPT + 2 * count as u64);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let state = tempfile::tempdir().expect("a folder");
        let (stop, stopping) = watch::channel(false);
        let places: Vec<VerifierAddress> = addresses
            .iter()
            .map(|address| system_tests::agent::verifier(address).parse().expect("an address"))
            .collect();
        let numbers: Vec<usize> = (0..count).collect();
        let mut members = Vec::new();
        for some in numbers.chunks(JOINING_MAX) {
            let joining: Vec<_> = some
                .iter()
                .map(|number| {
                    let place = places[number % places.len()].clone();
                    let folder = state.path().join(number.to_string());
                    runtime.spawn(member(*number, place, folder, stopping.clone()))
                })
                .collect();
            members.extend(joining.into_iter().map(|joined| runtime.block_on(joined).expect("a host joins")));
        }
        Self { members, runtime, _stop: stop, _state: state }
    }

    /// How many have a connection.
    pub fn connected(&self) -> usize {
        let is_connected = |member: &&Member| member.verifiers.stands()[0].is_connected;
        self.members.iter().filter(is_connected).count()
    }

    /// How often every one of them has failed at least.
    pub fn failures_min(&self) -> u32 {
        let failures = self.members.iter().map(|member| member.verifiers.stands()[0].failures);
        failures.min().unwrap_or_default()
    }

    /// A right code at one of the hosts: how long the verdict took.
    ///
    /// # Panics
    /// When it is not an allow that belongs to what was asked.
    pub fn log_in(&self, number: usize, user: &str, code: &str) -> Duration {
        let member = &self.members[number % self.members.len()];
        let asked = Verify {
            request_id: Cow::Owned(random_id().expect("an id")),
            user: Cow::Borrowed(user),
            service: Cow::Borrowed("vpn"),
            rhost: Some(Cow::Borrowed("192.0.2.1")),
            code: Cow::Borrowed(code),
        };
        let body = secret_body::of(&asked, 1_024);
        let begun = time::now();
        let answer = self.runtime.block_on(async {
            let deadline = tokio::time::Instant::now() + LOGIN_TIMEOUT;
            member.verifiers.ask(VERIFY_PATH, &body, deadline).await
        });
        let took = begun.elapsed();
        let answer = answer.expect("a verdict");
        let verified: Verified<'_> = serde_json::from_slice(&answer.body).expect("a verdict");
        let asked = Asked { request_id: &asked.request_id, user, service: "vpn", host: &member.host };
        let verified = judgement::verified(verified, &asked).expect("a verdict about this code");
        assert_eq!(verified.verdict, Verdict::Allow);
        took
    }
}

/// Lets this process open so many files, and no fewer than it may already.
fn allow_descriptors(wanted: u64) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
        let raised = rustix::process::Rlimit { current: Some(wanted), maximum };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("descriptors");
    }
}

async fn member(
    number: usize,
    place: VerifierAddress,
    state_dir: std::path::PathBuf,
    stopping: watch::Receiver<bool>,
) -> Member {
    let secret = enrol(&format!("host{number}"));
    let (identity, _) = join(&secret, std::slice::from_ref(&place)).await.expect("the verifier lets it join");
    identity.keep(&state_dir).expect("a folder for it");
    let (tls, host) = (tls::for_host(&identity).expect("a certificate"), identity.host.clone());
    let chance = Arc::new(SystemChance);
    let verifiers = Arc::new(Verifiers::new(vec![place], tls, chance.clone()));
    let reporter = Reporter { identity: Arc::new(ArcSwap::from_pointee(identity)), told: Arc::default() };
    let upkeep = Upkeep {
        verifiers: verifiers.clone(),
        reporter,
        state_dir,
        checkpoints: Arc::default(),
        clock: Arc::new(SystemClock),
        chance,
    };
    tokio::spawn(upkeep.run(stopping));
    Member { host, verifiers }
}

/// `postern host enrol`, without a process for each.
fn enrol(name: &str) -> JoinSecret {
    let body = serde_json::json!({"name": name}).to_string();
    let answer = exchange(Path::new(wire::ADMIN_SOCKET), "/v1/hosts", body.as_bytes());
    let secret: wire::admin::JoinSecret =
        serde_json::from_slice(&answer.expect("the host is enrolled")).expect("a join secret");
    JoinSecret::parse(&secret.secret).expect("a join secret")
}

/// How many things happened in each second, counted from the first of them.
#[derive(Debug, Default)]
pub struct BySecond {
    first: Option<Instant>,
    counts: Vec<usize>,
}

impl BySecond {
    /// So many more, now.
    pub fn add(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let now = time::now();
        let second = now.duration_since(*self.first.get_or_insert(now)).as_secs() as usize;
        self.counts.resize(self.counts.len().max(second + 1), 0);
        self.counts[second] += count;
    }

    /// The most in a second.
    pub fn peak(&self) -> usize {
        self.counts.iter().copied().max().unwrap_or_default()
    }

    /// The mean of a second, over so many seconds.
    pub fn mean(&self, over: Duration) -> f64 {
        self.counts.iter().sum::<usize>() as f64 / over.as_secs_f64()
    }
}
