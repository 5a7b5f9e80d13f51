//! Bytes that no honest program says, and all that comes back until the daemon closes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::api::{self, KEY};

/// Whatever lasts longer than this hangs.
const HANG: Duration = Duration::from_secs(300);

/// Nothing goes on for so long when a daemon takes no more. One that is merely slow is only asked for less.
const STUCK: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// A listener that decides logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The login socket.
    Login,
    /// The API without a certificate.
    Api,
}

impl Door {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Login, Self::Api];

    /// The header lines that a request needs here: a host, and the key where one is asked for.
    pub fn header(self) -> String {
        match self {
            Self::Login => "host: postern\r\n".to_owned(),
            Self::Api => format!("host: postern\r\nauthorization: Bearer {KEY}\r\n"),
        }
    }
}

/// A connection to one of them.
#[derive(Debug)]
pub struct RawConnection {
    stream: Stream,
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl RawConnection {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    #[track_caller]
    pub fn open(door: Door) -> Self {
        let stream = match door {
            Door::Login => Stream::Unix(UnixStream::connect(wire::LOGIN_SOCKET).expect("the login socket")),
            Door::Api => Stream::Tcp(TcpStream::connect(api::ADDRESS).expect("the API")),
        };
        match &stream {
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(HANG)).and(stream.set_write_timeout(Some(HANG)))
            }
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(HANG)).and(stream.set_write_timeout(Some(HANG)))
            }
        }
        .expect("a timeout");
        Self { stream }
    }

    /// The same connection once more, for another thread.
    ///
    /// # Panics
    /// When there are no descriptors left.
    #[track_caller]
    pub fn share(&self) -> Self {
        let stream = match &self.stream {
            Stream::Unix(stream) => stream.try_clone().map(Stream::Unix),
            Stream::Tcp(stream) => stream.try_clone().map(Stream::Tcp),
        };
        Self { stream: stream.expect("another descriptor") }
    }

    /// Says something; whether the daemon still took all of it.
    ///
    /// # Panics
    /// When it neither takes it nor closes.
    #[track_caller]
    pub fn say(&mut self, bytes: &[u8]) -> bool {
        let said = match &mut self.stream {
            Stream::Unix(stream) => stream.write_all(bytes),
            Stream::Tcp(stream) => stream.write_all(bytes),
        };
        is_open(said, "took")
    }

    /// Says something as long as the daemon takes it; whether it took all.
    pub fn say_what_is_taken(&mut self, bytes: &[u8]) -> bool {
        match &self.stream {
            Stream::Unix(stream) => stream.set_nonblocking(true),
            Stream::Tcp(stream) => stream.set_nonblocking(true),
        }
        .expect("a mode");
        let mut rest = bytes;
        while !rest.is_empty() {
            let said = match &mut self.stream {
                Stream::Unix(stream) => stream.write(rest),
                Stream::Tcp(stream) => stream.write(rest),
            };
            match said {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return false,
                Err(_) => {
                    if poll(&mut [PollFd::new(self, PollFlags::OUT)], Some(&STUCK)).expect("poll") == 0 {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// All that the daemon says until it closes.
    ///
    /// # Panics
    /// When it does not close.
    #[track_caller]
    pub fn heard_until_closed(mut self) -> Vec<u8> {
        let mut heard = Vec::new();
        let read = match &mut self.stream {
            Stream::Unix(stream) => stream.read_to_end(&mut heard),
            Stream::Tcp(stream) => stream.read_to_end(&mut heard),
        };
        is_open(read, "closed");
        heard
    }

    /// Ends it for whoever shares it.
    pub fn close(&self) {
        // The daemon may have been faster.
        let _ = match &self.stream {
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl AsFd for RawConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tcp(stream) => stream.as_fd(),
        }
    }
}

/// An error means that the daemon has closed, but for the one that means that it hangs.
#[track_caller]
fn is_open<T>(done: io::Result<T>, what: &str) -> bool {
    match done {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            panic!("in {HANG:?} it neither {what} nor ended")
        }
        Err(_) => false,
    }
}
