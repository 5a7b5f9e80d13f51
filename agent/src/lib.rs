//! The agent of a fleet host: answers the PAM module by asking a verifier, over mutual TLS.
//!
//! Deliberately decides nothing: it holds no token, no policy and no store but its own key and certificate. What it
//! is sure of itself is whom it asks, and that an answer belongs to what was asked. In the order in which a login
//! meets them:
//!
//! | module | does |
//! | --- | --- |
//! | [`login`] | answers the login socket |
//! | [`envelope`] | lets the state of a dialogue carry whose it is |
//! | [`secret_body`] | keeps what is sent in memory that is wiped |
//! | [`reply_key`] | keeps what a user is shown out of memory that is not |
//! | [`verifiers`] | asks the first verifier that answers, up to a deadline |
//! | [`connection`], [`tls`] | one connection: HTTP/2, whom it leads to, and who we are |
//! | [`backoff`] | how long a verifier that failed is left alone |
//! | [`judgement`] | takes an answer for what was asked, or refuses it |
//!
//! and beside it
//!
//! | module | does |
//! | --- | --- |
//! | [`config`] | the configuration |
//! | [`join`] | makes this host one of the fleet |
//! | [`identity`] | the host's key and certificate, on disk |
//! | [`upkeep`] | keeps a connection open, reports, renews the certificate |
//! | [`sessions`] | what is to be told of this host's sessions |
//! | [`offline`] | offline passwords of this host, and what is remembered of them; nothing asks it yet |
//! | [`checkpoint`] | keeps how far the verifiers' audit trail had come, and shows it |
//! | [`status`] | says how the agent is |
//! | [`clock`], [`chance`] | time and chance, which are arguments |

#![forbid(unsafe_code)]

pub mod backoff;
pub mod chance;
pub mod checkpoint;
pub mod clock;
pub mod clocks;
pub mod config;
pub mod connection;
pub mod envelope;
pub mod identity;
pub mod join;
pub mod judgement;
pub mod login;
pub mod offline;
pub mod reply_key;
pub mod secret_body;
pub mod sessions;
pub mod status;
pub mod tls;
pub mod upkeep;
pub mod verifiers;

/// The version that is told to verifiers.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
