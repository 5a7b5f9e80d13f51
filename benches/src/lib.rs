//! What the programs and benches that measure have in common, and the list of them.
//!
//! Criterion benches, each with its floor in the same run (`cargo bench -p benches`):
//!
//! | bench | measures | floor in the same run |
//! | --- | --- | --- |
//! | `hmac` | one OTP value from kept states | the same with a key schedule each time |
//! | `matching` | a typed value against a window of three steps | three values without comparing |
//! | `timing` | whether the time of a refusal tells anything (exits with 1 if so) | no difference |
//! | `json` | reading a request, writing a reply | scanning and copying the same bytes |
//! | `index` | finding a token and advancing its step: three kinds of map | an unsynchronised one |
//! | `engine` | one verification without a server | one code and one look-up |
//! | `sweep` | forgetting what is old | walking over a vector |
//! | `commit` | durable claims | an append-only file |
//!
//! Programs whose sides must take turns, run by `cargo xtask bench`, which prints the table of ratios:
//!
//! | program | does |
//! | --- | --- |
//! | `bench-engine` | the engine alone, against a naive one and against a floor |
//! | `bench-server` | serves a hello, or the real service on a ledger in memory or on disk |
//! | `bench-network` | starts those servers and loads them in turns |
//!
//! Figures mean something within one run only, on a machine that does nothing else.

#![forbid(unsafe_code)]

pub mod clock;
pub mod engine;
pub mod load;
pub mod network;
pub mod population;
pub mod server;
pub mod serving;
pub mod tell;
pub mod volatile;
