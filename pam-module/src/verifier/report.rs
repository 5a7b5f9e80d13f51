//! Tells the verifier something that asks nothing: one request, and whether it was heard.

use std::time::Duration;

use serde::Serialize;
use zeroize::Zeroizing;

use super::exchange::{self, Deadline};
use super::{Clock, Failure, SocketPath, Unavailable, http};
use crate::fault::fault_point;

/// What came of a report.
pub(crate) struct Heard {
    /// Whether it was heard; an error where it was not, or nobody can tell.
    pub told: Result<(), Failure>,
    /// The body of the answer, of a refusal too; empty where there was none.
    pub body: Zeroizing<Vec<u8>>,
}

/// Sends `said`, and waits until it was heard, `timeout` in all.
pub(crate) fn report(
    socket: &SocketPath,
    path: &str,
    said: &impl Serialize,
    timeout: Duration,
    clock: &dyn Clock,
) -> Heard {
    fault_point!("verifier::report");
    let now = clock.now();
    let deadline = Deadline::new(clock, now.checked_add(timeout).unwrap_or(now));
    let request = http::encode_report(path, said);
    let reply = request.and_then(|request| exchange::exchange(socket, &request, &deadline));
    let answered = reply.and_then(|reply| {
        let (status, body) = http::split(&reply)?;
        Ok((status, Zeroizing::new(body.to_vec())))
    });
    match answered {
        Ok((200, body)) => Heard { told: Ok(()), body },
        Ok((503, body)) => Heard { told: Err(Failure::Unavailable(Unavailable::SaidSo)), body },
        Ok((status, body)) => Heard { told: Err(Failure::Rejected { status }), body },
        Err(failure) => Heard { told: Err(failure), body: Zeroizing::new(Vec::new()) },
    }
}
