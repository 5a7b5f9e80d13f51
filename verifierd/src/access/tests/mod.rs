//! Requests on a ledger in memory, step by step and at random.

mod decisions;
mod letters;
mod machine;
mod passwords;
pub(crate) mod stand;
