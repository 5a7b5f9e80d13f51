//! The parameters of a token: hash algorithm, number of digits, seconds per time step.
//!
//! Each is checked when it is made and right from then on. Nothing here is secret.
//!
//! Sources: RFC 4226 §5.3 (digits), RFC 6238 §1.2 (algorithms) and §4.1 (time interval).

use std::fmt;

/// The hash under HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Algorithm {
    /// HMAC-SHA-1, the default of RFC 4226 and of every authenticator app.
    #[default]
    Sha1,
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-512.
    Sha512,
}

impl Algorithm {
    /// The name used in key URIs and records: `SHA1`, `SHA256` or `SHA512`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    /// The algorithm called `name`, in upper or lower case.
    ///
    /// # Errors
    /// `AlgorithmError` for any other name.
    pub fn from_name(name: &str) -> Result<Self, AlgorithmError> {
        [Self::Sha1, Self::Sha256, Self::Sha512]
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
            .ok_or(AlgorithmError)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The name is none of `SHA1`, `SHA256`, `SHA512`. The name itself is left out: it comes from outside and may
/// be long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the algorithm must be SHA1, SHA256 or SHA512")]
pub struct AlgorithmError;

/// How many digits an OTP value has: 6, 7 or 8.
///
/// Source: RFC 4226 §5.3; fewer are too easy to guess, and 31 bits hold no more than nine full digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digits(u8);

impl Digits {
    /// Six digits, the default of every authenticator app.
    pub const SIX: Self = Self(6);

    /// `count` digits.
    ///
    /// # Errors
    /// `DigitsError` unless `count` is 6, 7 or 8.
    pub fn new(count: u8) -> Result<Self, DigitsError> {
        matches!(count, 6..=8).then_some(Self(count)).ok_or(DigitsError { count })
    }

    /// How many they are.
    pub fn count(self) -> u8 {
        self.0
    }
}

impl Default for Digits {
    fn default() -> Self {
        Self::SIX
    }
}

/// A number of digits that RFC 4226 does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a one-time password has 6, 7 or 8 digits, not {count}")]
pub struct DigitsError {
    /// What was asked for.
    pub count: u8,
}

/// X: the seconds in one time step, from one second to one day.
///
/// Source: RFC 6238 §4.1 (X) and §5.2 (30 seconds as the default).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeInterval(u32);

impl TimeInterval {
    /// Thirty seconds, the default of every authenticator app.
    pub const THIRTY: Self = Self(30);

    /// The longest interval: one day. A step is also how long a used password blocks the next login, so more
    /// is a mistake.
    pub const SECONDS_MAX: u32 = 86_400;

    /// An interval of `seconds`.
    ///
    /// # Errors
    /// `TimeIntervalError` unless `seconds` is in `1..=SECONDS_MAX`.
    pub fn new(seconds: u32) -> Result<Self, TimeIntervalError> {
        matches!(seconds, 1..=Self::SECONDS_MAX).then_some(Self(seconds)).ok_or(TimeIntervalError { seconds })
    }

    /// Its length in seconds.
    pub fn seconds(self) -> u32 {
        self.0
    }
}

impl Default for TimeInterval {
    fn default() -> Self {
        Self::THIRTY
    }
}

/// A time interval of no length, or of more than a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time interval is 1 to 86400 seconds, not {seconds}")]
pub struct TimeIntervalError {
    /// What was asked for.
    pub seconds: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_six_seven_and_eight_digits_exist() {
        for count in 0..=u8::MAX {
            assert_eq!(Digits::new(count).is_ok(), (6..=8).contains(&count), "{count} digits");
        }
        assert_eq!(
            Digits::new(9).unwrap_err().to_string(),
            "a one-time password has 6, 7 or 8 digits, not 9"
        );
    }

    #[test]
    fn a_time_interval_is_between_a_second_and_a_day() {
        let edges = [(0, false), (1, true), (30, true), (86_400, true), (86_401, false), (u32::MAX, false)];
        for (seconds, right) in edges {
            assert_eq!(TimeInterval::new(seconds).is_ok(), right, "{seconds} s");
        }
    }

    #[test]
    fn an_algorithm_is_found_by_the_name_it_prints_in_either_case() {
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512] {
            assert_eq!(Algorithm::from_name(algorithm.name()), Ok(algorithm));
            assert_eq!(Algorithm::from_name(&algorithm.name().to_lowercase()), Ok(algorithm));
        }
        for name in ["", "MD5", "SHA-1", "SHA2", "SHA1 "] {
            assert_eq!(Algorithm::from_name(name), Err(AlgorithmError), "{name:?}");
        }
    }
}
