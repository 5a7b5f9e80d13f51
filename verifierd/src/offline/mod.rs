//! Offline passwords, where they are made: the keys of hosts, the counters, and what is on record of each password.
//!
//! | module | does |
//! | --- | --- |
//! | `record` | what is kept of a host's key and of a password; never the password |
//! | `table` | all of it in memory |
//! | `shelf` | looks passwords up, and makes one again |
//! | `letters` | the mail with a password |
//! | `when` | times where a host stands |
//! | `wish` | what administrators wish for, as the fields of a password |
//! | `universal` | turns the password for every host on and off, and releases it, by two administrators |
//! | `maker` | makes and revokes passwords; hears what hosts say, and gives them their keys |
//!
//! Whether somebody may make a password is for those to say who ask here.

mod letters;
mod maker;
mod record;
mod shelf;
mod table;
#[cfg(test)]
mod trial;
mod universal;
mod when;
mod wish;

pub use letters::OfflineLetters;
pub use maker::{Heard, HostKeyOf, MakeError, Maker, NewPassword, Said, Tools, Used, WHY_CHARACTERS_MAX};
pub use record::{
    HostRecord, MailedTo, OfflineRecordError, PasswordRecord, Reach, Standing, Time, UniversalRecord,
};
pub use shelf::Shelf;
pub use table::Loaded;
pub use universal::{Administrator, Stepped, Universal, UniversalError};
pub use when::{WhenError, Zone};
pub use wish::{WishError, Wished, is_pam_service};
