//! A verifier that does as it is told, on a Unix socket.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use crate::site::set_mode;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// How many connections came before.
    pub number: usize,
    /// The path of the request line.
    pub path: String,
    /// All bytes.
    pub bytes: Vec<u8>,
    /// The body.
    pub body: Value,
    /// Who and for what the dialogue was begun.
    pub about: (Value, Value),
}

/// Answers one request; a connection that it returns stays open until the stub is dropped.
pub type Handler = dyn FnMut(&Request, UnixStream) -> Option<UnixStream> + Send;

/// Serves until dropped.
pub struct Stub {
    path: PathBuf,
    stopping: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<Request>>>,
    thread: Option<JoinHandle<()>>,
}

impl Stub {
    /// Listens on `path`.
    ///
    /// # Panics
    /// When it cannot.
    pub fn start(
        path: &Path,
        handler: impl FnMut(&Request, UnixStream) -> Option<UnixStream> + Send + 'static,
    ) -> Self {
        Self::serve(path, UnixListener::bind(path).expect("the socket can be bound"), handler)
    }

    /// Serves on a listener that exists.
    pub fn serve(
        path: &Path,
        listener: UnixListener,
        mut handler: impl FnMut(&Request, UnixStream) -> Option<UnixStream> + Send + 'static,
    ) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(Mutex::new(Vec::new()));
        set_mode(path, 0o600); // whatever the umask
        let (stop, kept) = (Arc::clone(&stopping), Arc::clone(&requests));
        let thread = thread::spawn(move || serve(&listener, &stop, &kept, &mut handler));
        Self { path: path.to_owned(), stopping, requests, thread: Some(thread) }
    }

    /// Answers every request with what `answer` makes of it, as a whole response.
    pub fn answering(path: &Path, mut answer: impl FnMut(&Request) -> Vec<u8> + Send + 'static) -> Self {
        Self::start(path, move |request, mut stream| {
            // The module may have left.
            let _sent = stream.write_all(&answer(request));
            None
        })
    }

    /// Asks for a one-time password and allows `123456`.
    pub fn usual(path: &Path) -> Self {
        Self::answering(path, usual_answer)
    }

    /// The requests so far.
    ///
    /// # Panics
    /// When the stub's thread has panicked.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("the stub's thread lives").clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Wakes the thread from accept.
        let _woken = UnixStream::connect(&self.path);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
        let _removed = std::fs::remove_file(&self.path);
    }
}

fn serve(listener: &UnixListener, stop: &AtomicBool, kept: &Mutex<Vec<Request>>, handler: &mut Handler) {
    let mut about = (Value::Null, Value::Null);
    let mut open = Vec::new();
    for (number, stream) in listener.incoming().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let Ok(mut stream) = stream else { return };
        let Some((path, bytes, body)) = read_request(&mut stream) else { continue };
        if path == wire::login::BEGIN_PATH {
            about = (body["user"].clone(), body["service"].clone());
        }
        let request = Request { number, path, bytes, body, about: about.clone() };
        kept.lock().expect("nobody panics with the lock").push(request.clone());
        open.extend(handler(&request, stream));
    }
}

fn read_request(stream: &mut UnixStream) -> Option<(String, Vec<u8>, Value)> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes.clone()).ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    bytes.extend(&body);
    let path = head.split(' ').nth(1)?.to_owned();
    Some((path, bytes, serde_json::from_slice(&body).ok()?))
}

/// What the usual stub answers: the plain question, then a verdict about the answer.
pub fn usual_answer(request: &Request) -> Vec<u8> {
    if request.path == wire::login::BEGIN_PATH {
        return ok(&reply(request, &[], ask("One-time password: ", false)));
    }
    let verdict = if request.body["answers"] == json!(["123456"]) { "allow" } else { "deny" };
    ok(&reply(request, &[], done(verdict)))
}

/// A reply that repeats what `request` is about.
pub fn reply(request: &Request, show: &[&str], next: Value) -> Value {
    json!({
        "api_version": wire::API_VERSION,
        "request_id": request.body["request_id"],
        "user": request.about.0,
        "service": request.about.1,
        "show": show,
        "next": next,
    })
}

/// One hidden question.
pub fn ask(text: &str, empty_allowed: bool) -> Value {
    json!({"ask": {"state": "sealed", "questions": [{"text": text, "echo": false, "empty_allowed": empty_allowed}]}})
}

/// The end.
pub fn done(verdict: &str) -> Value {
    json!({"done": {"verdict": verdict, "reference": "ABCD-EFGH"}})
}

/// A whole response with status 200.
pub fn ok(body: &Value) -> Vec<u8> {
    response("200 OK", &body.to_string())
}

/// A whole response.
pub fn response(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}
