//! The EKS Credential Auditor: who touched which workload's credential on this node, whose it was, and whether that was
//! allowed.
//!
//! One direction of flow: kernel -> [`probe`] -> [`node`] -> [`cluster`], [`association`] -> [`audit`] -> [`report`], wired
//! together in [`pipeline`] and [`run`].

pub mod association;
pub mod audit;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod eks;
pub mod event;
pub mod explain;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod kube;
pub mod lint;
pub mod metrics;
pub mod node;
pub mod ocsf;
pub mod pipeline;
mod plain;
pub mod policy;
pub mod policy_command;
pub mod probe;
pub mod recorded;
pub mod remove_state;
pub mod replay;
pub mod report;
pub mod run;
pub mod simulate;
pub mod state;
pub mod status;
pub mod suggest;
pub mod sync;
pub mod tail;
pub mod text;
mod watched_file;
