//! What the operator says is allowed: the policy file's contract.

mod duration;
mod exemption;
mod file;
mod parse;
mod pattern;
mod rules;

pub use exemption::{Exemption, Match, Subject};
pub use file::FileSource;
pub use parse::PolicyError;
pub use pattern::Pattern;
pub use rules::{Agent, Executables, Kubelet, Log, NodeRole, OpenLog, Policy};
