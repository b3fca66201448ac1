//! What the operator says is allowed: the policy file's contract.

pub mod check;
mod document;
mod doubts;
mod duration;
mod exemption;
mod file;
mod parse;
mod pattern;
mod rules;
pub mod schema;

pub(crate) use doubts::counts_as_violation;
pub use exemption::{Exemption, Match, Subject};
pub use file::FileSource;
pub use parse::PolicyError;
pub use pattern::Pattern;
pub use rules::{Agent, Executables, Kubelet, Learn, Log, NodeRole, OpenLog, Policy};
