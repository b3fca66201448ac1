//! Losses between kernel and userspace, announced in the stream.

use auditor_common::Counter;
use jiff::Timestamp;
use uuid::Uuid;

use super::Pipeline;
use crate::{
    event::{Body, Loss},
    probe::Maps,
};

const RINGS: [(Counter, &str); 4] = [
    (Counter::EventRingFull, "events"),
    (Counter::LifecycleRingFull, "lifecycle"),
    // Commands of exec sessions, which share the ring of the events.
    (Counter::SessionRingFull, "exec-sessions"),
    (Counter::DeniedRingFull, "denied"),
];

/// What was announced so far.
#[derive(Debug)]
pub struct LossWatch {
    announced: [u64; RINGS.len()],
    undecodable: u64,
    since: Timestamp,
}

impl LossWatch {
    pub fn new(maps: &Maps, since: Timestamp) -> Self {
        // What the canaries lost is nobody's event.
        Self {
            announced: RINGS.map(|(counter, _)| maps.count(counter)),
            undecodable: 0,
            since,
        }
    }
}

impl Pipeline {
    pub(super) fn report_losses(&mut self) {
        let now = Timestamp::now();
        let mut losses = Vec::new();
        for ((counter, ring), announced) in RINGS.iter().zip(&mut self.loss.announced) {
            let lost = self.maps.count(*counter);
            if lost > *announced {
                losses.push(("ring-full", Some((*ring).to_owned()), lost - *announced));
                *announced = lost;
            }
        }
        if self.totals.undecodable > self.loss.undecodable {
            losses.push((
                "decode",
                None,
                self.totals.undecodable - self.loss.undecodable,
            ));
            self.loss.undecodable = self.totals.undecodable;
        }
        for (reason, ring, count) in losses {
            // An open that was refused, or a probe's argv, is no open that was missed.
            if !matches!(ring.as_deref(), Some("exec-sessions" | "denied")) {
                self.history.note_loss(now);
            }
            if ring.as_deref() == Some("lifecycle")
                && let Err(error) = self.cgroups.walk()
            {
                tracing::warn!(%error, "cannot read the cgroup hierarchy");
            }
            let loss = Loss {
                reason: reason.to_owned(),
                ring,
                count,
                from: self.loss.since,
                to: now,
            };
            self.emit(now, Uuid::now_v7(), Body::Loss(loss));
        }
        self.loss.since = now;
    }
}
