//! The command line of `run`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use wire::verify::BATCH_ITEMS_MAX;

use super::{CONNECTIONS_MAX, COUNT_MAX, ReportArgs};
use crate::ask::Way;
use crate::embedded::Over;
use crate::load::{Mix, Profile, Spacing};
use crate::target::Protocol;

/// Most requests on their way on one connection: what `verifierd` allows with HTTP/2.
const IN_FLIGHT_MAX: i64 = 256;

/// Longest run: a day.
const SECONDS_MAX: i64 = 86_400;

/// Most threads: more than any machine that the other side would not be the bottleneck of.
const THREADS_MAX: i64 = 64;

/// Settings of `run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// How the rate goes up and down, and what is sent.
    #[arg(value_enum, default_value = "steady")]
    pub profile: Profile,

    /// Start a verifierd of our own in a temporary folder, with users of our own, and ask that one. Needs root.
    #[arg(long, help_heading = "Whom to ask")]
    pub embedded: bool,
    /// The verifierd to start; the one beside this program when absent.
    #[arg(long, value_name = "PATH", requires = "embedded", help_heading = "Whom to ask")]
    pub verifierd: Option<PathBuf>,
    /// What carries the requests to a verifierd of our own.
    #[arg(long, value_enum, requires = "embedded", default_value = "unix", help_heading = "Whom to ask")]
    pub over: Over,
    /// Where to ask: unix:/PATH, http://HOST:PORT or https://HOST:PORT; the socket of --socket when absent.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "embedded", help_heading = "Whom to ask")]
    pub to: Option<String>,
    /// PEM file with the authorities that may have signed the verifier's certificate.
    #[arg(long, value_name = "FILE", help_heading = "Whom to ask")]
    pub ca: Option<PathBuf>,
    /// File with the key of the API listener: 64 hexadecimal digits.
    #[arg(long, value_name = "FILE", help_heading = "Whom to ask")]
    pub key_file: Option<PathBuf>,
    /// Speak HTTP/2, without TLS by prior knowledge.
    #[arg(long, help_heading = "Whom to ask")]
    pub http2: bool,

    /// Go through the login dialogue, two requests for each code, as the PAM module does; else by /v1/verify.
    #[arg(long, conflicts_with_all = ["batch", "pam"], help_heading = "How to ask")]
    pub dialogue: bool,
    /// Codes in each request; more than one go by /v1/verify/batch.
    #[arg(
        long, value_name = "N", default_value_t = 1, help_heading = "How to ask",
        value_parser = clap::value_parser!(u32).range(1..=BATCH_ITEMS_MAX as i64)
    )]
    pub batch: u32,
    /// Log in through PAM and the real module, with a process for each login and as many at once as connections.
    #[arg(long, conflicts_with_all = ["batch", "embedded", "to", "http2"], help_heading = "How to ask")]
    pub pam: bool,
    /// The program that logs in: `PROGRAM SERVICE USER authenticate`, with the code on standard input.
    #[arg(
        long,
        value_name = "PATH",
        default_value = "pamtester",
        requires = "pam",
        help_heading = "How to ask"
    )]
    pub pam_program: PathBuf,

    /// Requests in a second at the profile's full height. Codes are counted, also in batches.
    #[arg(long, value_name = "N", default_value_t = 500, help_heading = "How much",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// How long, in seconds.
    #[arg(long, value_name = "N", default_value_t = 60, help_heading = "How much",
        value_parser = clap::value_parser!(u32).range(1..=SECONDS_MAX))]
    pub seconds: u32,
    /// How requests of the open loop follow one another.
    #[arg(long, value_enum, default_value = "poisson", help_heading = "How much")]
    pub arrivals: Spacing,
    /// Send the next request when the answer to the last one is there, as fast as it goes: a closed loop. Takes the
    /// profile's mix, not its curve.
    #[arg(long, conflicts_with_all = ["rate", "arrivals"], help_heading = "How much")]
    pub closed: bool,
    /// Connections.
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = "How much",
        value_parser = clap::value_parser!(u32).range(1..=CONNECTIONS_MAX))]
    pub connections: u32,
    /// Requests on their way on each connection; more than one need --http2.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "How much",
        value_parser = clap::value_parser!(u32).range(1..=IN_FLIGHT_MAX))]
    pub in_flight: u32,
    /// Threads of this program; one for each core when absent.
    #[arg(long, value_name = "N", help_heading = "How much",
        value_parser = clap::value_parser!(u32).range(1..=THREADS_MAX))]
    pub threads: Option<u32>,

    /// File with the users, from `loadtest enrol`. Counters of tokens that count presses are written back to it.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "embedded",
        conflicts_with = "embedded",
        help_heading = "Who and what"
    )]
    pub secrets: Option<PathBuf>,
    /// How many users: as many are made with --embedded (1,000 when absent), or the first of the file are taken.
    #[arg(long, value_name = "N", help_heading = "Who and what",
        value_parser = clap::value_parser!(u32).range(1..=COUNT_MAX))]
    pub users: Option<u32>,
    /// How many of 100 users made with --embedded count presses (HOTP).
    #[arg(long, value_name = "P", default_value_t = 50, requires = "embedded", help_heading = "Who and what",
        value_parser = clap::value_parser!(u8).range(0..=100))]
    pub hotp_percent: u8,
    /// How many of 100 requests replay a code, instead of what the profile says.
    #[arg(long, value_name = "P", help_heading = "Who and what",
        value_parser = clap::value_parser!(u8).range(0..=99))]
    pub replay_percent: Option<u8>,
    /// How many of 100 requests are wrong, instead of what the profile says.
    #[arg(long, value_name = "P", help_heading = "Who and what",
        value_parser = clap::value_parser!(u8).range(0..=99))]
    pub wrong_percent: Option<u8>,
    /// When the verifier will be out of reach, in seconds of the run: refusals and silence are no miscounts then.
    /// With outage-and-return of a verifier that is not ours.
    #[arg(long, value_name = "FROM-UNTIL", value_parser = parse_outage, conflicts_with = "embedded",
        help_heading = "Who and what")]
    pub outage: Option<(u32, u32)>,
    /// Repeats the choices of a run; drawn anew when absent.
    #[arg(long, value_name = "N", help_heading = "Who and what")]
    pub seed: Option<u64>,

    /// Write a page with plots, which needs no network.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Append one line of JSON for each reply, before it is counted.
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// What every measured run takes.
    #[command(flatten)]
    pub report: ReportArgs,
}

impl RunArgs {
    /// How long.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// Which HTTP is spoken.
    pub fn protocol(&self) -> Protocol {
        if self.http2 { Protocol::Http2 } else { Protocol::Http1 }
    }

    /// How codes are submitted.
    pub fn way(&self) -> Way {
        match (self.pam, self.dialogue) {
            (true, _) => Way::Pam(self.pam_program.clone()),
            (false, true) => Way::Dialogue,
            (false, false) => Way::Verify,
        }
    }

    /// What is sent: the profile's mix, or what was asked for instead.
    ///
    /// # Errors
    /// When nothing is left for valid codes.
    pub fn mix(&self) -> Result<Mix> {
        let own = self.profile.mix();
        let (replay, wrong) =
            (self.replay_percent.unwrap_or(own.replay), self.wrong_percent.unwrap_or(own.wrong));
        let mix = Mix::of(replay, wrong)?;
        Ok(Mix { copies_at_once: own.copies_at_once, strangers: own.strangers, ..mix })
    }

    /// Settings that need one another.
    ///
    /// # Errors
    /// Names what does not go together, and what would.
    pub fn check(&self) -> Result<()> {
        let takes_turns = self.in_flight == 1 || self.http2;
        ensure!(takes_turns, "--in-flight {}: HTTP/1.1 has one at a time; add --http2", self.in_flight);
        let is_network = (self.embedded && self.over != Over::Unix)
            || self.to.as_ref().is_some_and(|to| to.starts_with("http"));
        ensure!(!(self.dialogue && is_network), "--dialogue: the login dialogue is on the Unix socket only");
        let lasts = self.profile.outage().is_none() || self.embedded || self.outage.is_some();
        ensure!(lasts, "outage-and-return: state --outage FROM-UNTIL, or use --embedded");
        Ok(())
    }
}

fn parse_outage(text: &str) -> Result<(u32, u32)> {
    let (from, until) = text.split_once('-').context("two numbers with a hyphen are right, such as 20-45")?;
    let number =
        |text: &str| text.parse::<u32>().context("two numbers with a hyphen are right, such as 20-45");
    let (from, until) = (number(from)?, number(until)?);
    ensure!(from < until, "it ends before it begins");
    Ok((from, until))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    #[track_caller]
    fn check(line: &str, expected: Result<(), &str>) {
        let parsed = Args::try_parse_from(format!("loadtest run {line}").split_whitespace());
        let checked = parsed.map_err(anyhow::Error::from).and_then(|args| match args.command {
            Command::Run(run) => run.check().and_then(|()| run.mix().map(|_| ())),
            other => panic!("{other:?}"),
        });
        match (checked, expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{line}: {error}"),
            (checked, _) => panic!("{line}: {checked:?}"),
        }
    }

    #[test]
    fn what_belongs_together_is_demanded_and_what_does_not_is_refused() {
        check("--embedded", Ok(()));
        check("morning-rush --embedded --rate 2000 --seconds 30 --users 500", Ok(()));
        check("--secrets s --to https://h:1 --ca c --key-file k --http2 --in-flight 8 --batch 100", Ok(()));
        check("--secrets s --pam --service login", Ok(()));
        check("", Err("--secrets"));
        check("--embedded --secrets s", Err("cannot be used with"));
        check("--embedded --in-flight 2", Err("add --http2"));
        check("--embedded --batch 257", Err("257"));
        check("--embedded --over tcp --dialogue", Err("on the Unix socket only"));
        check("--embedded --closed --rate 5", Err("cannot be used with"));
        check("--embedded --replay-percent 60 --wrong-percent 40", Err("nothing for valid codes"));
    }

    #[test]
    fn an_outage_is_made_or_stated() {
        check("outage-and-return --embedded", Ok(()));
        check("outage-and-return --secrets s --outage 20-45", Ok(()));
        check("outage-and-return --secrets s", Err("state --outage"));
        check("--secrets s --outage 45-20", Err("ends before it begins"));
        check("--secrets s --outage 45", Err("two numbers with a hyphen"));
    }
}
