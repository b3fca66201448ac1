//! Lines that a run of the auditor wrote, read back: for `explain`, `replay` and `policy suggest`.
//!
//! A line tells what was known when it was judged, and not all of it: [`Rebuilt`] makes of it the case that the audit's own
//! functions judge, and takes what the line leaves out (a pod's volumes, how long a snapshot was complete) as the recorded
//! verdict says that it was.

mod actor;
mod knowledge;
mod line;
mod read;
mod rebuild;

pub(crate) use actor::{owner_name, owner_named};
pub use line::{Body, Line, Verdicts};
pub use read::{Closes, ReadError, Skipped, find, read_files};
pub use rebuild::{Given, Known, Rebuilt};

#[cfg(test)]
mod tests;
