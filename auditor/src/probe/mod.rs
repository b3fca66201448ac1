//! The kernel half from userspace: load it, choose a backend for each hook, prove that it fires, read what it sends.

mod backend;
mod btf;
mod canary;
mod choice;
mod coverage;
mod device;
mod iterator;
mod loader;
mod missed;
mod offsets;
mod perf;
mod reader;
mod record;
mod survey;
mod verified;

#[cfg(fuzzing)]
pub(crate) mod fuzzing {
    pub use super::btf::{Btf, BtfError};
}

pub use backend::{Backend, Hook, HookReport};
pub use canary::{CanaryError, FileCanary, Proof, prove};
pub use coverage::coverage;
pub use device::{Device, fsid};
pub use iterator::read as read_iterator;
pub use loader::{LoadError, LoadOptions, Maps, Probes, Programs, check_btf};
pub use reader::{Drained, RingWatch, Rings};
pub use record::{DecodeError, Record, decode};
pub use survey::{HookSurvey, Survey, WaySurvey, survey};
pub use verified::{Verified, print as print_verified, verified};
