//! `auditor run`: puts the stages together, runs them until it is told to stop, and writes the last line.

mod daemon;
mod mounts;
mod older;
mod setup;

pub use daemon::run;
