//! Closed-loop rows: how many verifications a second one side does for each that another one does.

use anyhow::{Context as _, Result};

use super::{Bench, Side};
use crate::load::Shape;
use crate::server::{Slice, Transport};
use crate::tell;

/// Requests that a connection has on its way when it pipelines.
const PIPELINED: usize = 16;

/// Items of a batch.
const BATCHED: usize = 100;

/// A side that is told and not judged.
const LIKE_CODES: &str = "hello with as many bytes each way, requests/s";

/// One side of a row.
#[derive(Clone, Copy, Debug)]
struct Load {
    side: Side,
    transport: Transport,
    shape: Shape,
}

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
        "pipelined_over_single" => {
            [load(Side::Durable, Tcp, Shape::Pipelined(PIPELINED)), single(Side::Durable, Tcp)]
        }
        _ => return None,
    })
}

impl Load {
    fn name(self) -> String {
        let shape = match self.shape {
            Shape::Single => "one at a time".to_owned(),
            Shape::Pipelined(count) => format!("{count} pipelined"),
            Shape::Batch(count) => format!("batches of {count}"),
        };
        let transport = match self.transport {
            Transport::Tcp => "TCP",
            Transport::Unix => "Unix socket",
        };
        format!("{}, {transport}, {shape}", self.side.name())
    }
}

impl Bench {
    pub(super) fn throughput(&mut self, row: &str) -> Result<()> {
        let loads = loads(row).with_context(|| format!("{row} is no row of a server"))?;
        for run in 0..=self.plan.runs {
            let mut order = [0, 1];
            if !run.is_multiple_of(2) {
                order.reverse();
            }
            let mut slices: [Option<Slice>; 2] = [None, None];
            for index in order {
                slices[index] = Some(self.turn(loads[index])?);
            }
            let [Some(one), Some(other)] = slices else { continue };
            if run > 0 {
                let names = loads.map(Load::name);
                let figure = |index: usize, what: &str| format!("{}, {what}", names[index]);
                let (rates, costs) = ("verifications/s", "server CPU us each");
                let texts = [figure(0, rates), figure(1, rates), figure(0, costs), figure(1, costs)];
                let values = [one.rate(), other.rate(), one.server_cpu_us, other.server_cpu_us];
                let mut sides: Vec<(&str, f64)> = texts.iter().map(String::as_str).zip(values).collect();
                if loads[1].side == Side::Hello {
                    sides.push((LIKE_CODES, self.hello_like_codes(loads[1].transport)?));
                }
                tell::run(row, one.rate() / other.rate(), &sides);
            }
        }
        Ok(())
    }

    /// The rate of a hello that is sent as many bytes as a verification and answers with as many.
    fn hello_like_codes(&mut self, transport: Transport) -> Result<f64> {
        let slice = self.plan.slice;
        let (server, keys) = self.side(Side::Hello)?;
        server.set_like_codes(true);
        let slice = server.closed(keys, transport, Shape::Single, slice);
        server.set_like_codes(false);
        Ok(slice?.rate())
    }

    fn turn(&mut self, load: Load) -> Result<Slice> {
        let slice = self.plan.slice;
        let (server, keys) = self.side(load.side)?;
        server.closed(keys, load.transport, load.shape, slice).with_context(|| load.name())
    }
}
