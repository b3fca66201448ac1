//! Accounting: what the kernel matched against what became of it. Every counter of the kernel half is read here.

use std::time::Duration;

use auditor_common::Counter;

use crate::{event::Stopped, probe::Maps, report::SinkTotals};

/// Events, one for each time that something matched.
const MATCHED: [Counter; 10] = [
    Counter::OpenMatched,
    Counter::ConnectMatched,
    Counter::ConnectAttempted,
    Counter::OutcomeMatched,
    Counter::AcceptMatched,
    Counter::ListenMatched,
    Counter::DeniedMatched,
    Counter::MemoryMatched,
    Counter::SocketMatched,
    Counter::ReceivedMatched,
];

/// Of those, the ones that an earlier event stands for.
const FOLDED: [Counter; 2] = [Counter::MemoryFolded, Counter::SocketFolded];

/// The ones that flood control folded, which summaries tell of.
const FLOODED: [Counter; 5] = [
    Counter::OpenFolded,
    Counter::ConnectFolded,
    Counter::OutcomeFolded,
    Counter::AcceptFolded,
    Counter::ReceivedFolded,
];

/// A ring buffer that was full.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    pub counter: Counter,
    /// As `loss` names it.
    pub name: &'static str,
    /// What it holds are events; what else is lost is in nobody's account.
    pub holds_events: bool,
    /// What is lost there may have been an open, or a connect, that a later judgement asks for.
    pub holds_history: bool,
}

pub const RINGS: [Ring; 5] = [
    Ring {
        counter: Counter::StrangerRingFull,
        name: "strangers",
        holds_events: true,
        holds_history: true,
    },
    Ring {
        counter: Counter::EventRingFull,
        name: "events",
        holds_events: true,
        holds_history: true,
    },
    Ring {
        counter: Counter::LifecycleRingFull,
        name: "lifecycle",
        holds_events: false,
        holds_history: true,
    },
    // Commands of exec sessions, which share the ring of the lifecycle. A probe's argv is no open that was missed.
    Ring {
        counter: Counter::SessionRingFull,
        name: "exec-sessions",
        holds_events: false,
        holds_history: false,
    },
    // Nor is an open that was refused.
    Ring {
        counter: Counter::DeniedRingFull,
        name: "denied",
        holds_events: true,
        holds_history: false,
    },
];

/// Counts of the pipeline's own.
#[derive(Debug, Default)]
pub struct Totals {
    /// Opens and connections that are known and not written one by one.
    pub counted_only: u64,
    /// Outcomes that went into their connect's line.
    pub merged: u64,
    /// Records of events.
    pub undecodable: u64,
    /// Records of what is no event.
    pub undecodable_lifecycle: u64,
    /// Runs of probes that the kernel left out.
    pub missed_runs: u64,
    /// Ends of connections that were no longer remembered, because too many were open.
    pub crowded_out: u64,
    /// Listeners and open files that were there before the auditor: matched by userspace.
    pub found: u64,
}

/// What an earlier event stands for, or a summary tells of, since the start.
pub fn folded(maps: &Maps) -> u64 {
    let earlier: u64 = FOLDED.iter().map(|counter| maps.count(*counter)).sum();
    earlier + flooded(maps)
}

/// What flood control folded, since the start.
pub fn flooded(maps: &Maps) -> u64 {
    FLOODED.iter().map(|counter| maps.count(*counter)).sum()
}

impl Totals {
    pub(super) fn stopped(
        &self,
        maps: &Maps,
        sink: SinkTotals,
        reason: String,
        uptime: Duration,
        queued: u64,
    ) -> Stopped {
        let matched: u64 = MATCHED.iter().map(|counter| maps.count(*counter)).sum();
        let in_rings: u64 = RINGS
            .iter()
            .filter(|ring| ring.holds_events)
            .map(|ring| maps.count_since_live(ring.counter))
            .sum();
        Stopped {
            reason,
            matched: matched + self.found,
            lines: sink.written_events,
            counted_only: self.counted_only,
            folded: folded(maps),
            flooded: flooded(maps),
            merged: self.merged,
            lost: in_rings + self.undecodable + self.crowded_out + sink.lost_events,
            queued,
            missed_runs: self.missed_runs,
            uptime_seconds: uptime.as_secs(),
        }
    }
}
