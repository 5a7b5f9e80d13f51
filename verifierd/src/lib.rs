//! The daemon that decides one-time password logins.
//!
//! A login passes the modules in this order, down once and back up once:
//!
//! | module | does |
//! | --- | --- |
//! | [`http`] | takes connections, checks who calls, bounds what they send |
//! | [`dialogue`] | says what to show and what to ask |
//! | [`policy`] | says what is demanded |
//! | [`engine`] | throttles, matches and claims codes |
//! | [`audit`] | forms the record of each decision |
//!
//! [`accounts`] holds users and tokens, [`hosts`] the machines of the fleet, [`sessions`] who is in, [`notify`] tells administrators of some
//! events, [`service`] puts the parts together. The library reads no clock and draws no time of its own: `main.rs` makes
//! the one clock.

#![forbid(unsafe_code)]

pub mod access;
pub mod accounts;
pub mod audit;
pub mod clock;
pub mod config;
mod crockford;
pub mod dialogue;
pub mod engine;
pub mod expiry;
pub mod hosts;
pub mod http;
pub mod keys;
pub mod login;
pub mod mail;
pub mod notify;
pub mod offline;
pub mod people;
pub mod person_keys;
pub mod policy;
pub mod service;
pub mod sessions;
#[cfg(test)]
mod trial;
mod turns;
pub mod web;
