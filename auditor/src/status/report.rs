//! What a running auditor tells of itself. `docs/status.md` says what the fields mean.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Version of the answer.
pub const SCHEMA: &str = "auditor-status/v1";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`SCHEMA`]
    pub schema: String,
    pub version: String,
    /// As on every line of the run.
    pub run_id: String,
    pub node: String,
    pub cluster: Option<String>,
    pub kernel: String,
    /// As the auditor sees itself: 1 in a container.
    pub pid: u32,
    pub started: Timestamp,
    pub uptime_seconds: u64,
    /// Why /readyz answers 503; null: it is ready.
    pub not_ready: Option<String>,
    pub state_dir: String,
    /// Address that the metrics are served on.
    pub metrics: String,
    pub hooks: BTreeMap<String, HookState>,
    /// Technique of the evasion corpus to whether it is seen now.
    pub coverage: BTreeMap<String, bool>,
    pub sources: Sources,
    #[serde(default)]
    pub learning: Learning,
    pub totals: Totals,
    pub lost: Vec<Loss>,
    /// Lines by event type and verdict (`-`: has none).
    pub lines: BTreeMap<String, BTreeMap<String, u64>>,
    pub sink: Sink,
    pub talkers: Talkers,
}

/// How a hook is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookState {
    /// As in `ready`.
    pub backend: String,
    /// `live`, `unproven` or `unavailable`, as in `ready`; `failing`: its last self-test did.
    pub state: String,
    pub misses: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sources {
    pub cluster: SourceState,
    pub associations: SourceState,
    pub policy: SourceState,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceState {
    /// As its flag names it; `none`, `built-in`.
    pub source: String,
    /// Pods of this node; associations; null before the first reading, and for the policy.
    pub count: Option<u64>,
    /// Since it was last heard, or last read whole; null for a file, which is looked at before each judgement.
    pub age_seconds: Option<u64>,
    /// Of the contents.
    pub hash: Option<String>,
    /// What is wrong with it: what was read before stays in force.
    pub trouble: Option<String>,
}

/// What the node learned of the programs that ServiceAccounts run (policy's `learn`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learning {
    /// Those whose programs are remembered.
    pub service_accounts: u64,
    /// Namespace/name of those that ran more programs than are learned, and that policy's `executables` does not list.
    pub full: Vec<String>,
}

/// `matched` = all the others but `flooded`, which is a part of `folded`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub matched: u64,
    /// Written.
    pub lines: u64,
    pub counted_only: u64,
    pub merged: u64,
    pub folded: u64,
    pub flooded: u64,
    pub lost: u64,
    /// In the kernel's rings, held back for knowledge, or in the sink's queue.
    pub on_the_way: u64,
}

/// What was lost in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// As in `loss` lines.
    pub reason: String,
    pub ring: Option<String>,
    pub count: u64,
}

/// Where the lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    /// `stdout`, or the path.
    pub name: String,
    /// Why nothing gets out, while that is so.
    pub failing: Option<String>,
    pub written: u64,
    pub lost: u64,
    /// Lines in its queue.
    pub waiting: u64,
    /// Of its queue.
    pub capacity: u64,
}

/// Those who have the most, ten at most; since the start, of pods that are not forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Talkers {
    pub by_events: Vec<Talker>,
    pub by_folded: Vec<Talker>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Talker {
    /// Null where all outside of pods are meant.
    pub pod: Option<String>,
    pub service_account: Option<String>,
    /// Lines of events.
    pub events: u64,
    pub violations: u64,
    /// What flood control folded, as far as `summary` told.
    pub folded: u64,
}
