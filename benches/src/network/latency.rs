//! Open-loop rows: the 99th percentile of the wait, at a share of what a closed loop reaches.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;

use super::{Bench, Side};
use crate::clock::now;
use crate::load::Shape;
use crate::server::Transport;
use crate::tell;

/// Shares of the highest rate; only the first is judged.
const SHARES: [u32; 3] = [50, 80, 90];

/// Syncs of a small append, for their own percentile.
const SYNCS: usize = 400;

/// Entries that are to expire while others verify.
const EXPIRING: f64 = 1_000_000.0;

impl Bench {
    /// The p99 of a durable verification against that of a hello, each at shares of its own highest rate.
    pub(super) fn tail(&mut self, row: &str) -> Result<()> {
        let tops = [self.highest_rate(Side::Durable)?, self.highest_rate(Side::Hello)?];
        for _ in 0..self.plan.runs {
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
    pub(super) fn sweep(&mut self, row: &str) -> Result<()> {
        let top = self.highest_rate(Side::Volatile)?;
        for _ in 0..self.plan.runs {
            self.leave_entries()?;
            let calm = self.wait_us(Side::Volatile, top, SHARES[0], &mut Vec::new())?;
            let (server, keys) = self.side(Side::Volatile)?;
            server.age(keys)?;
            let swept = self.wait_us(Side::Volatile, top, SHARES[0], &mut Vec::new())?;
            let sides = [("p99 while entries expire, us", swept), ("p99 without, us", calm)];
            tell::run(row, swept / calm, &sides);
        }
        Ok(())
    }

    /// Verifies a million codes, each of which is remembered for a while.
    fn leave_entries(&mut self) -> Result<()> {
        let slice = self.plan.slice;
        let mut left = EXPIRING.min(self.plan.users as f64);
        let (server, keys) = self.side(Side::Volatile)?;
        while left > 0.0 {
            left -= server.closed(keys, Transport::Tcp, Shape::Single, slice)?.tally.good as f64;
        }
        Ok(())
    }

    fn highest_rate(&mut self, side: Side) -> Result<f64> {
        let slice = self.plan.slice;
        let (server, keys) = self.side(side)?;
        // The first slice warms up.
        server.closed(keys, Transport::Tcp, Shape::Single, slice)?;
        let rates = [0; 3]
            .map(|_| server.closed(keys, Transport::Tcp, Shape::Single, slice).map(|slice| slice.rate()));
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
