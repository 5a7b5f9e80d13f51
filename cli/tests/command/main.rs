//! Runs the built `postern` against a `verifierd` that says what the test wants.
//!
//! These tests own the command's words, forms and exit codes. That the real daemon and the command understand
//! each other is for the whole-system tests to show.

mod asking;
mod canary;
mod codes;
mod encrypted;
mod escaping;
mod exits;
mod fake;
mod forms;
mod hosts;
mod import;
mod init;
mod json;
mod persons;
mod policy;
mod recovery;
mod sessions;
mod tokens;
