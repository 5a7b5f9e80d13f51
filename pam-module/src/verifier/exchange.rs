//! One connection to the verifier: connect, send, read to the end, all before one deadline.
//!
//! Never blocks in a system call other than poll(2), raises no SIGPIPE, leaves no descriptor open. Knows
//! nothing of HTTP.

use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use zeroize::Zeroizing;

use super::{Clock, Failure, SocketPath, Unavailable, above_stdio, http};
use crate::fault::fault_point;
use crate::raw;

/// The moment at which waiting ends.
pub(crate) struct Deadline<'a> {
    clock: &'a dyn Clock,
    at: Instant,
}

impl<'a> Deadline<'a> {
    /// Nothing is waited for after `at`.
    pub(crate) fn new(clock: &'a dyn Clock, at: Instant) -> Self {
        Self { clock, at }
    }

    /// Waits until `socket` is ready for `events` (or has failed: the next call on it tells).
    pub(crate) fn wait(&self, socket: &OwnedFd, events: PollFlags) -> Result<(), Failure> {
        loop {
            let left = self.at.saturating_duration_since(self.clock.now());
            let timeout = Timespec::try_from(left).unwrap_or_default();
            let mut polled = [PollFd::new(socket, events)];
            match rustix::event::poll(&mut polled, Some(&timeout)) {
                Ok(0) if left.is_zero() => return Err(Failure::Unavailable(Unavailable::TimedOut)),
                Ok(0) | Err(Errno::INTR) => {} // a signal handler ran; the remaining time is computed anew
                Ok(_) => return Ok(()),
                Err(errno) => return Err(Failure::Local { doing: "poll", errno }),
            }
        }
    }
}

/// Sends `request` to the verifier and returns everything it sends until it closes the connection.
///
/// Reading to the end makes bytes after the reply visible, so that a second reply is noticed.
pub(super) fn exchange(
    path: &SocketPath,
    request: &[u8],
    deadline: &Deadline<'_>,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    fault_point!("exchange::exchange");
    path.check()?;
    let socket = connect(path)?;
    let uid = raw::peer_uid(&socket).map_err(|errno| Failure::Local { doing: "getsockopt", errno })?;
    if uid != 0 {
        return Err(Failure::UntrustedPeer { uid });
    }
    send_all(&socket, request, deadline)?;
    receive_to_end(&socket, deadline)
}

fn connect(path: &SocketPath) -> Result<OwnedFd, Failure> {
    fault_point!("exchange::connect");
    let local = |doing| move |errno| Failure::Local { doing, errno };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .and_then(above_stdio)
        .map_err(local("socket"))?;
    let address = SocketAddrUnix::new(path.as_str()).map_err(local("address"))?;
    // A Unix socket connects at once or, with a full queue, says EAGAIN; there is nothing to wait for.
    match rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address)) {
        Ok(()) => Ok(socket),
        Err(Errno::NOENT) => Err(Failure::Unavailable(Unavailable::SocketMissing)),
        Err(Errno::CONNREFUSED) => Err(Failure::Unavailable(Unavailable::Refused)),
        Err(Errno::AGAIN) => Err(Failure::Unavailable(Unavailable::Busy)),
        Err(errno) => Err(local("connect")(errno)),
    }
}

fn send_all(socket: &OwnedFd, request: &[u8], deadline: &Deadline<'_>) -> Result<(), Failure> {
    fault_point!("exchange::send_all");
    let mut rest = request;
    while !rest.is_empty() {
        deadline.wait(socket, PollFlags::OUT)?;
        match rustix::net::send(socket, rest, SendFlags::NOSIGNAL) {
            Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(broken("send", errno)),
        }
    }
    Ok(())
}

fn receive_to_end(socket: &OwnedFd, deadline: &Deadline<'_>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    fault_point!("exchange::receive_to_end");
    // Allocated once: growing would leave copies behind. One byte more than allowed shows what is too long.
    let bytes_max = http::REPLY_BYTES_MAX;
    let mut reply = Zeroizing::new(Vec::with_capacity(bytes_max.saturating_add(1)));
    loop {
        let waited = deadline.wait(socket, PollFlags::IN);
        let received = waited.and_then(|()| {
            let spare = rustix::buffer::spare_capacity(&mut *reply);
            match rustix::net::recv(socket, spare, RecvFlags::empty()) {
                Err(Errno::INTR | Errno::AGAIN) => Ok(None),
                Err(errno) => Err(broken("receive", errno)),
                Ok((count, _)) => Ok(Some(count)),
            }
        });
        match received {
            Ok(Some(0)) => return Ok(reply),
            Ok(_) if reply.len() > bytes_max => return Err(Failure::Protocol("reply-too-long")),
            Ok(_) => {}
            Err(Failure::Unavailable(_)) if !reply.is_empty() => {
                return Err(Failure::Unavailable(Unavailable::Cut));
            }
            Err(failure) => return Err(failure),
        }
    }
}

fn broken(doing: &'static str, errno: Errno) -> Failure {
    match errno {
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => Failure::Unavailable(Unavailable::Closed),
        errno => Failure::Local { doing, errno },
    }
}
