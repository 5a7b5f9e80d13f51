//! Offline passwords on this host: what is checked where no verifier answers, and what has to outlive a crash of it.
//!
//! | module | does |
//! | --- | --- |
//! | [`moment`] | a time that neither a stepped clock nor a restart takes back |
//! | [`tries`] | how often somebody may be wrong |
//! | [`grants`] | what redeemed passwords let in, and until when |
//! | [`kept`] | all of it as one record, which its host alone can have written |
//! | [`store`] | that record on disk, and how an older copy of it is noticed |
//! | [`desk`] | one try after the other: counted, checked, kept, and only then allowed |
//!
//! Nothing here reaches a network or a clock: keys and times are arguments. Whatever is missing, damaged or older than it
//! was lets nobody in. What leaks: how many tries are left, to whoever types; nothing of the key.

pub mod desk;
pub mod grants;
pub mod kept;
pub mod moment;
pub mod store;
pub mod tries;
