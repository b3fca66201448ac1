//! What a pod's `flood` is asked to do (`src/bin/flood.rs`).

use serde::{Deserialize, Serialize};

use anyhow::Result;

use crate::node::{Lab, Pod};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Open and close a file so often, as fast as it goes; answered at once.
    Open { path: String, count: u64 },
    /// Each program opens the file so often a second, from `at` on; answered once they are started.
    Paced {
        programs: Vec<String>,
        path: String,
        /// Of each program.
        rate: f64,
        /// CLOCK_MONOTONIC, ns.
        at: u64,
        seconds: f64,
    },
    /// Answered when what was begun has ended.
    Join,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub opens: u64,
    /// CLOCK_REALTIME right before the first open, ns.
    pub began: u64,
    /// From the first open to the last, ns.
    pub took: u64,
}

/// Asks a pod whose init is `flood`.
pub fn ask(lab: &mut Lab, pod: &Pod, request: &Request) -> Result<Done> {
    let reply = lab.tell(pod, &serde_json::to_string(request)?)?;
    Ok(serde_json::from_value(reply)?)
}

/// CLOCK_REALTIME, ns since 1970.
pub fn realtime() -> u64 {
    nanoseconds(rustix::time::ClockId::Realtime)
}

/// CLOCK_MONOTONIC, ns.
pub fn monotonic() -> u64 {
    nanoseconds(rustix::time::ClockId::Monotonic)
}

/// What the calling thread has taken of a processor, ns: nobody else's doings are in it.
pub fn thread_time() -> u64 {
    nanoseconds(rustix::time::ClockId::ThreadCPUTime)
}

fn nanoseconds(clock: rustix::time::ClockId) -> u64 {
    let now = rustix::time::clock_gettime(clock);
    u64::try_from(now.tv_sec).unwrap_or_default() * 1_000_000_000
        + u64::try_from(now.tv_nsec).unwrap_or_default()
}
