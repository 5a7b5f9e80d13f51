//! Tests the built `pam_postern.so` from outside: a PAM application, a stub verifier, and a place for both.
//!
//! Uses the machine's real libpam with a configuration folder of its own, so no file of the machine changes.
//! Never looks inside the module.

pub mod application;
pub mod code;
pub mod log;
pub mod process;
pub mod site;
pub mod stub;
