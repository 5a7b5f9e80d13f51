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
use agent::offline::link::Link;
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
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};
use wire::login::Verdict;
use wire::verify::{VERIFY_PATH, Verified, Verify};

/// How many addresses the verifier has: its certificate has room for as many names.
const ADDRESSES: usize = 16;

/// How many hosts join at once.
const JOINING_MAX: usize = 8;

/// Descriptors of the rig itself.
const DESCRIPTORS_KEPT: u64 = 256;

/// Guesses under way at once: as many as one connection may have.
const GUESSES_OPEN_MAX: usize = 256;

/// How long a login may take before it counts as lost.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Where the verifier is found. What is sent to one of these addresses comes from the same one.
///
/// # Panics
/// Outside the sandbox, which has routes of its own.
pub fn addresses() -> Vec<String> {
    sources(1, ADDRESSES)
}

/// So many addresses of the test's side that lead to the verifier, each from itself.
///
/// * `network`: the second number of each.
///
/// # Panics
/// Outside the sandbox, which has routes of its own.
pub fn sources(network: u8, count: usize) -> Vec<String> {
    let addresses: Vec<String> = (1..=count).map(|number| format!("127.{network}.0.{number}")).collect();
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
        let begun = time::now();
        let verified = self.runtime.block_on(verdict(&member.verifiers, &member.host, user, code));
        let took = begun.elapsed();
        assert_eq!(verified, Ok(Verdict::Allow), "{user} at host {number}");
        took
    }

    /// A steady beat for what is done one after the other.
    pub fn beat(&self, every: Duration) -> Beat<'_> {
        let _inside = self.runtime.enter();
        let mut interval = tokio::time::interval(every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Beat { interval, runtime: &self.runtime }
    }

    /// Runs something while one of the hosts tries wrong codes for these users in turns, and does not slow down when it is
    /// told to.
    ///
    /// # Panics
    /// When the host has no connection at first.
    pub fn guessing_at<T>(
        &self,
        number: usize,
        a_second: u32,
        users: &[String],
        what: impl FnOnce() -> T,
    ) -> (T, Guesses) {
        let member = &self.members[number];
        let (stop, stopping) = watch::channel(false);
        let guessing =
            guess(member.verifiers.clone(), member.host.clone(), a_second, users.to_vec(), stopping);
        let guessing = self.runtime.spawn(guessing);
        let done = what();
        stop.send_replace(true);
        (done, self.runtime.block_on(guessing).expect("the guesses are counted"))
    }
}

/// See [`Crowd::beat`].
pub struct Beat<'a> {
    interval: Interval,
    runtime: &'a Runtime,
}

impl Beat<'_> {
    /// Waits for the next one. What took longer than a beat moves all later ones.
    pub fn next(&mut self) {
        self.runtime.block_on(self.interval.tick());
    }
}

/// What became of wrong codes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guesses {
    /// So many were sent.
    pub asked: usize,
    /// So many got a verdict.
    pub answered: usize,
    /// So many of these let in.
    pub allowed: usize,
}

/// Sends guesses at a steady rate until it is told to stop.
async fn guess(
    verifiers: Arc<Verifiers>,
    host: String,
    a_second: u32,
    users: Vec<String>,
    stopping: watch::Receiver<bool>,
) -> Guesses {
    let mut beat = tokio::time::interval(Duration::from_secs(1) / a_second);
    let (mut guesses, mut open) = (Guesses::default(), JoinSet::new());
    while !*stopping.borrow() {
        beat.tick().await;
        while let Some(ended) = open.try_join_next() {
            guesses.add(ended.expect("a guess ends"));
        }
        if open.len() < GUESSES_OPEN_MAX {
            let (verifiers, host) = (verifiers.clone(), host.clone());
            let (user, code) =
                (users[guesses.asked % users.len()].clone(), format!("{:06}", guesses.asked % 1_000_000));
            guesses.asked += 1;
            open.spawn(async move { verdict(&verifiers, &host, &user, &code).await });
        }
    }
    while let Some(ended) = open.join_next().await {
        guesses.add(ended.expect("a guess ends"));
    }
    guesses
}

impl Guesses {
    fn add(&mut self, verdict: Result<Verdict, String>) {
        self.answered += usize::from(verdict.is_ok());
        self.allowed += usize::from(verdict == Ok(Verdict::Allow));
    }
}

/// Asks the host's verifier about a code. Where it gives no verdict, what came instead.
///
/// # Panics
/// When the verdict is about something else.
async fn verdict(verifiers: &Verifiers, host: &str, user: &str, code: &str) -> Result<Verdict, String> {
    let asked = Verify {
        request_id: Cow::Owned(random_id().expect("an id")),
        user: Cow::Borrowed(user),
        service: Cow::Borrowed("vpn"),
        rhost: Some(Cow::Borrowed("192.0.2.1")),
        code: Cow::Borrowed(code),
    };
    let body = secret_body::of(&asked, 1_024);
    let deadline = tokio::time::Instant::now() + LOGIN_TIMEOUT;
    let answer = verifiers.ask_one(0, VERIFY_PATH, &body, deadline).await;
    let answer = answer.map_err(|fault| format!("{fault:?}"))?;
    let instead = || format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body));
    let verified: Verified<'_> = serde_json::from_slice(&answer.body).map_err(|_| instead())?;
    let asked = Asked { request_id: &asked.request_id, user, service: "vpn", host };
    Ok(judgement::verified(verified, &asked).expect("a verdict about this code").verdict)
}

/// Lets this process open so many files, and no fewer than it may already.
///
/// # Panics
/// When the system refuses.
pub fn allow_descriptors(wanted: u64) {
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
    // Nobody listens there.
    let offline = Link::new(state_dir.join("offline.sock"));
    let upkeep = Upkeep {
        verifiers: verifiers.clone(),
        reporter,
        offline,
        state_dir,
        sessions: Arc::default(),
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
