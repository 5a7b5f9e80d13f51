//! The rows that need a server: what is measured, in which order, and what becomes of it.
//!
//! Both sides of a ratio run in the same minute and take turns; the first turn of each warms up and is not kept.

mod latency;
mod privacyidea;
mod profile;
mod radius;
mod throughput;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use otp_core::OtpKey;

use crate::load::Shape;
use crate::population;
use crate::server::{Server, Slice, Transport, set_priority};
use crate::tell;

/// What a measurement is to be like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How often each side has its turn.
    pub runs: u64,
    /// How long a turn takes.
    pub slice: Duration,
    /// Size of the population.
    pub users: u64,
    /// Where stores and sockets are made; on a disk.
    pub dir: PathBuf,
    /// Whether all sides get a real-time priority where waits are not measured.
    pub may_raise: bool,
    /// Where privacyIDEA is installed: a virtual environment of Python.
    pub privacyidea: Option<PathBuf>,
}

/// The servers of a measurement, started when they are first needed.
#[derive(Debug)]
pub struct Bench {
    plan: Plan,
    keys: Vec<OtpKey>,
    hello: Option<Server>,
    volatile: Option<Server>,
    durable: Option<Server>,
    is_raised: bool,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Five letters for each request.
    Hello,
    /// The service, its claims in memory.
    Volatile,
    /// The service, its claims on disk.
    Durable,
}

impl Side {
    /// As `bench-server` and the tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Volatile => "volatile",
            Self::Durable => "durable",
        }
    }
}

/// How a side is loaded.
#[derive(Clone, Copy, Debug)]
struct Load {
    side: Side,
    transport: Transport,
    shape: Shape,
}

impl Load {
    fn name(self) -> String {
        let transport = match self.transport {
            Transport::Tcp => "TCP",
            Transport::Unix => "Unix socket",
        };
        format!("{}, {transport}, {}", self.side.name(), self.shape)
    }
}

impl Bench {
    /// Nothing runs yet.
    pub fn new(plan: Plan) -> Self {
        let keys = population::keys(plan.users);
        Self { plan, keys, hello: None, volatile: None, durable: None, is_raised: false }
    }

    /// Measures one row and tells each run.
    ///
    /// # Errors
    /// When a server fails, or refuses a right code: then the row has no figure.
    pub fn measure(&mut self, row: &str) -> Result<()> {
        // Waits are measured as the daemon runs: among equals of a real-time priority each goes on for a tenth of a second,
        // and the kernel stops all of them for a twentieth of each second.
        let is_wait = matches!(row, "sweep_p99_ratio" | "p99_over_hello_at_50_percent");
        self.set_priority(!is_wait)?;
        match row {
            "bytes_per_token" => self.memory(row),
            "sweep_p99_ratio" => self.sweep(row),
            "p99_over_hello_at_50_percent" => self.tail(row),
            "over_freeradius" | "multiplexed_over_freeradius" => self.over_radius(row),
            "over_privacyidea" => self.over_privacyidea(row),
            _ => self.throughput(row),
        }
    }

    /// A side's server and the keys of its users, all of whom have logged in before.
    fn side(&mut self, side: Side) -> Result<(&mut Server, &[OtpKey])> {
        self.start(side)?;
        let (server, keys) = self.running(side);
        if !server.is_settled() {
            tell::progress(&format!("first logins at {}", side.name()));
            server.settle(keys)?;
        }
        Ok((server, keys))
    }

    /// Raises this process and its servers above other work, where the plan allows it, or takes that back.
    fn set_priority(&mut self, is_raised: bool) -> Result<()> {
        if !self.plan.may_raise || self.is_raised == is_raised {
            return Ok(());
        }
        let servers = [&self.hello, &self.volatile, &self.durable].into_iter().flatten().map(Server::id);
        servers.chain([std::process::id()]).try_for_each(|process| set_priority(process, is_raised))?;
        self.is_raised = is_raised;
        Ok(())
    }

    /// Starts a side's server, unless it runs.
    fn start(&mut self, side: Side) -> Result<()> {
        let slot = self.slot(side);
        if slot.is_some() {
            return Ok(());
        }
        tell::progress(&format!("starting {}", side.name()));
        let dir = self.plan.dir.join(side.name());
        let server = Server::start(side.name(), &dir, self.plan.users, &[])?;
        *self.slot(side) = Some(server);
        Ok(())
    }

    fn slot(&mut self, side: Side) -> &mut Option<Server> {
        match side {
            Side::Hello => &mut self.hello,
            Side::Volatile => &mut self.volatile,
            Side::Durable => &mut self.durable,
        }
    }

    /// A server that was started.
    fn running(&mut self, side: Side) -> (&mut Server, &[OtpKey]) {
        let slot = match side {
            Side::Hello => &mut self.hello,
            Side::Volatile => &mut self.volatile,
            Side::Durable => &mut self.durable,
        };
        (slot.as_mut().expect("it was started"), &self.keys)
    }

    /// One turn of a side, half as long where it is told and not judged.
    fn turn(&mut self, load: Load, is_judged: bool) -> Result<Slice> {
        let slice = if is_judged { self.plan.slice } else { self.plan.slice / 2 };
        let (server, keys) = self.side(load.side)?;
        server.closed(keys, load.transport, load.shape, slice).with_context(|| load.name())
    }

    /// Memory of a server with the whole population, less that of one with a thousandth of it. It differs by less than a
    /// hundredth from start to start, so it is measured once.
    fn memory(&mut self, row: &str) -> Result<()> {
        let (users, few) = (self.plan.users, self.plan.users / 1_000);
        // A fresh one: what it has served would count too.
        self.durable = None;
        self.start(Side::Durable)?;
        let large = self.running(Side::Durable).0.memory_bytes()?;
        let dir = self.plan.dir.join("memory");
        let server = Server::start("durable", &dir, few, &[])?;
        let small = server.memory_bytes()?;
        drop(server);
        std::fs::remove_dir_all(dir)?;
        let settled = self.side(Side::Durable)?.0.memory_bytes()?;
        let each = |bytes: f64| (bytes - small) / (users - few) as f64;
        let sides = [
            ("all users, MB", large / 1e6),
            ("a thousandth of them, MB", small / 1e6),
            ("users", users as f64),
            ("bytes for each once all have logged in", each(settled)),
        ];
        tell::run(row, each(large), &sides);
        Ok(())
    }
}
