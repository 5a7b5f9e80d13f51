//! Closed-loop rows: how many verifications a second one side does for each that another one does.

use anyhow::{Context as _, Result};

use super::{Bench, Load, Side};
use crate::load::Shape;
use crate::server::{Slice, Transport};
use crate::tell;

/// Requests that a connection has on its way when it pipelines.
const PIPELINED: usize = 16;

/// Requests that a connection has on its way over HTTP/2.
const STREAMS: usize = 16;

/// Items of a batch.
const BATCHED: usize = 100;

/// Runs in which sides that are not judged have a turn too, where there are many of them.
const TOLD_RUNS: u64 = 2;

/// A side that is told and not judged.
const LIKE_CODES: &str = "hello with as many bytes each way, requests/s";

/// What a row compares: the first load's rate over the second's.
fn loads(row: &str) -> Option<[Load; 2]> {
    use Transport::{Tcp, Unix};
    let load = |side, transport, shape| Load { side, transport, shape };
    let single = |side, transport| load(side, transport, Shape::Single);
    Some(match row {
        "http_tcp_over_hello" => [single(Side::Volatile, Tcp), single(Side::Hello, Tcp)],
        "http_uds_over_hello" => [single(Side::Volatile, Unix), single(Side::Hello, Unix)],
        "durable_tcp_over_hello" => [single(Side::Durable, Tcp), single(Side::Hello, Tcp)],
        "durable_uds_over_hello" => [single(Side::Durable, Unix), single(Side::Hello, Unix)],
        "batch_over_single" => {
            [load(Side::Volatile, Tcp, Shape::Batch(BATCHED)), single(Side::Volatile, Tcp)]
        }
        "multiplexed_over_single" => {
            [load(Side::Durable, Tcp, Shape::Batch(BATCHED)), single(Side::Durable, Tcp)]
        }
        _ => return None,
    })
}

impl Bench {
    pub(super) fn throughput(&mut self, row: &str) -> Result<()> {
        let loads = loads(row).with_context(|| format!("{row} is no row of a server"))?;
        for run in 0..=self.plan.runs {
            tell::progress(&format!("{row}: turn {run} of {}", self.plan.runs));
            let mut order = [0, 1];
            if !run.is_multiple_of(2) {
                order.reverse();
            }
            let mut slices: [Option<Slice>; 2] = [None, None];
            for index in order {
                slices[index] = Some(self.turn(loads[index], true)?);
            }
            let [Some(one), Some(other)] = slices else { continue };
            if run > 0 {
                let names = loads.map(Load::name);
                let figure = |index: usize, what: &str| format!("{}, {what}", names[index]);
                let (rates, costs) = ("verifications/s", "server CPU us each");
                let texts = [figure(0, rates), figure(1, rates), figure(0, costs), figure(1, costs)];
                let values = [one.rate(), other.rate(), one.server_cpu_us, other.server_cpu_us];
                let mut sides: Vec<(String, f64)> = texts.into_iter().zip(values).collect();
                if loads[1].side == Side::Hello {
                    sides.push((LIKE_CODES.to_owned(), self.hello_like_codes(loads[1].transport)?));
                }
                if row == "multiplexed_over_single" && run <= TOLD_RUNS {
                    sides.extend(self.multiplexed_otherwise()?);
                }
                let sides: Vec<(&str, f64)> =
                    sides.iter().map(|(name, figure)| (name.as_str(), *figure)).collect();
                tell::run(row, one.rate() / other.rate(), &sides);
            }
        }
        Ok(())
    }

    /// Rates of all sides where requests share a connection: told, not judged.
    fn multiplexed_otherwise(&mut self) -> Result<Vec<(String, f64)>> {
        let mut rates = Vec::new();
        for shape in [Shape::Pipelined(PIPELINED), Shape::Streams(STREAMS)] {
            for side in [Side::Hello, Side::Volatile, Side::Durable] {
                let load = Load { side, transport: Transport::Tcp, shape };
                rates.push((format!("{}, requests/s", load.name()), self.turn(load, false)?.rate()));
            }
        }
        Ok(rates)
    }

    /// The rate of a hello that is sent as many bytes as a verification and answers with as many.
    fn hello_like_codes(&mut self, transport: Transport) -> Result<f64> {
        let slice = self.plan.slice / 2;
        let (server, keys) = self.side(Side::Hello)?;
        server.set_like_codes(true);
        let slice = server.closed(keys, transport, Shape::Single, slice);
        server.set_like_codes(false);
        Ok(slice?.rate())
    }
}
