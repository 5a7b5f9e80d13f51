//! The hosts of the fleet: what they are called, how they join, and who is one of them no more.
//!
//! | module | holds |
//! | --- | --- |
//! | [`identity`] | ids, names and groups |
//! | [`authority`] | the authority that signs the certificates of hosts and of this verifier |
//! | [`certificate`] | what a host's certificate says, and what must be so |
//! | [`founding`] | the authority at a start |
//! | [`handshake`] | the same, as TLS asks for it |
//! | [`secret`] | what lets a host join, once |
//! | [`record`] | what the ledger keeps |
//! | [`table`] | the hosts in memory, as requests see them |
//! | [`presence`] | connections and reports since the start |
//! | [`registrar`] | all changes, one after the other |
//!
//! A host is known by the key that it shows: its id is in its certificate, and the hash of its key in its record. So a
//! certificate that was replaced, or whose host was revoked, is refused at once, whatever it says of its own end.

pub mod authority;
pub mod certificate;
pub mod founding;
pub mod handshake;
pub mod identity;
pub mod presence;
pub mod record;
pub mod registrar;
pub mod secret;
pub mod table;
mod window;

pub use authority::{Authority, AuthorityError};
pub use certificate::{HostCertificate, KeyHash};
pub use founding::FoundingError;
pub use identity::{GroupName, HostId, HostIdentity, HostName, NameError, is_dns_name};
pub use record::HostRecordError;
pub use registrar::{HostError, Registrar};
pub use secret::JoinSecret;
pub use table::{Host, Hosts, NotAdmitted};
pub use window::Window;
