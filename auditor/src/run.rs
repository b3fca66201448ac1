//! `auditor run`: puts the stages together, runs them until it is told to stop, and writes the last line.

pub(crate) mod capabilities;
mod daemon;
pub(crate) mod doubts;
pub(crate) mod host;
mod missed;
mod mounts;
mod older;
mod self_test;
pub(crate) mod setup;
mod status;
mod trim;
mod watchdog;
mod watching;

pub use daemon::run;
