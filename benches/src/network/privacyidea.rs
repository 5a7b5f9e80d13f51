//! privacyIDEA: a hundred of the same users, asked at `/validate/check`, with two workers of gunicorn and SQLite.
//!
//! Their tokens are HOTP, so that a user can log in again and again without waiting for a time step. It is tuned as its
//! manual says: warnings alone in the log, connections to the database shared, replies not signed.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use otp_core::OtpKey;

use super::{Bench, Load, Side};
use crate::clock::now;
use crate::load::{Shape, Tally};
use crate::population::{key, name, secret};
use crate::server::{Transport, end, ending_with_us};
use crate::tell;

/// Users in its database.
const USERS: u64 = 100;

/// Requests on their way at once, each on a thread of the client.
const IN_FLIGHT: usize = 8;

/// Processes that serve: one for each core of a small machine.
const WORKERS: &str = "2";

/// Where it listens.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 18_180);

/// Longest wait for one reply, and for the first one, which loads everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// How an accepted code stands in its reply.
const ACCEPTED: &str = "\"value\": true";

/// The running server, ended when dropped.
struct PrivacyIdea {
    child: Child,
    people: Vec<Person>,
}

/// A user and the counter of the next code.
struct Person {
    name: String,
    key: OtpKey,
    counter: u64,
}

impl Bench {
    /// One at a time on our side, eight at once on the other.
    pub(super) fn over_privacyidea(&mut self, row: &str) -> Result<()> {
        let installed = self.plan.privacyidea.clone().context("privacyIDEA is not installed")?;
        tell::progress("starting privacyIDEA");
        let mut other = PrivacyIdea::start(&installed, &self.plan.dir.join("privacyidea"))?;
        let ours = Load { side: Side::Durable, transport: Transport::Tcp, shape: Shape::Single };
        // It answers some dozens a second: a short turn would count too few.
        let duration = self.plan.slice.max(Duration::from_secs(2));
        for run in 0..=self.plan.runs {
            tell::progress(&format!("{row}: turn {run} of {}", self.plan.runs));
            let mut rates = [0.0; 2];
            for side in if run.is_multiple_of(2) { [0, 1] } else { [1, 0] } {
                rates[side] = if side == 0 {
                    self.turn(ours, true)?.rate()
                } else {
                    let tally = other.load(duration).context("privacyIDEA")?;
                    let told = tally.first_bad.as_deref().unwrap_or_default();
                    ensure!(tally.bad == 0, "privacyIDEA refused {} right codes: {told}", tally.bad);
                    tally.rate()
                };
            }
            if run > 0 {
                let sides =
                    [("durable, TCP, verifications/s", rates[0]), ("privacyIDEA, verifications/s", rates[1])];
                tell::run(row, rates[0] / rates[1], &sides);
            }
        }
        Ok(())
    }
}

impl PrivacyIdea {
    /// * `installed`: a virtual environment with `privacyidea` and `gunicorn`.
    /// * `dir`: for its database, keys and log.
    fn start(installed: &Path, dir: &Path) -> Result<Self> {
        set_up(&installed.join("bin/pi-manage"), dir)?;
        let log = fs::File::create(dir.join("gunicorn.log"))?;
        let mut command = ending_with_us(installed.join("bin/gunicorn"));
        command.args(["--workers", WORKERS, "--log-level", "warning", "--timeout", "120"]);
        command.args(["--bind", &ADDRESS.to_string(), "wsgi:application"]);
        command.current_dir(dir).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("gunicorn")?;
        let people = (0..USERS).map(|user| Person { name: name(user), key: key(user), counter: 0 });
        let mut server = Self { child, people: people.collect() };
        server.wait_until_it_answers().with_context(|| {
            let log = fs::read_to_string(dir.join("gunicorn.log")).unwrap_or_default();
            format!("privacyIDEA: {}", log.lines().last().unwrap_or("it said nothing"))
        })?;
        Ok(server)
    }

    /// It has no sign of being ready but its answer. A first round also fills its caches in both workers.
    fn wait_until_it_answers(&mut self) -> Result<()> {
        let begun = now();
        while TcpStream::connect(ADDRESS).is_err() {
            ensure!(begun.elapsed() < PATIENCE, "it does not listen");
            // Nothing tells when it does.
            std::thread::park_timeout(Duration::from_millis(100));
        }
        // The first replies take seconds, while it loads the rest of itself.
        loop {
            let tally = self.load(Duration::from_secs(2))?;
            let told = tally.first_bad.unwrap_or_default();
            ensure!(tally.bad == 0, "it refused {} right codes: {told}", tally.bad);
            if tally.good > 0 {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "it answers too slowly");
        }
    }

    /// Closed loop: each thread has users of its own, and asks again as soon as it is answered.
    fn load(&mut self, duration: Duration) -> io::Result<Tally> {
        let share = self.people.len().div_ceil(IN_FLIGHT);
        let ready = Barrier::new(self.people.len().div_ceil(share));
        std::thread::scope(|scope| {
            let ready = &ready;
            let shares = self.people.chunks_mut(share);
            let threads: Vec<_> =
                shares.map(|people| scope.spawn(move || load_one(people, ready, duration))).collect();
            threads.into_iter().try_fold(Tally::default(), |mut all, thread| {
                all.add(&thread.join().expect("a client's thread")?);
                Ok(all)
            })
        })
    }
}

impl Drop for PrivacyIdea {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Makes keys, database, users and tokens with its own tool.
fn set_up(manage: &Path, dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    let here = dir.display();
    fs::write(dir.join("pi.cfg"), configuration(dir))?;
    let wsgi = format!(
        "from privacyidea.app import create_app\n\
         application = create_app(config_name='production', config_file='{here}/pi.cfg', silent=True)\n"
    );
    fs::write(dir.join("wsgi.py"), wsgi)?;
    fs::write(dir.join("resolver"), format!("{{'fileName': '{here}/passwd'}}\n"))?;
    let names = || (0..USERS).map(name);
    let people = names().map(|name| format!("{name}:x:30000:30000:{name},,,:/:/usr/sbin/nologin\n"));
    fs::write(dir.join("passwd"), people.collect::<String>())?;
    let token = |name: String| {
        let secret: String = secret(&name).expose().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{name},passwd,bench,{name},{secret},hotp,6,0\n")
    };
    let tokens: String = names().map(token).collect();
    fs::write(dir.join("tokens.csv"), format!("# version: 2\n{tokens}"))?;
    for arguments in [
        &["setup", "create_enckey"][..],
        &["setup", "create_audit_keys"],
        &["setup", "create_tables"],
        &["config", "resolver", "create", "passwd", "passwdresolver", "resolver"],
        &["config", "realm", "create", "bench", "passwd"],
        &["token", "import", "tokens.csv"],
    ] {
        let mut command = Command::new(manage);
        command.args(arguments).current_dir(dir).env("PRIVACYIDEA_CONFIGFILE", dir.join("pi.cfg"));
        let output = command.stdin(Stdio::null()).output().context("pi-manage")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().last().unwrap_or("it said nothing");
        ensure!(output.status.success(), "pi-manage {}: {said}", arguments.join(" "));
    }
    Ok(())
}

fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "SUPERUSER_REALM = []
SQLALCHEMY_DATABASE_URI = 'sqlite:///{dir}/database'
SECRET_KEY = 'bench'
PI_PEPPER = 'bench'
PI_ENCFILE = '{dir}/enckey'
PI_AUDIT_KEY_PRIVATE = '{dir}/private.pem'
PI_AUDIT_KEY_PUBLIC = '{dir}/public.pem'
PI_LOGFILE = '{dir}/log'
PI_LOGLEVEL = 30
PI_ENGINE_REGISTRY_CLASS = 'shared'
PI_NO_RESPONSE_SIGN = True
"
    )
}

fn load_one(people: &mut [Person], ready: &Barrier, duration: Duration) -> io::Result<Tally> {
    let mut tally = Tally::default();
    ready.wait();
    let begun = now();
    for person in (0..people.len()).cycle() {
        let person = &mut people[person];
        let reply = ask(person)?;
        // Codes that were asked about are used up, in time or not.
        person.counter += 1;
        if begun.elapsed() >= duration {
            break;
        }
        tally.count(usize::from(reply.contains(ACCEPTED)), 1, || reply);
        tally.took = begun.elapsed();
    }
    Ok(tally)
}

/// Its workers end the connection with the reply, as gunicorn's do.
fn ask(person: &Person) -> io::Result<String> {
    let code = person.key.value(person.counter);
    let body = format!("user={}&realm=bench&pass={}", person.name, code.expose().as_str());
    let head = "host: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\nconnection: close";
    let length = body.len();
    let mut stream = TcpStream::connect(ADDRESS)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    write!(stream, "POST /validate/check HTTP/1.1\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}
