//! Open-loop rows: the 99th percentile of the wait, at a share of what a closed loop reaches.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Result, ensure};

use super::{Bench, Load, Side};
use crate::clock::now;
use crate::load::Shape;
use crate::server::{SKIPPED, Transport};
use crate::tell;

/// Shares of the highest rate; only the first is judged.
const SHARES: [u32; 3] = [50, 80, 90];

/// Syncs of a small append, for their own percentile.
const SYNCS: usize = 400;

/// Turns of the row whose entries expire: each lets all users log in again.
const SWEEPS: u64 = 3;

/// A sweep of a million entries stands still for a millisecond after each thousand.
const SWEEP_SLICES: u32 = 3;

/// How many users' sources were forgotten, and what that took in microseconds, as the server counts it.
const EXPIRED: &str = "postern_sweep_removed_total{table=\"throttles\"}";
const SWEEPING: &str = "postern_sweep_microseconds_total{table=\"throttles\"}";

impl Bench {
    /// The p99 of a durable verification against that of a hello, each at shares of its own highest rate.
    pub(super) fn tail(&mut self, row: &str) -> Result<()> {
        let tops = [
            self.highest_rate(Side::Durable, Transport::Tcp)?,
            self.highest_rate(Side::Hello, Transport::Tcp)?,
        ];
        for run in 0..self.plan.runs {
            tell::progress(&format!("{row}: turn {} of {}", run + 1, self.plan.runs));
            let sync = sync_p99_us(&self.plan.dir)?;
            let mut figures = vec![("sync of 4 KiB, p99 us".to_owned(), sync)];
            let mut judged = f64::NAN;
            for share in SHARES {
                let durable = self.wait_us(Side::Durable, tops[0], share, &mut figures)?;
                let hello = self.wait_us(Side::Hello, tops[1], share, &mut figures)?;
                figures.push((format!("ratio at {share} %"), durable / hello));
                if share == SHARES[0] {
                    judged = durable / hello;
                    let without = (durable - sync).max(0.0) / hello;
                    figures.push(("ratio at 50 %, the sync's p99 taken off".to_owned(), without));
                }
            }
            let sides: Vec<(&str, f64)> =
                figures.iter().map(|(name, figure)| (name.as_str(), *figure)).collect();
            tell::run(row, judged, &sides);
        }
        Ok(())
    }

    /// The p99 of a verification while what a million earlier ones left behind expires, against that without.
    ///
    /// What they leave is that a user is known at a source over TCP. The logins that are timed come over the login
    /// socket, where every user is at home, so that both sides of the ratio do the same for each.
    pub(super) fn sweep(&mut self, row: &str) -> Result<()> {
        let (side, transport) = (Side::Volatile, Transport::Unix);
        let top = self.highest_rate(side, transport)?;
        let (rate, slice) = (top * f64::from(SHARES[0]) / 100.0, self.plan.slice * SWEEP_SLICES);
        for run in 0..SWEEPS.min(self.plan.runs) {
            tell::progress(&format!("{row}: turn {} of {}", run + 1, SWEEPS.min(self.plan.runs)));
            // Here all users become known again.
            let (server, keys) = self.side(side)?;
            let calm = server.open(keys, transport, rate, slice)?.tally;
            let before = [server.metric(EXPIRED)?, server.metric(SWEEPING)?];
            let swept = server.open_when_all_is_old(keys, transport, rate, slice)?.tally;
            let expired = server.metric(EXPIRED)? - before[0];
            // A sweep that was under way when the clock jumped took the jump too.
            let took_ms = (server.metric(SWEEPING)? - before[1]) / 1e3 % (SKIPPED.as_secs_f64() * 1e3);
            let users = keys.len() as f64;
            ensure!(
                expired >= users * 0.99,
                "only {expired} of {users} entries expired while others verified"
            );
            let [p99, p99_calm] = [&swept, &calm].map(|tally| tally.percentile_us(99.0));
            let sides = [
                ("p99 while entries expire, us", p99),
                ("p99 without, us", p99_calm),
                ("p50 while entries expire, us", swept.percentile_us(50.0)),
                ("p50 without, us", calm.percentile_us(50.0)),
                ("entries that expired, by /metrics", expired),
                ("time that sweeps took, ms", took_ms),
                ("arrivals/s", rate),
            ];
            tell::run(row, p99 / p99_calm, &sides);
        }
        Ok(())
    }

    fn highest_rate(&mut self, side: Side, transport: Transport) -> Result<f64> {
        let load = Load { side, transport, shape: Shape::Single };
        // The first turn warms up.
        self.turn(load, true)?;
        let rates = [0; 3].map(|_| self.turn(load, true).map(|slice| slice.rate()));
        let mut rates = rates.into_iter().collect::<Result<Vec<f64>>>()?;
        rates.sort_by(f64::total_cmp);
        Ok(rates[1])
    }

    fn wait_us(&mut self, side: Side, top: f64, share: u32, figures: &mut Vec<(String, f64)>) -> Result<f64> {
        let (rate, slice) = (top * f64::from(share) / 100.0, self.plan.slice);
        let (server, keys) = self.side(side)?;
        let tally = server.open(keys, Transport::Tcp, rate, slice)?.tally;
        let p99 = tally.percentile_us(99.0);
        let name = side.name();
        figures.push((format!("{name} at {share} %, arrivals/s"), rate));
        figures.push((format!("{name} at {share} %, p50 us"), tally.percentile_us(50.0)));
        figures.push((format!("{name} at {share} %, p99 us"), p99));
        Ok(p99)
    }
}

/// The 99th percentile of appending 4 KiB and waiting for the disk, while nothing else is measured.
fn sync_p99_us(dir: &Path) -> Result<f64> {
    let path = dir.join("sync");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let mut waits = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = now();
        file.write_all(&[0; 4_096])?;
        file.sync_data()?;
        waits.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    std::fs::remove_file(path)?;
    waits.sort_by(f64::total_cmp);
    Ok(waits[SYNCS * 99 / 100])
}
