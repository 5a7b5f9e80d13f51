//! The messages between Postern's programs: serde types, versions and limits, without behaviour.
//!
//! Everything travels as JSON over HTTP/1.1 on a Unix socket and HTTP/2 between machines, so that
//! `curl --unix-socket` can speak it. This crate does no I/O and decides nothing.

#![forbid(unsafe_code)]

pub mod admin;
pub mod error;
pub mod fleet;
pub mod login;
pub mod offline;
pub mod printable;
pub mod session;
pub mod verify;

/// The version both ends of a message must name. A receiver refuses any other.
pub const API_VERSION: u16 = 1;

/// The largest request or reply body, in bytes. The largest honest one is a QR code: 53 columns by 27 rows
/// of three-byte characters, about 5 KiB; 64 KiB leaves room and bounds what a peer can make us hold.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Where `verifierd` (or, on a fleet host, the agent) answers the PAM module.
pub const LOGIN_SOCKET: &str = "/run/postern/login.sock";

/// Where `verifierd` answers the `postern` command.
pub const ADMIN_SOCKET: &str = "/run/postern/admin.sock";

/// Where `verifierd` answers the `postern` command of everybody else, each according to his role.
pub const USER_SOCKET: &str = "/run/postern/user.sock";
