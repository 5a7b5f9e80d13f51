//! What a password gives.
//!
//! Times are UTC: a host needs no tables of time zones. What "today" and "16:00" are where a host stands is reckoned by
//! whoever makes the password.

/// Seconds of the unit in which deadlines are kept. Midnight is a multiple of it in every time zone in use.
const DEADLINE_SECONDS: u64 = 900;

/// Minutes of the longest custom window: 45 days and some, which 16 bits hold.
pub const CUSTOM_LENGTH_MAX_MINUTES: u16 = u16::MAX;

/// How far ahead a custom window may begin, in minutes: 120 days. Its start is kept modulo 2^18 minutes, of which 45 days
/// lie in the past (a window that is still open) and this, with room for a clock that is off, ahead.
pub const CUSTOM_AHEAD_MAX_MINUTES: u64 = 120 * 24 * 60;

/// Which logins of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Services {
    /// Those of one PAM service.
    One(String),
    /// All.
    All,
    /// Those of services that only move files.
    FileTransfers,
}

/// What it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Letting somebody in.
    Access(Services),
    /// Ending a wait after wrong tries, and nothing else.
    LockoutReset,
}

/// How long a preset grant lasts from its redemption on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duration {
    /// A quarter of an hour.
    Minutes15,
    /// Half an hour.
    Minutes30,
    /// An hour.
    Hours1,
    /// Two hours.
    Hours2,
    /// Four hours.
    Hours4,
    /// Eight hours.
    Hours8,
    /// A day.
    Days1,
    /// Two days.
    Days2,
    /// Five days.
    Days5,
    /// Two weeks.
    Days14,
    /// Thirty days.
    Days30,
}

impl Duration {
    /// All of them, in the order of their numbers in a password.
    pub const ALL: [Self; 11] = [
        Self::Minutes15,
        Self::Minutes30,
        Self::Hours1,
        Self::Hours2,
        Self::Hours4,
        Self::Hours8,
        Self::Days1,
        Self::Days2,
        Self::Days5,
        Self::Days14,
        Self::Days30,
    ];

    /// How long it is.
    pub fn minutes(self) -> u64 {
        match self {
            Self::Minutes15 => 15,
            Self::Minutes30 => 30,
            Self::Hours1 => 60,
            Self::Hours2 => 2 * 60,
            Self::Hours4 => 4 * 60,
            Self::Hours8 => 8 * 60,
            Self::Days1 => 24 * 60,
            Self::Days2 => 2 * 24 * 60,
            Self::Days5 => 5 * 24 * 60,
            Self::Days14 => 14 * 24 * 60,
            Self::Days30 => 30 * 24 * 60,
        }
    }

    /// Its number in a password.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    pub(crate) fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// Until when a password has to be redeemed: the end of a day where the host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(u64);

/// A deadline that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a deadline is a multiple of 900 s after 1970, not {seconds}")]
pub struct DeadlineError {
    /// What it was to be.
    pub seconds: u64,
}

impl Deadline {
    /// * `seconds`: since 1970, a multiple of 900.
    ///
    /// # Errors
    /// [`DeadlineError`].
    pub fn new(seconds: u64) -> Result<Self, DeadlineError> {
        if seconds.is_multiple_of(DEADLINE_SECONDS) {
            Ok(Self(seconds / DEADLINE_SECONDS))
        } else {
            Err(DeadlineError { seconds })
        }
    }

    /// Seconds since 1970.
    pub fn seconds(self) -> u64 {
        self.0.saturating_mul(DEADLINE_SECONDS)
    }

    pub(crate) fn quarters(self) -> u64 {
        self.0
    }

    pub(crate) fn of_quarters(quarters: u64) -> Self {
        Self(quarters)
    }
}

/// From when until when, in whole minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    start: u64,
    length: u16,
}

/// A window that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Times have whole minutes.
    #[error("{seconds} s since 1970 is no whole minute")]
    NoWholeMinute {
        /// Which.
        seconds: u64,
    },
    /// It has to end after its start, and not too late.
    #[error("a window lasts from 1 to {CUSTOM_LENGTH_MAX_MINUTES} minutes, not {minutes}")]
    Length {
        /// How long it was to be; below 0 where it would end before it begins.
        minutes: i64,
    },
}

impl Window {
    /// * `start`, `end`: seconds since 1970, whole minutes; the end itself is outside.
    ///
    /// # Errors
    /// See [`WindowError`].
    pub fn new(start: u64, end: u64) -> Result<Self, WindowError> {
        if let Some(seconds) = [start, end].into_iter().find(|seconds| !seconds.is_multiple_of(60)) {
            return Err(WindowError::NoWholeMinute { seconds });
        }
        let minutes = i64::try_from(end / 60)
            .unwrap_or(i64::MAX)
            .saturating_sub(i64::try_from(start / 60).unwrap_or(i64::MAX));
        match u16::try_from(minutes) {
            Ok(length @ 1..) => Ok(Self { start: start / 60, length }),
            _ => Err(WindowError::Length { minutes }),
        }
    }

    /// Seconds since 1970.
    pub fn start(self) -> u64 {
        self.start.saturating_mul(60)
    }

    /// Seconds since 1970, outside of it.
    pub fn end(self) -> u64 {
        self.start.saturating_add(self.length.into()).saturating_mul(60)
    }

    pub(crate) fn minutes(self) -> (u64, u16) {
        (self.start, self.length)
    }

    pub(crate) fn of_minutes(start: u64, length: u16) -> Option<Self> {
        (length > 0).then_some(Self { start, length })
    }
}

/// When it may be redeemed, and how long the grant lasts then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// Redeemed before the deadline; the duration counts from there.
    Preset {
        /// How long the grant lasts.
        duration: Duration,
        /// Until when it has to be redeemed.
        before: Deadline,
    },
    /// Redeemed within the window, with whose end the grant ends.
    Custom(Window),
}

/// Everything that a password says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What it is for.
    pub purpose: Purpose,
    /// The one Unix account that it is for, as the host has it; `None` where it is for each of them.
    pub user: Option<String>,
    /// When.
    pub term: Term,
    /// Counts the passwords of a host; none is given twice.
    pub counter: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: D04
    #[test]
    fn durations_are_those_that_are_promised_and_have_a_number_each() {
        let minutes: Vec<_> = Duration::ALL.iter().map(|duration| duration.minutes()).collect();
        assert_eq!(minutes, [15, 30, 60, 120, 240, 480, 1_440, 2_880, 7_200, 20_160, 43_200]);
        for (number, duration) in (0..).zip(Duration::ALL) {
            assert_eq!((duration.number(), Duration::of_number(number)), (number, Some(duration)));
        }
        assert_eq!(Duration::of_number(11), None);
    }

    #[test]
    fn deadlines_and_windows_keep_to_their_units() {
        assert_eq!(Deadline::new(1_800).map(Deadline::seconds), Ok(1_800));
        assert_eq!(Deadline::new(1_801), Err(DeadlineError { seconds: 1_801 }));
        let window = Window::new(120, 180).unwrap();
        assert_eq!((window.start(), window.end()), (120, 180));
        assert_eq!(Window::new(121, 180), Err(WindowError::NoWholeMinute { seconds: 121 }));
        assert_eq!(Window::new(120, 120), Err(WindowError::Length { minutes: 0 }));
        assert_eq!(Window::new(180, 120), Err(WindowError::Length { minutes: -1 }));
        assert!(Window::new(0, 60 * 65_535).is_ok());
        assert_eq!(Window::new(0, 60 * 65_536), Err(WindowError::Length { minutes: 65_536 }));
    }
}
