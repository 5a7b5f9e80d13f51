//! Faults of the machine below a program: system calls that fail or kill, power that goes, resources that end.
//!
//! docs/crash-tests.md says how a scenario is put together from these parts, and what each can see.
//!
//! * [`Injector`]: makes system calls of a running program fail, or kills it at one of them;
//! * [`Recording`]: what a program did to the files of a folder, and what it said, in order;
//! * [`power_loss`]: what such a folder may hold after the power went at one moment;
//! * [`Cgroup`]: memory and processor time that end.

mod cgroup;
mod disk;
mod injector;
mod recording;

pub use cgroup::Cgroup;
pub use disk::{Folder, power_loss};
pub use injector::{Injector, killed_at};
pub use recording::{Recording, TRACED};
