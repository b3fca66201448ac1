//! Accounting: what the kernel matched against what became of it.

use std::time::Duration;

use auditor_common::Counter;

use crate::{event::Stopped, probe::Maps, report::SinkTotals};

/// Counts of the pipeline's own.
#[derive(Debug, Default)]
pub struct Totals {
    /// Opens and connections that are known and not written one by one.
    pub counted_only: u64,
    /// Outcomes that went into their connect's line.
    pub merged: u64,
    pub undecodable: u64,
    /// Listeners and open files that were there before the auditor: matched by userspace.
    pub found: u64,
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
        let in_kernel: u64 = [
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
        ]
        .map(|counter| maps.count(counter))
        .iter()
        .sum();
        Stopped {
            reason,
            matched: in_kernel + self.found,
            lines: sink.written_events,
            counted_only: self.counted_only,
            folded: maps.count(Counter::MemoryFolded) + maps.count(Counter::SocketFolded),
            merged: self.merged,
            lost: maps.count(Counter::EventRingFull)
                + maps.count(Counter::DeniedRingFull)
                + self.undecodable
                + sink.lost_events,
            queued,
            uptime_seconds: uptime.as_secs(),
        }
    }
}
