//! FreeRADIUS with `rlm_totp`: the same users and secrets, asked with PAP over UDP (RFC 2865).
//!
//! It runs on the machine's own clock, so its turns wait for a time step with enough time left. It remembers no used
//! code: ten thousand users are let in as often as they like.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Barrier;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use md5::{Digest as _, Md5};
use otp_core::OtpKey;

use super::{Bench, Side};
use crate::clock::{STEP_SECONDS, now, unix_now};
use crate::load::{CONNECTIONS, Shape, THREADS, Tally};
use crate::population::{name, secret};
use crate::server::{Transport, end, ending_with_us};
use crate::tell;

/// Users in its file.
const USERS: u64 = 10_000;

/// What hides passwords on the way.
const SHARED: &[u8] = b"bench";

/// Where it listens.
const ADDRESS: &str = "127.0.0.1:18120";

/// Longest wait for one reply before the row fails.
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests made beforehand for each second of a turn: more than it was ever seen to answer.
const REQUESTS_PER_SECOND: f64 = 150_000.0;

/// Access-Request and Access-Accept.
const REQUEST: u8 = 1;
const ACCEPT: u8 = 2;

/// The server, ended when dropped.
#[derive(Debug)]
pub struct Radius {
    child: Child,
}

impl Bench {
    /// Both rows: one at a time against it, and batches against it.
    pub(super) fn over_radius(&mut self, row: &str) -> Result<()> {
        let shape = match row {
            "over_freeradius" => Shape::Single,
            "multiplexed_over_freeradius" => Shape::Batch(100),
            _ => bail!("{row} is no row of a RADIUS server"),
        };
        let _radius = Radius::start(&self.plan.dir.join("radius"))?;
        let slice = self.plan.slice;
        for run in 0..=self.plan.runs {
            tell::progress(&format!("{row}: turn {run} of {}", self.plan.runs));
            let mut rates = [0.0; 2];
            for side in if run.is_multiple_of(2) { [0, 1] } else { [1, 0] } {
                rates[side] = if side == 0 {
                    let (server, keys) = self.side(Side::Durable)?;
                    server.closed(keys, Transport::Tcp, shape, slice)?.rate()
                } else {
                    let tally = load(&self.keys, slice).context("freeradius")?;
                    ensure!(tally.bad == 0, "freeradius refused {} right codes", tally.bad);
                    tally.rate()
                };
            }
            if run > 0 {
                let sides =
                    [("durable, TCP, verifications/s", rates[0]), ("freeradius, UDP, requests/s", rates[1])];
                tell::run(row, rates[0] / rates[1], &sides);
            }
        }
        Ok(())
    }
}

impl Radius {
    fn start(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let users: String = (0..USERS)
            .map(|number| {
                let name = name(number);
                format!("{name} TOTP-Secret := \"{}\"\n", *secret(&name).to_base32())
            })
            .collect();
        fs::write(dir.join("users"), users)?;
        fs::write(dir.join("radiusd.conf"), configuration(dir))?;
        let log = fs::File::create(dir.join("log"))?;
        let mut command = ending_with_us("freeradius");
        command.args(["-f", "-n", "radiusd", "-l", "stdout", "-d"]).arg(dir);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let radius = Self { child: command.spawn().context("freeradius")? };
        radius.wait_until_it_answers().with_context(|| {
            let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
            format!("freeradius: {}", log.lines().last().unwrap_or("it said nothing"))
        })?;
        Ok(radius)
    }

    /// It has no sign of being ready but its answer.
    fn wait_until_it_answers(&self) -> Result<()> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(ADDRESS)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let (begun, mut reply) = (now(), [0; 4_096]);
        while begun.elapsed() < PATIENCE {
            let key = crate::population::key(0);
            let asked = request(0, 0, &name(0), &key.value(unix_now() / STEP_SECONDS).expose());
            // Nobody listens yet where this fails.
            if socket.send(&asked).is_ok() && socket.recv(&mut reply).is_ok() {
                return Ok(());
            }
        }
        bail!("it does not answer")
    }
}

impl Drop for Radius {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The least that it needs: a file of users, PAP, and the module. Two threads serve on two cores; replies are
/// forgotten at once, as nobody asks twice.
fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    let shared = str::from_utf8(SHARED).expect("letters");
    let (address, port) = ADDRESS.split_once(':').expect("an address and a port");
    format!(
        "prefix = /usr
libdir = /usr/lib/freeradius
logdir = {dir}
run_dir = {dir}
max_requests = 65536
cleanup_delay = 0
client bench {{
    ipaddr = 127.0.0.1
    secret = {shared}
}}
thread pool {{
    start_servers = {THREADS}
    max_servers = {THREADS}
    min_spare_servers = 1
    max_spare_servers = {THREADS}
}}
modules {{
    files {{
        filename = {dir}/users
    }}
    totp {{
    }}
}}
server default {{
    listen {{
        type = auth
        ipaddr = {address}
        port = {port}
    }}
    authorize {{
        files
        update request {{
            TOTP-Password := \"%{{User-Password}}\"
        }}
        update control {{
            Auth-Type := totp
        }}
    }}
    authenticate {{
        Auth-Type totp {{
            totp
        }}
    }}
}}
"
    )
}

/// Closed loop: as many requests in flight as our own client has.
fn load(keys: &[OtpKey], duration: Duration) -> io::Result<Tally> {
    let step = step_with_time_left(duration);
    let ready = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        let ready = &ready;
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || load_one(thread, keys, step, ready, duration)))
            .collect();
        threads.into_iter().try_fold(Tally::default(), |all, thread| {
            let one = thread.join().expect("a client's thread")?;
            Ok(Tally {
                good: all.good + one.good,
                bad: all.bad + one.bad,
                took: all.took.max(one.took),
                ..all
            })
        })
    })
}

/// The present time step, once it lasts longer than a turn and the making of its requests.
fn step_with_time_left(duration: Duration) -> u64 {
    let needed = duration.as_secs() + 5;
    while unix_now() % STEP_SECONDS > STEP_SECONDS.saturating_sub(needed) {
        // Nothing tells when a second has passed.
        std::thread::park_timeout(Duration::from_millis(100));
    }
    unix_now() / STEP_SECONDS
}

fn load_one(
    thread: usize,
    keys: &[OtpKey],
    step: u64,
    ready: &Barrier,
    duration: Duration,
) -> io::Result<Tally> {
    let users = USERS.min(keys.len() as u64);
    let codes: Vec<(String, String)> = (0..users)
        .map(|number| {
            let key = &keys[usize::try_from(number).expect("an index")];
            (name(number), key.value(step).expose().to_string())
        })
        .collect();
    let count = (REQUESTS_PER_SECOND * duration.as_secs_f64()) as usize / THREADS;
    let requests: Vec<Vec<u8>> = (0..count)
        .map(|index| {
            let (user, code) = &codes[(index * THREADS + thread) % codes.len()];
            request(0, (index * THREADS + thread) as u64, user, code)
        })
        .collect();
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(ADDRESS)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let (mut requests, mut tally, mut reply) = (requests.into_iter(), Tally::default(), [0; 4_096]);
    // An id comes again only after its reply, and as late as can be.
    let mut ids: VecDeque<u8> = (0..=u8::MAX).collect();
    let mut send = |ids: &mut VecDeque<u8>| -> io::Result<usize> {
        let (Some(mut request), Some(id)) = (requests.next(), ids.pop_front()) else { return Ok(0) };
        request[1] = id;
        socket.send(&request)?;
        Ok(1)
    };
    ready.wait();
    let begun = now();
    let mut in_flight = 0;
    for _ in 0..CONNECTIONS / THREADS {
        in_flight += send(&mut ids)?;
    }
    while in_flight > 0 {
        socket.recv(&mut reply)?;
        in_flight -= 1;
        ids.push_back(reply[1]);
        if begun.elapsed() < duration {
            tally.good += u64::from(reply[0] == ACCEPT);
            tally.bad += u64::from(reply[0] != ACCEPT);
            tally.took = begun.elapsed();
            in_flight += send(&mut ids)?;
        }
    }
    Ok(tally)
}

/// An Access-Request with a hidden password (RFC 2865 §3, §5.1, §5.2).
///
/// * `number`: makes its authenticator unlike every other.
fn request(id: u8, number: u64, user: &str, password: &str) -> Vec<u8> {
    const PASSWORD_BYTES: usize = 16;
    let mut authenticator = [0x5a; 16];
    authenticator[..8].copy_from_slice(&number.to_be_bytes());
    let mask = Md5::new().chain_update(SHARED).chain_update(authenticator).finalize();
    let mut hidden = [0; PASSWORD_BYTES];
    hidden[..password.len()].copy_from_slice(password.as_bytes());
    hidden.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    let mut attributes = attribute(1, user.as_bytes());
    attributes.extend(attribute(2, &hidden));
    let length = u16::try_from(20 + attributes.len()).expect("a short packet").to_be_bytes();
    [&[REQUEST, id], &length[..], &authenticator, &attributes].concat()
}

fn attribute(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len() + 2).expect("a short attribute");
    [&[kind, length], value].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_form_of_the_standard() {
        let packet = request(7, 1, "u0000001", "123456");
        assert_eq!((packet[0], packet[1]), (1, 7));
        assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), packet.len());
        assert_eq!(&packet[20..30], b"\x01\x0au0000001");
        assert_eq!((packet[30], packet[31], packet.len()), (2, 18, 48));
        let mask = Md5::new().chain_update(SHARED).chain_update(&packet[4..20]).finalize();
        let shown: Vec<u8> = packet[32..].iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(&shown[..], b"123456\0\0\0\0\0\0\0\0\0\0");
    }
}
