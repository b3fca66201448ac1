//! The kernel half from userspace: load it, choose a backend for each hook, prove that it fires, read what it sends.

mod backend;
mod btf;
mod canary;
mod device;
mod loader;
mod offsets;
mod reader;
mod record;
mod survey;

pub use backend::{Backend, Hook, HookReport};
pub use canary::{CanaryError, FileCanary};
pub use device::{Device, fsid};
pub use loader::{LoadError, LoadOptions, Maps, Probes, Programs};
pub use reader::{Drained, Rings};
pub use record::{DecodeError, Record, decode};
pub use survey::{Survey, print as print_survey, survey};
