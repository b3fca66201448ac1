//! What the stages tell of themselves, for `auditor status`.

use std::time::Duration;

use jiff::Timestamp;

use super::Pipeline;
use crate::status::{Loss, Sink, Sources, Totals};

impl Pipeline {
    pub fn sources_status(&self) -> Sources {
        self.sources.status(Timestamp::now())
    }

    /// The kernel counts on meanwhile: what lies between two of its counters is on the way.
    pub fn totals_status(&self) -> Totals {
        let sink = self.reporter.totals();
        let now = self
            .totals
            .stopped(&self.maps, sink, String::new(), Duration::ZERO, 0);
        let known = [
            now.lines,
            now.counted_only,
            now.merged,
            now.folded,
            now.lost,
        ];
        Totals {
            matched: now.matched,
            lines: now.lines,
            counted_only: now.counted_only,
            merged: now.merged,
            folded: now.folded,
            flooded: now.flooded,
            lost: now.lost,
            on_the_way: now.matched.saturating_sub(known.iter().sum()),
        }
    }

    /// Since the start, where anything was.
    pub fn losses_status(&self) -> Vec<Loss> {
        let sink = Loss {
            reason: "sink".to_owned(),
            ring: None,
            count: self.reporter.totals().lost,
        };
        let mut losses = self.loss.counted();
        losses.push(sink);
        losses.retain(|loss| loss.count > 0);
        losses
    }

    pub fn sink_status(&self) -> Sink {
        let totals = self.reporter.totals();
        Sink {
            name: self.reporter.output_name().to_owned(),
            failing: self.reporter.failing(),
            written: totals.written,
            lost: totals.lost,
            waiting: self.reporter.queued() as u64,
            capacity: self.reporter.capacity() as u64,
        }
    }
}
