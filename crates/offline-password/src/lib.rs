//! Passwords for a host that reaches nobody: an administrator's side makes them, the host checks them alone.
//!
//! | module | has |
//! | --- | --- |
//! | `key` | the key of one host, derived from the one that makes all of them |
//! | `grant` | what a password gives: services, a user or everybody, and for how long |
//! | `password` | making and checking, one MAC for each try |
//! | `packed` | the fields of a password, bit by bit |
//! | `text` | what people read out and type, with its check character |
//! | `redeemed` | which passwords of a host were used |
//! | `host_code` | what a host is called at the prompt, to be read out |
//! | `universal` | one password an hour for every host, which hosts can check and never make |
//!
//! Everything here is a function of what it is given: no I/O, no clock, no chance. Who may make a password, and that a use
//! is durable before anybody is let in, is the callers' to see to. What leaks: a password tells its kind, its duration, the
//! low bits of its counter and roughly its time to whoever reads it.

#![forbid(unsafe_code)]

mod grant;
mod host_code;
mod key;
mod packed;
mod password;
mod redeemed;
mod text;
pub mod universal;

pub use grant::{
    CUSTOM_AHEAD_MAX_MINUTES, CUSTOM_LENGTH_MAX_MINUTES, Deadline, DeadlineError, Duration, Grant, Purpose,
    Services, Term, Window, WindowError,
};
pub use host_code::HostCode;
pub use key::{EPOCH_BYTES, HostKey};
pub use password::{Asked, OfflinePassword, Redemption, Refusal};
pub use redeemed::{COUNTERS_AHEAD_MAX, Redeemed, RedeemedError};
pub use text::{TYPED_BYTES_MAX, Typed, TypingError};
