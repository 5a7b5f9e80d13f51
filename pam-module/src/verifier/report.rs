//! Tells the verifier something that asks nothing: one request, and whether it was heard.

use std::time::Duration;

use serde::Serialize;

use super::exchange::{self, Deadline};
use super::{Clock, Failure, SocketPath, Unavailable, http};
use crate::fault::fault_point;

/// Sends `said`, and waits until it was heard, `timeout` in all.
///
/// # Errors
/// When it was not, or nobody can tell.
pub(crate) fn report(
    socket: &SocketPath,
    path: &str,
    said: &impl Serialize,
    timeout: Duration,
    clock: &dyn Clock,
) -> Result<(), Failure> {
    fault_point!("verifier::report");
    let now = clock.now();
    let deadline = Deadline::new(clock, now.checked_add(timeout).unwrap_or(now));
    let request = http::encode_report(path, said)?;
    let reply = exchange::exchange(socket, &request, &deadline)?;
    let (status, _) = http::split(&reply)?;
    match status {
        200 => Ok(()),
        503 => Err(Failure::Unavailable(Unavailable::SaidSo)),
        _ => Err(Failure::Rejected { status }),
    }
}
