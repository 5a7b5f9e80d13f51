//! Offline passwords on this host: what is checked where no verifier answers, and what has to outlive a crash of it.
//!
//! | module | does |
//! | --- | --- |
//! | [`moment`] | a time that neither a stepped clock nor a restart takes back |
//! | [`tries`] | how often somebody may be wrong |
//! | [`grants`] | what redeemed passwords let in, and until when |
//! | [`kept`] | all of it as one record, which its host alone can have written |
//! | [`store`] | that record on disk, and how an older copy of it is noticed |
//! | [`keeper`] | what a verifier gave for it: the key, and what is enabled |
//! | [`service`] | the process that does all this, behind its socket |
//! | [`messages`], [`link`] | what the agent asks it, and how |
//! | [`alone`] | the dialogue of a login about which no verifier can be asked |
//! | [`desk`] | one try after the other: counted, checked, kept, and only then allowed |
//!
//! Nothing but `service` and `link` reaches a socket or a clock: keys and times are arguments. Whatever is missing, damaged or older than it
//! was lets nobody in. What leaks: how many tries are left, to whoever types; nothing of the key.

pub mod alone;
pub mod desk;
pub mod grants;
pub mod keeper;
pub mod kept;
pub mod link;
pub mod messages;
pub mod moment;
pub mod service;
pub mod store;
pub mod tries;
