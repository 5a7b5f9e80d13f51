//! Offline passwords, where they are made: the keys of hosts, the counters, and what is on record of each password.
//!
//! | module | does |
//! | --- | --- |
//! | `record` | what is kept of a host's key and of a password; never the password |
//! | `table` | all of it in memory |
//! | `when` | times where a host stands |
//! | `wish` | what administrators wish for, as the fields of a password |
//! | `maker` | makes and revokes passwords; hears what hosts say, and gives them their keys |
//!
//! Whether somebody may make a password is for those to say who ask here.

mod maker;
mod record;
mod table;
mod when;
mod wish;

pub use maker::{Heard, HostKeyOf, MakeError, Maker, NewPassword, Said, Tools, Used, WHY_CHARACTERS_MAX};
pub use record::{HostRecord, OfflineRecordError, PasswordRecord, Reach, Standing, Time};
pub use table::Loaded;
pub use when::{WhenError, Zone};
pub use wish::{WishError, Wished};
