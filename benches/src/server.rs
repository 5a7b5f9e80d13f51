//! A server under measurement, in a process of its own, and the user's side of it: which codes come next.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use otp_core::OtpKey;
use rustix::process::{Pid, Signal, kill_process};

use crate::clock::{STEP_SECONDS, now};
use crate::load::{Address, Deck, Shape, THREADS, Tally, closed, open, streams};

/// The first time step: later than that of every store there is.
const FIRST_STEP: u64 = 60_000_000;

/// Users in one call when all of them come for the first time.
const NEWCOMERS: usize = 100;

/// How long the first logins of all users may take.
const SETTLING_MAX: Duration = Duration::from_secs(600);

/// Commits whose claims have yet to be folded, as the server tells it; how many may be left, and how long that may take.
const BACKLOG: &str = "postern_store_size{kind=\"backlog_rows\"}";
const BACKLOG_LEFT: f64 = 100.0;
const FOLDING_MAX: Duration = Duration::from_secs(30);

/// Verifications a second that the first slice of a shape is prepared for.
const RATE_AT_FIRST: f64 = 250_000.0;

/// Clock ticks in a second, as `/proc` counts processor time on Linux.
const TICKS: f64 = 100.0;

/// How far the clock is moved on to make everything old: by more than ninety days, for which a user's usual source is
/// known.
pub const SKIPPED: Duration = Duration::from_secs(300_000 * STEP_SECONDS);

/// Which transport a client uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP over loopback.
    Tcp,
    /// A Unix socket.
    Unix,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    orders: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
    tcp: Address,
    unix: Address,
    /// For HTTP/2: the service speaks it beside HTTP/1.1, a hello has an address for each.
    http2: Address,
    admin: PathBuf,
    codes: Codes,
    /// Position in the endless round over all users.
    next: u64,
    /// Whether every user is known to come from where this client is.
    is_settled: bool,
    /// Verifications a second of the last slice of each shape: how many codes the next one needs.
    rates_seen: HashMap<Shape, f64>,
}

/// What a server is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codes {
    /// Nothing: it says hello.
    None,
    /// Requests with codes that nobody looks at.
    Unread,
    /// Right and fresh ones.
    Fresh,
}

/// What came of a slice, with what it cost the server.
#[derive(Clone, Debug)]
pub struct Slice {
    /// What the client saw.
    pub tally: Tally,
    /// Processor time of the server for one verification, in microseconds.
    pub server_cpu_us: f64,
}

impl Slice {
    /// Verifications a second.
    pub fn rate(&self) -> f64 {
        self.tally.rate()
    }
}

impl Server {
    /// Starts one and waits until it answers.
    ///
    /// * `kind`: as `bench-server` names it.
    /// * `dir`: a folder of its own.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(kind: &str, dir: &Path, users: u64, more: &[&str]) -> Result<Self> {
        let program = beside("bench-server")?;
        let mut command = Command::new(program);
        command.arg(kind).arg("--dir").arg(dir).args(["--users", &users.to_string()]).args(more);
        let step = FIRST_STEP.to_string();
        command.args(["--step", &step]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("bench-server")?;
        let orders = child.stdin.take();
        let mut replies = BufReader::new(child.stdout.take().context("its output is a pipe")?);
        let said = line(&mut replies)?;
        let addresses = said.strip_prefix("ready ").and_then(|addresses| addresses.split_once(' '));
        let (tcp, http2) = addresses.with_context(|| format!("bench-server said {said:?}"))?;
        let (tcp, http2) = (Address::Tcp(tcp.parse()?), Address::Tcp(http2.parse()?));
        let (unix, admin) = (Address::Unix(dir.join("login.sock")), dir.join("admin.sock"));
        let codes = if kind == "hello" { Codes::None } else { Codes::Fresh };
        let (next, is_settled, rates_seen) = (0, kind == "hello", HashMap::new());
        Ok(Self { child, orders, replies, tcp, unix, http2, admin, codes, next, is_settled, rates_seen })
    }

    /// Whether every user has logged in once, or nobody needs to.
    pub fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Lets every user log in once over TCP: where a user logs in from is written down the first time,
    /// and until then more is counted. A running site pays that once a day for each of them.
    ///
    /// # Errors
    /// As [`Self::closed`].
    pub fn settle(&mut self, keys: &[OtpKey]) -> Result<()> {
        let (deck, step) = self.deck(keys, Shape::Batch(NEWCOMERS), keys.len() as f64);
        self.order(&format!("step {step}"))?;
        let before = self.cpu_seconds()?;
        let tally = closed(&self.tcp, &deck.over(THREADS), SETTLING_MAX)?;
        let first = self.judged(tally, before).context("first logins")?;
        let (came, users) = (first.tally.good, keys.len() as u64);
        ensure!(came + NEWCOMERS as u64 > users, "only {came} of {users} users could log in once");
        self.is_settled = true;
        self.wait_until_folded()
    }

    /// Waits until what the first logins wrote has found its place in the store, which a running site has behind it.
    fn wait_until_folded(&self) -> Result<()> {
        let begun = now();
        while self.metric(BACKLOG)? > BACKLOG_LEFT && begun.elapsed() < FOLDING_MAX {
            // Nothing tells when it is done.
            std::thread::park_timeout(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Says whether a hello gets requests like those of a verification, or the least there is.
    pub fn set_like_codes(&mut self, is_like_codes: bool) {
        self.codes = if is_like_codes { Codes::Unread } else { Codes::None };
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens for requests of this shape.
    fn address(&self, transport: Transport, shape: Shape) -> &Address {
        match (transport, shape) {
            (Transport::Tcp, Shape::Streams(_)) => &self.http2,
            (Transport::Tcp, _) => &self.tcp,
            (Transport::Unix, _) => &self.unix,
        }
    }

    /// Loads it in a closed loop. Ends early when all users have had their turn.
    ///
    /// # Errors
    /// When it does not answer, or lets somebody with a right code not in.
    pub fn closed(
        &mut self,
        keys: &[OtpKey],
        transport: Transport,
        shape: Shape,
        duration: Duration,
    ) -> Result<Slice> {
        let rate = self.rates_seen.get(&shape).copied().unwrap_or(RATE_AT_FIRST);
        let wanted = rate * duration.as_secs_f64() * 1.5;
        let (deck, step) = self.deck(keys, shape, wanted);
        self.order(&format!("step {step}"))?;
        let before = self.cpu_seconds()?;
        let address = self.address(transport, shape);
        let tally = match shape {
            Shape::Streams(count) => streams(address, &deck, count, duration)?,
            Shape::Single | Shape::Pipelined(_) | Shape::Batch(_) => closed(address, &deck, duration)?,
        };
        self.rates_seen.insert(shape, tally.rate());
        self.judged(tally, before)
    }

    /// Loads it with Poisson arrivals, one verification each.
    ///
    /// # Errors
    /// As [`Self::closed`].
    pub fn open(
        &mut self,
        keys: &[OtpKey],
        transport: Transport,
        rate: f64,
        duration: Duration,
    ) -> Result<Slice> {
        let (deck, step) = self.deck(keys, Shape::Single, rate * duration.as_secs_f64() * 1.1);
        self.order(&format!("step {step}"))?;
        let before = self.cpu_seconds()?;
        let tally = open(self.address(transport, Shape::Single), &deck, rate, duration)?;
        self.judged(tally, before)
    }

    /// The same at the moment at which everything that earlier verifications left behind is old: both sides of the
    /// server's clock are moved on by more than any of it is kept.
    ///
    /// # Errors
    /// As [`Self::closed`].
    pub fn open_when_all_is_old(
        &mut self,
        keys: &[OtpKey],
        transport: Transport,
        rate: f64,
        duration: Duration,
    ) -> Result<Slice> {
        self.next = (self.next + SKIPPED.as_secs() / STEP_SECONDS * keys.len() as u64)
            .next_multiple_of(keys.len() as u64);
        self.is_settled = false;
        // The requests are made before anything is old: a sweep waits a second at most.
        let (deck, step) = self.deck(keys, Shape::Single, rate * duration.as_secs_f64() * 1.1);
        self.order(&format!("step {step}"))?;
        self.order(&format!("skip {}", SKIPPED.as_secs()))?;
        let before = self.cpu_seconds()?;
        let tally = open(self.address(transport, Shape::Single), &deck, rate, duration)?;
        self.judged(tally, before)
    }

    /// One of the figures that it tells at `/metrics`.
    ///
    /// * `series`: as it stands there, with labels.
    ///
    /// # Errors
    /// When it does not answer, or has no such figure.
    pub fn metric(&self, series: &str) -> Result<f64> {
        let mut stream =
            UnixStream::connect(&self.admin).with_context(|| self.admin.display().to_string())?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("/metrics does not tell {series}"))?.parse()?)
    }

    /// Memory that it has in use, in bytes.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn memory_bytes(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes: f64 = line.context("VmRSS")?.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1_024.0)
    }

    /// Codes of users who had no turn in a time step, and that step: the next one when too few are left of this.
    fn deck(&mut self, keys: &[OtpKey], shape: Shape, wanted: f64) -> (Deck, u64) {
        match self.codes {
            Codes::None => return (Deck::hello(shape), FIRST_STEP),
            Codes::Unread => return (Deck::like_codes(keys), FIRST_STEP),
            Codes::Fresh => {}
        }
        let round = keys.len() as u64;
        let wanted = (wanted as u64).clamp(10 * shape.items() as u64, round);
        if round - self.next % round < wanted {
            self.next = self.next.next_multiple_of(round);
        }
        let step = FIRST_STEP + self.next / round;
        let deck = Deck::codes(shape, keys, step, self.next, wanted as usize);
        self.next += wanted;
        (deck, step)
    }

    fn judged(&self, tally: Tally, cpu_before: f64) -> Result<Slice> {
        ensure!(
            tally.bad == 0,
            "{} of {} right codes were not accepted, so the figure would mean nothing; the first was told: {}",
            tally.bad,
            tally.good + tally.bad,
            tally.first_bad.as_deref().unwrap_or_default()
        );
        ensure!(tally.good > 0, "nothing was answered");
        let server_cpu_us = (self.cpu_seconds()? - cpu_before) * 1e6 / tally.good as f64;
        Ok(Slice { tally, server_cpu_us })
    }

    fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        let (_, fields) = stat.rsplit_once(") ").context("/proc/PID/stat")?;
        let mut fields = fields.split(' ').skip(11);
        let mut ticks = || -> Result<f64> { Ok(fields.next().context("/proc/PID/stat")?.parse()?) };
        Ok((ticks()? + ticks()?) / TICKS)
    }

    fn order(&mut self, order: &str) -> Result<()> {
        let mut orders = self.orders.as_ref().context("it takes orders")?;
        writeln!(orders, "{order}").context("bench-server has ended")?;
        let said = line(&mut self.replies)?;
        ensure!(said == "ok", "bench-server said {said:?}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its input ends, and so does it; what it stored goes with its folder.
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

/// Gives all threads of a process a real-time priority, so that other work on the machine is not in the figures; or
/// takes it away again. Programs that it starts afterwards begin with the same.
///
/// # Errors
/// When the system does not allow it.
pub fn set_priority(process: u32, is_raised: bool) -> Result<()> {
    let process = process.to_string();
    let priority = if is_raised { ["--rr", "--pid", "10"] } else { ["--other", "--pid", "0"] };
    let status = Command::new("chrt").arg("--all-tasks").args(priority).arg(&process).status()?;
    ensure!(status.success(), "chrt ended with {status}");
    Ok(())
}

/// A command whose program ends with this one, however that is.
pub fn ending_with_us(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// Ends a program that was started so, and those that it started.
pub fn end(child: &mut Child) {
    // Where it has ended before, there is nothing to end.
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
    let _ = child.wait();
}

/// A program that was built with this one.
///
/// # Errors
/// When it is not there.
pub fn beside(name: &str) -> Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name(name);
    ensure!(program.exists(), "{} is not built", program.display());
    Ok(program)
}

fn line(from: &mut impl io::BufRead) -> Result<String> {
    let mut line = String::new();
    ensure!(from.read_line(&mut line)? > 0, "bench-server has ended");
    Ok(line.trim_end().to_owned())
}
