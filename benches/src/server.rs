//! A server under measurement, in a process of its own, and the user's side of it: which codes come next.

use std::fs;
use std::io::{self, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use otp_core::OtpKey;

use crate::clock::STEP_SECONDS;
use crate::load::{Address, Deck, Shape, Tally, closed, open};

/// The first time step: later than that of every store there is.
const FIRST_STEP: u64 = 60_000_000;

/// Clock ticks in a second, as `/proc` counts processor time on Linux.
const TICKS: f64 = 100.0;

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
    codes: Codes,
    /// Position in the endless round over all users.
    next: u64,
    /// Verifications a second of the last slice; says how many codes the next one needs.
    rate_seen: f64,
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
        let address = said.strip_prefix("ready ").with_context(|| format!("bench-server said {said:?}"))?;
        let (tcp, unix) = (Address::Tcp(address.parse()?), Address::Unix(dir.join("login.sock")));
        let codes = if kind == "hello" { Codes::None } else { Codes::Fresh };
        Ok(Self { child, orders, replies, tcp, unix, codes, next: 0, rate_seen: 250_000.0 })
    }

    /// Says whether a hello gets requests like those of a verification, or the least there is.
    pub fn set_like_codes(&mut self, is_like_codes: bool) {
        self.codes = if is_like_codes { Codes::Unread } else { Codes::None };
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub fn address(&self, transport: Transport) -> &Address {
        match transport {
            Transport::Tcp => &self.tcp,
            Transport::Unix => &self.unix,
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
        let wanted = self.rate_seen * duration.as_secs_f64() * 1.5;
        let deck = self.deck(keys, shape, wanted)?;
        let before = self.cpu_seconds()?;
        let tally = closed(self.address(transport), &deck, duration)?;
        self.rate_seen = tally.rate();
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
        let deck = self.deck(keys, Shape::Single, rate * duration.as_secs_f64() * 1.1)?;
        let before = self.cpu_seconds()?;
        let tally = open(self.address(transport), &deck, rate, duration)?;
        self.judged(tally, before)
    }

    /// Makes everything old that earlier verifications left behind: moves both sides of its clock on by more than any
    /// of it is kept.
    ///
    /// # Errors
    /// When it does not obey.
    pub fn age(&mut self, keys: &[OtpKey]) -> Result<()> {
        /// More than ninety days, for which a user's usual place is known.
        const STEPS: u64 = 300_000;
        // The next codes are those of that time, and wall time goes with them.
        self.next = (self.next + STEPS * keys.len() as u64).next_multiple_of(keys.len() as u64);
        self.order(&format!("skip {}", STEPS * STEP_SECONDS))
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

    /// Gives all its threads a real-time priority, so that other work on the machine is not in the figures.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn raise_priority(&self) -> Result<()> {
        raise_priority(self.id())
    }

    /// Codes of users who had no turn in this time step; moves the clock on when too few are left.
    fn deck(&mut self, keys: &[OtpKey], shape: Shape, wanted: f64) -> Result<Deck> {
        match self.codes {
            Codes::None => return Ok(Deck::hello()),
            Codes::Unread => return Ok(Deck::like_codes(keys)),
            Codes::Fresh => {}
        }
        let round = keys.len() as u64;
        let wanted = (wanted as u64).clamp(10 * shape.items() as u64, round);
        if round - self.next % round < wanted {
            self.next = self.next.next_multiple_of(round);
        }
        let step = FIRST_STEP + self.next / round;
        self.order(&format!("step {step}"))?;
        let deck = Deck::codes(shape, keys, step, self.next, wanted as usize);
        self.next += wanted;
        Ok(deck)
    }

    fn judged(&self, tally: Tally, cpu_before: f64) -> Result<Slice> {
        ensure!(tally.good > 0, "nothing was answered");
        ensure!(
            tally.bad == 0,
            "{} of {} right codes were not accepted: the figure would mean nothing",
            tally.bad,
            tally.good + tally.bad
        );
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

/// Gives all threads of a process a real-time priority.
///
/// # Errors
/// When the system does not allow it.
pub fn raise_priority(process: u32) -> Result<()> {
    let process = process.to_string();
    let status = Command::new("chrt").args(["--all-tasks", "--rr", "--pid", "10", &process]).status()?;
    ensure!(status.success(), "chrt ended with {status}");
    Ok(())
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
