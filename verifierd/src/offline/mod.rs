//! Offline passwords, where they are made: the keys of hosts, the counters, and what is on record of each password.
//!
//! | module | does |
//! | --- | --- |
//! | `record` | what is kept of a host's key and of a password; never the password |
//! | `table` | all of it in memory |
//! | `maker` | gives hosts their keys, makes passwords, hears of their use |
//!
//! Whether somebody may make a password is for those to say who ask here. What "today" is at a host they have reckoned
//! already: a term is in UTC. Nothing is asked of it yet.

mod maker;
mod record;
mod table;

pub use maker::{HostKeyOf, MakeError, Maker, NewPassword, Tools, Used, WHY_CHARACTERS_MAX};
pub use record::{HostRecord, OfflineRecordError, PasswordRecord, Reach, Standing, Time};
pub use table::Loaded;
