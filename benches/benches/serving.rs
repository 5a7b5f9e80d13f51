//! What serving costs besides deciding: ours against the least that hyper can do, and ways to spread connections.
//!
//! `cargo bench -p benches --bench serving -- [ROUNDS]` prints a table for each question: median, least and most of
//! the rounds (7 where none are named), in which all sides take turns. Nobody decides anything here: the request has
//! the size of a verification and the form of none, so that it is read, looked at and answered. The threads that
//! serve are those of `verifierd`; their processor time is the kernel's (`schedstat`).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use ledger::StartState;
use ledger::memory::MemoryLedger;
use rustix::event::{PollFd, PollFlags, poll};
use serve::{AnyListener, Audience, Connection, Listener, NetworkListener, Stream, Workers};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use verifierd::clock::SystemClock;
use verifierd::config::Config;
use verifierd::http::Handler;
use verifierd::keys::MasterKey;
use verifierd::service::{Foundations, Service};

/// Threads that serve, and threads that ask: one of each for both cores.
const THREADS: usize = 2;

/// How long each side has its turn in a round.
const TURN: Duration = Duration::from_millis(1_000);

/// What ours says to a request that is none.
const REPLY: &[u8] = br#"{"error":{"code":"malformed","message":"not a request of this route"}}"#;

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// hyper alone.
    Bare,
    /// The same with its deadline for heads.
    HeadTimer,
    /// hyper-util's choice between HTTP/1.1 and HTTP/2.
    Auto,
    /// The same as bare, replies held back while more requests are there.
    PipelineFlush,
    /// The daemon's own.
    Ours,
}

/// Who takes connections off the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    /// As the daemon does it.
    Workers,
    /// Each thread: SO_REUSEPORT for TCP, the same socket for Unix.
    Each,
}

#[derive(Clone, Debug)]
enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// How it is asked.
#[derive(Clone, Copy, Debug)]
struct Load {
    /// Connections over all threads.
    connections: usize,
    /// Requests that are written at once.
    depth: usize,
    /// Whether each connection carries one request.
    once: bool,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Requests a second.
    rate: f64,
    /// Processor time of the threads that serve, in microseconds a request.
    cpu_us: f64,
    /// Share of that time of the busier thread; 0.5 where both did the same.
    busier: f64,
}

fn main() -> Result<()> {
    let rounds = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(7);
    let folder = std::env::temp_dir().join(format!("postern-serving-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(&folder, rounds);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(folder: &Path, rounds: usize) -> Result<()> {
    let kept = |depth| Load { connections: 64, depth, once: false };
    let one_each = |connections| Load { connections, depth: 1, once: true };
    let builders = [Side::Bare, Side::HeadTimer, Side::Auto, Side::Ours].map(|side| (side, Spread::Workers));
    let pipelining = [Side::Bare, Side::PipelineFlush, Side::Ours].map(|side| (side, Spread::Workers));
    let spreads = [(Side::Bare, Spread::Workers), (Side::Bare, Spread::Each)];
    for is_tcp in [true, false] {
        let over = if is_tcp { "TCP" } else { "Unix socket" };
        table(&format!("{over}, 64 connections kept open"), folder, is_tcp, &builders, kept(1), rounds)?;
        table(
            &format!("{over}, the same, 16 requests at once"),
            folder,
            is_tcp,
            &pipelining,
            kept(16),
            rounds,
        )?;
        table(
            &format!("{over}, a connection for each request, 2 at once"),
            folder,
            is_tcp,
            &builders,
            one_each(2),
            rounds,
        )?;
        for connections in [2, 8, 64] {
            let title = format!("{over}, {connections} connections kept open: who accepts");
            table(&title, folder, is_tcp, &spreads, Load { connections, depth: 1, once: false }, rounds)?;
        }
        for connections in [2, 32] {
            let title = format!("{over}, a connection for each request, {connections} at once: who accepts");
            table(&title, folder, is_tcp, &spreads, one_each(connections), rounds)?;
        }
    }
    Ok(())
}

fn table(
    title: &str,
    folder: &Path,
    is_tcp: bool,
    sides: &[(Side, Spread)],
    load: Load,
    rounds: usize,
) -> Result<()> {
    println!(
        "\n{title}\n{:28} {:>26} {:>8} {:>9} {:>7}",
        "", "requests/s (least-most)", "ratio", "us CPU", "busier"
    );
    let servers: Vec<Server> = sides
        .iter()
        .map(|(side, spread)| Server::start(*side, *spread, is_tcp, folder))
        .collect::<Result<_>>()?;
    let mut turns: Vec<Vec<Turn>> = vec![Vec::new(); servers.len()];
    // The first round warms up.
    for round in 0..=rounds {
        for (server, turns) in servers.iter().zip(&mut turns) {
            let turn = server.ask(load)?;
            if round > 0 {
                turns.push(turn);
            }
        }
    }
    let base = median(turns[0].iter().map(|turn| turn.rate));
    for ((side, spread), turns) in sides.iter().zip(&turns) {
        let rate = median(turns.iter().map(|turn| turn.rate));
        let least = turns.iter().map(|turn| turn.rate).fold(f64::MAX, f64::min);
        let most = turns.iter().map(|turn| turn.rate).fold(0.0, f64::max);
        println!(
            "{:28} {rate:>9.0} ({least:>6.0}-{most:>6.0}) {:>8.2} {:>9.2} {:>7.2}",
            format!("{side:?}, {spread:?}"),
            rate / base,
            median(turns.iter().map(|turn| turn.cpu_us)),
            median(turns.iter().map(|turn| turn.busier)),
        );
    }
    for server in servers {
        server.stop();
    }
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A listener that is served.
struct Server {
    workers: Workers,
    address: Address,
    stop: watch::Sender<bool>,
    /// The kernel's numbers of the threads that serve.
    threads: Vec<u64>,
}

impl Server {
    fn start(side: Side, spread: Spread, is_tcp: bool, folder: &Path) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let workers = Workers::start(THREADS)?;
        let (stop, stopping) = watch::channel(false);
        let tell = || async { thread_number() };
        let threads = workers.spawn_on_each(tell);
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let threads = threads.into_iter().map(|thread| runtime.block_on(thread)?).collect::<Result<_>>()?;
        let path = folder.join(format!("{}.sock", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let address = match (spread, is_tcp) {
            (Spread::Each, true) => Address::Tcp(each_takes_tcp(&workers, side)?),
            (Spread::Each, false) => {
                each_takes_unix(&workers, side, &path)?;
                Address::Unix(path)
            }
            (Spread::Workers, true) => {
                let listener = NetworkListener::bind("127.0.0.1:0".parse()?)?;
                let address = listener.address();
                serve(&workers, listener, side, stopping)?;
                Address::Tcp(address)
            }
            (Spread::Workers, false) => {
                serve(&workers, Listener::bind(&path, Audience::Everybody)?, side, stopping)?;
                Address::Unix(path)
            }
        };
        Ok(Self { workers, address, stop, threads })
    }

    fn stop(self) {
        let _ = self.stop.send(true);
        self.workers.shutdown();
    }

    fn ask(&self, load: Load) -> Result<Turn> {
        let before = self.cpu()?;
        let begun = now();
        let asked: u64 = thread::scope(|scope| {
            let asking: Vec<_> =
                (0..THREADS).map(|_| scope.spawn(|| self.ask_from_one_thread(load))).collect();
            asking.into_iter().map(|asked| asked.join().expect("a thread that asks")).sum::<Result<u64>>()
        })?;
        let took = begun.elapsed();
        let spent: Vec<f64> = self.cpu()?.iter().zip(before).map(|(after, before)| after - before).collect();
        let all: f64 = spent.iter().sum();
        Ok(Turn {
            rate: asked as f64 / took.as_secs_f64(),
            cpu_us: all / asked as f64 / 1e3,
            busier: spent.iter().copied().fold(0.0, f64::max) / all,
        })
    }

    /// Nanoseconds that each thread has run.
    fn cpu(&self) -> Result<Vec<f64>> {
        let of = |thread: &u64| -> Result<f64> {
            let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat"))?;
            Ok(text.split(' ').next().context("schedstat")?.parse()?)
        };
        self.threads.iter().map(of).collect()
    }

    fn ask_from_one_thread(&self, load: Load) -> Result<u64> {
        let requests = request(load.once).repeat(load.depth);
        let length = reply_length(load.once);
        let (begun, count) = (now(), load.connections / THREADS);
        let mut callers: Vec<Caller> =
            (0..count).map(|_| Caller::call(&self.address)).collect::<Result<_>>()?;
        for caller in &mut callers {
            caller.say(&requests)?;
        }
        let mut answered = 0;
        while begun.elapsed() < TURN {
            let mut fds: Vec<_> = callers.iter().map(|caller| PollFd::new(caller, PollFlags::IN)).collect();
            poll(&mut fds, None)?;
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            for (caller, _) in callers.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
                let replies = caller.hear(length)?;
                if replies < load.depth {
                    continue;
                }
                answered += replies as u64;
                caller.heard = 0;
                if load.once {
                    *caller = Caller::call(&self.address)?;
                }
                caller.say(&requests)?;
            }
        }
        Ok(answered)
    }
}

/// A connection of the client.
struct Caller {
    stream: std::os::fd::OwnedFd,
    /// Bytes since the last request.
    heard: usize,
}

impl std::os::fd::AsFd for Caller {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Caller {
    fn call(address: &Address) -> Result<Self> {
        let stream = match address {
            Address::Tcp(address) => {
                let stream = std::net::TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.into()
            }
            Address::Unix(path) => std::os::unix::net::UnixStream::connect(path)?.into(),
        };
        Ok(Self { stream, heard: 0 })
    }

    fn say(&mut self, requests: &[u8]) -> Result<()> {
        let written = rustix::io::write(&self.stream, requests)?;
        ensure!(written == requests.len(), "a small request fits into an empty buffer");
        Ok(())
    }

    /// How many whole replies have come since the last request. All have one length.
    fn hear(&mut self, length: usize) -> Result<usize> {
        let mut buffer = [0; 16_384];
        let count = rustix::io::read(&self.stream, &mut buffer)?;
        ensure!(count > 0, "the server hung up");
        ensure!(self.heard > 0 || buffer.starts_with(b"HTTP/1.1 400"), "not the reply that is asked for");
        self.heard += count;
        Ok(self.heard / length)
    }
}

/// As large as a verification, and none.
fn request(is_last: bool) -> Vec<u8> {
    let body = r#"{"request_id":"0123456789abcdef0123456789abcdef","user":"u0000001","service":"bench","kode":"123456"}"#;
    let close = if is_last { CLOSE } else { "" };
    let head = "POST /v1/verify HTTP/1.1\r\nhost: postern\r\ncontent-type: application/json\r\n";
    format!("{head}{close}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn reply_length(is_last: bool) -> usize {
    let close = if is_last { CLOSE } else { "" };
    let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n";
    format!("{head}{close}content-length: {}\r\n\r\n", REPLY.len()).len() + REPLY.len()
}

/// Of a request and of its reply.
const CLOSE: &str = "connection: close\r\n";

fn serve(
    workers: &Workers,
    listener: impl Into<AnyListener>,
    side: Side,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    if side == Side::Ours {
        workers.serve(listener, Handler::Login(dialogue()?), stop)?;
    } else {
        workers.serve_bare(listener, stop, move |connection| converse(connection, side))?;
    }
    Ok(())
}

/// A service without a user.
fn dialogue() -> Result<Arc<verifierd::dialogue::Dialogue>> {
    let foundations = Foundations {
        config: Config::parse("version = 1").expect("the least configuration"),
        config_path: "/nonexistent".into(),
        master: MasterKey::generate()?,
        clock: Arc::new(SystemClock::new()),
        host: "bench".into(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let service = runtime.block_on(Service::on_ledger(
        foundations,
        Arc::new(MemoryLedger::new()),
        StartState::Clean,
    ))?;
    Ok(service.dialogue)
}

async fn converse(connection: Connection, side: Side) {
    match connection.stream {
        Stream::Tcp(stream) => answer_all(stream, side).await,
        Stream::Unix(stream) => answer_all(stream, side).await,
    }
}

async fn answer_all(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, side: Side) {
    let stream = TokioIo::new(stream);
    // The client hangs up when it has measured enough.
    if side == Side::Auto {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().auto_date_header(false);
        let _ = builder.serve_connection(stream, service_fn(answer)).await;
        return;
    }
    let mut builder = http1::Builder::new();
    builder.auto_date_header(false).pipeline_flush(side == Side::PipelineFlush);
    if side == Side::HeadTimer {
        builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    }
    let _ = builder.serve_connection(stream, service_fn(answer)).await;
}

/// Reads the body and says what ours says.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let read = request.into_body().collect().await;
    let mut reply = Response::new(Full::new(Bytes::from_static(if read.is_ok() { REPLY } else { b"" })));
    *reply.status_mut() = StatusCode::BAD_REQUEST;
    let json = hyper::header::HeaderValue::from_static("application/json");
    reply.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
    Ok(reply)
}

/// A socket with SO_REUSEPORT for each thread.
fn each_takes_tcp(workers: &Workers, side: Side) -> Result<SocketAddr> {
    let socket = || -> Result<std::net::TcpListener> {
        let family = rustix::net::AddressFamily::INET;
        let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, rustix::net::SocketType::STREAM, flags, None)?;
        rustix::net::sockopt::set_socket_reuseport(&socket, true)?;
        rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
        Ok(socket.into())
    };
    let first = socket()?;
    rustix::net::bind(&first, &"127.0.0.1:0".parse::<SocketAddr>()?)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..THREADS {
        let other = socket()?;
        rustix::net::bind(&other, &address)?;
        sockets.push(other);
    }
    let sockets = Arc::new(std::sync::Mutex::new(sockets));
    for socket in sockets.lock().expect("nobody panicked").iter() {
        rustix::net::listen(socket, 4_096)?;
    }
    for started in workers.spawn_on_each(|| take_all(Arc::clone(&sockets), side)) {
        drop(started);
    }
    Ok(address)
}

async fn take_all(sockets: Arc<std::sync::Mutex<Vec<std::net::TcpListener>>>, side: Side) -> Result<()> {
    let socket = sockets.lock().expect("nobody panicked").pop().context("one for each")?;
    let socket = tokio::net::TcpListener::from_std(socket)?;
    loop {
        let (stream, _) = socket.accept().await?;
        tokio::spawn(answer_all(stream, side));
    }
}

/// The same socket on each thread.
fn each_takes_unix(workers: &Workers, side: Side, path: &Path) -> Result<()> {
    let socket = std::os::unix::net::UnixListener::bind(path)?;
    rustix::net::listen(&socket, 4_096)?;
    socket.set_nonblocking(true)?;
    let socket = Arc::new(socket);
    let take = || {
        let socket = Arc::clone(&socket);
        async move {
            let socket = tokio::net::UnixListener::from_std(socket.try_clone()?)?;
            loop {
                let (stream, _) = socket.accept().await?;
                tokio::spawn(answer_all(stream, side));
            }
            #[expect(unreachable_code, reason = "says what an early end is")]
            Ok::<(), std::io::Error>(())
        }
    };
    for started in workers.spawn_on_each(take) {
        drop(started);
    }
    Ok(())
}

/// The kernel's number of this thread.
fn thread_number() -> Result<u64> {
    let link = fs::read_link("/proc/thread-self")?;
    let name = link.file_name().context("/proc/thread-self")?.to_string_lossy().into_owned();
    Ok(name.parse()?)
}

#[expect(clippy::disallowed_methods, reason = "the one clock of this bench")]
fn now() -> Instant {
    Instant::now()
}
