//! A network between an agent and a verifier that can be cut in the middle of an answer, to the byte.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Passes bytes on between whoever connects and a place. Ends with the test's process.
pub struct Relay {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    plan: Arc<Mutex<Plan>>,
}

/// What is to become of bytes that the place sends.
#[derive(Debug, Default)]
struct Plan {
    /// How many of them still pass before the connection is cut; all of them where there is no number.
    left: Option<usize>,
    cuts: usize,
}

impl Relay {
    /// * `to`: a port of 127.0.0.1.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let plan = Arc::<Mutex<Plan>>::default();
        let shared = Arc::clone(&plan);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                // A place that is gone refuses, as it would without us.
                let Ok(place) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else { continue };
                let (from, back) = (copy_of(&client), copy_of(&place));
                let plan = Arc::clone(&shared);
                thread::spawn(move || pass(from, back, |bytes| bytes));
                thread::spawn(move || pass(place, client, |bytes| lock(&plan).allow(bytes)));
            }
        });
        Self { port, plan }
    }

    /// Cuts the connection when the place has sent so many bytes more, instead of the next one.
    pub fn cut_after(&self, bytes: usize) {
        lock(&self.plan).left = Some(bytes);
    }

    /// Cuts no more. Whether it still would have.
    pub fn spare(&self) -> bool {
        lock(&self.plan).left.take().is_some()
    }

    /// How often it has cut.
    pub fn cuts(&self) -> usize {
        lock(&self.plan).cuts
    }
}

impl Plan {
    /// How many of so many bytes pass. Less than all of them is the cut.
    fn allow(&mut self, bytes: usize) -> usize {
        match &mut self.left {
            None => bytes,
            Some(left) if *left >= bytes => {
                *left -= bytes;
                bytes
            }
            Some(left) => {
                let allowed = *left;
                self.left = None;
                self.cuts += 1;
                allowed
            }
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, allow: impl Fn(usize) -> usize) {
    let mut buffer = [0; 16 * 1_024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let allowed = allow(count);
        if to.write_all(&buffer[..allowed]).is_err() || allowed < count {
            break;
        }
    }
    for stream in [from, to] {
        // One that the other direction has shut is shut.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn copy_of(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a descriptor")
}

fn lock(plan: &Mutex<Plan>) -> std::sync::MutexGuard<'_, Plan> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}
