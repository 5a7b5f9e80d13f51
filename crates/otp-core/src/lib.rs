//! HOTP and TOTP: the maths, matching, re-synchronisation and throttle rules.
//!
//! Everything here is a pure function of its arguments. The crate deliberately does no I/O, reads no clock,
//! draws no random number, takes no lock and knows no file or wire format but the `otpauth://` key URI. It
//! never decides whether a login is allowed: it says what a typed password matches, and the caller makes the
//! claim durable.
//!
//! Sources: RFC 4226 (HOTP), RFC 6238 (TOTP), RFC 4648 §6 (base32), and the Key URI format of authenticator
//! apps.
//!
//! | module | holds |
//! | --- | --- |
//! | [`secret`] | the secret that token and verifier share |
//! | [`parameters`] | algorithm, digits, time interval |
//! | [`value`] | what a person types, in its one canonical form |
//! | [`hotp`] | the value of a moving factor |
//! | [`totp`] | from Unix time to time steps and back |
//! | [`matching`] | which moving factor a typed password belongs to |
//! | [`throttle`] | how long to wait after wrong passwords |
//! | [`key_uri`] | `otpauth://` in and out |

#![forbid(unsafe_code)]

pub mod hotp;
pub mod key_uri;
pub mod matching;
pub mod parameters;
pub mod secret;
pub mod throttle;
pub mod totp;
pub mod value;

pub use hotp::OtpKey;
pub use key_uri::{KeyUri, KeyUriError, KeyUriKind};
pub use matching::{HotpWindow, Match, TotpWindow};
pub use parameters::{Algorithm, AlgorithmError, Digits, DigitsError, TimeInterval, TimeIntervalError};
pub use secret::{SharedSecret, SharedSecretError};
pub use throttle::ThrottleRules;
pub use totp::{BeforeInitialTime, TimeSteps};
pub use value::{MalformedPassword, OtpValue};
