//! The rows that need a server: what is measured, in which order, and what becomes of it.
//!
//! Both sides of a ratio run in the same minute and take turns; the first turn of each warms up and is not kept.

mod latency;
mod profile;
mod radius;
mod throughput;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use otp_core::OtpKey;

use crate::population;
use crate::server::Server;

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
    /// Whether all sides get a real-time priority.
    pub is_raised: bool,
}

/// The servers of a measurement, started when they are first needed.
#[derive(Debug)]
pub struct Bench {
    plan: Plan,
    keys: Vec<OtpKey>,
    hello: Option<Server>,
    volatile: Option<Server>,
    durable: Option<Server>,
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

impl Bench {
    /// Nothing runs yet.
    pub fn new(plan: Plan) -> Self {
        let keys = (0..plan.users).map(population::key).collect();
        Self { plan, keys, hello: None, volatile: None, durable: None }
    }

    /// Measures one row and tells each run.
    ///
    /// # Errors
    /// When a server fails, or refuses a right code: then the row has no figure.
    pub fn measure(&mut self, row: &str) -> Result<()> {
        match row {
            "bytes_per_token" => self.memory(row),
            "sweep_p99_ratio" => self.sweep(row),
            "p99_over_hello_at_50_percent" => self.tail(row),
            "over_freeradius" | "multiplexed_over_freeradius" => self.over_radius(row),
            _ => self.throughput(row),
        }
    }

    /// A side's server and the keys of its users.
    fn side(&mut self, side: Side) -> Result<(&mut Server, &[OtpKey])> {
        let slot = match side {
            Side::Hello => &mut self.hello,
            Side::Volatile => &mut self.volatile,
            Side::Durable => &mut self.durable,
        };
        if slot.is_none() {
            let dir = self.plan.dir.join(side.name());
            let server = Server::start(side.name(), &dir, self.plan.users, &[])?;
            if self.plan.is_raised {
                server.raise_priority()?;
            }
            *slot = Some(server);
        }
        Ok((slot.as_mut().expect("it was started"), &self.keys))
    }

    /// Memory of a server with the whole population, less that of one with a thousandth of it.
    fn memory(&mut self, row: &str) -> Result<()> {
        let (users, few) = (self.plan.users, self.plan.users / 1_000);
        for run in 0..self.plan.runs {
            let start = |users| {
                let dir = self.plan.dir.join(format!("memory-{users}"));
                let server = Server::start("durable", &dir, users, &[])?;
                let bytes = server.memory_bytes();
                drop(server);
                std::fs::remove_dir_all(dir)?;
                bytes
            };
            let (large, small) = (start(users)?, start(few)?);
            let each = (large - small) / (users - few) as f64;
            let sides = [
                ("all users, MB", large / 1e6),
                ("a thousandth of them, MB", small / 1e6),
                ("users", users as f64),
            ];
            crate::tell::run(row, each, &sides);
            // It differs by less than a hundredth from run to run, and takes a minute.
            if run == 2 {
                break;
            }
        }
        Ok(())
    }
}
