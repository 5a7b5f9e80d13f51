//! A timer that is right to some microseconds. The runtime's own counts whole milliseconds, which is longer than
//! many answers take.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// One wait at a time.
#[derive(Debug)]
pub struct Timer {
    descriptor: AsyncFd<OwnedFd>,
}

impl Timer {
    /// A timer of the runtime that this is called in.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    #[expect(
        deprecated,
        reason = "its unsafe successor asks that the descriptor stay what it is; an OwnedFd does"
    )]
    pub fn new() -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags).context("cannot make a timer")?;
        Ok(Self { descriptor: AsyncFd::new(descriptor).context("cannot make a timer")? })
    }

    /// Waits that long; not at all for a time of zero.
    ///
    /// # Errors
    /// When the kernel does not keep the timer.
    pub async fn wait(&mut self, how_long: Duration) -> Result<()> {
        if how_long.is_zero() {
            return Ok(());
        }
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec::try_from(how_long).context("a wait without end")?;
        let once = Itimerspec { it_interval: zero, it_value: value };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &once).context("cannot set a timer")?;
        loop {
            let mut ready = self.descriptor.readable().await.context("cannot wait for a timer")?;
            let mut expirations = [0; 8];
            match rustix::io::read(&self.descriptor, &mut expirations) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error).context("cannot read a timer"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn a_wait_is_not_shorter_than_asked_and_can_be_repeated() {
        let (mut timer, clock) = (Timer::new().unwrap(), Clock::start());
        timer.wait(Duration::ZERO).await.unwrap();
        for _ in 0..3 {
            let before = clock.elapsed();
            timer.wait(Duration::from_micros(300)).await.unwrap();
            assert!(clock.elapsed() - before >= Duration::from_micros(300));
        }
    }
}
