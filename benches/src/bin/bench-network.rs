//! Measures the rows that need a server, in processes of its own. Prints one line of JSON for each run.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use benches::network::{Bench, Plan};
use benches::tell;
use clap::Parser;

/// The client allocates little, but what it does should not count.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the rows that need a server.
#[derive(Parser)]
struct Arguments {
    /// Rows, divided by commas.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// How often each side of a row has its turn.
    #[arg(long, default_value_t = 5)]
    runs: u64,
    /// How long a turn takes, in milliseconds.
    #[arg(long, default_value_t = 3_000)]
    slice_ms: u64,
    /// Size of the population: a power of ten.
    #[arg(long, default_value_t = 1_000_000)]
    users: u64,
    /// Where stores are made; on a disk.
    #[arg(long)]
    dir: PathBuf,
    /// A virtual environment of Python with privacyIDEA and gunicorn, for the row that asks it.
    #[arg(long)]
    privacyidea: Option<PathBuf>,
    /// Profile the servers, and write what was found to this file.
    #[arg(long)]
    profile: Option<PathBuf>,
    /// Give all sides a real-time priority where waits are not measured; needs root.
    #[arg(long)]
    raise: bool,
}

fn main() -> Result<()> {
    let Arguments { rows, runs, slice_ms, users, dir, privacyidea, profile, raise } = Arguments::parse();
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let slice = Duration::from_millis(slice_ms);
    let mut bench = Bench::new(Plan { runs, slice, users, dir: dir.clone(), may_raise: raise, privacyidea });
    for row in rows {
        if let Err(error) = bench.measure(&row) {
            tell::missing(&row, &format!("{error:#}"));
        }
    }
    if let Some(file) = profile {
        bench.profile(&file)?;
    }
    drop(bench);
    std::fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())
}
