//! The end of a connection: what its line says, and what it waits for.

use std::time::Instant;

use auditor_common::{CANARY_ENDPOINT, OutcomeRecord};
use jiff::Timestamp;
use uuid::Uuid;

use super::Open;
use crate::{
    audit::{CloseCase, judge_close, judge_unseen_close},
    event::{Body, ConnectionClosed, Verdict},
    node::Clock,
    pipeline::{
        Pipeline,
        fair::{Class, Party, about},
        held::{NextLook, lacks_service_account},
        knowledge,
    },
};

#[derive(Debug)]
pub(super) struct Closing {
    open: Open,
    record: OutcomeRecord,
    next_look: NextLook,
}

impl Pipeline {
    pub(in crate::pipeline) fn on_closed(&mut self, record: &OutcomeRecord) {
        if record.endpoint == CANARY_ENDPOINT {
            return;
        }
        if let Some(waiting) = self.connects.waiting.get_mut(&record.key) {
            waiting.closed = Some(*record);
        } else if let Some(open) = self.connects.open.remove(&record.key) {
            self.finish_connection(open, record, None, false);
        } else if self.connects.forgotten.take(&record.key) {
            self.totals.crowded_out += 1;
        } else {
            // Its connect is only counted or was lost, or it is older than the auditor.
            self.count_only();
        }
    }

    /// Looks at the ended connections whose time has come; `last`: nothing may wait any longer.
    pub(in crate::pipeline) fn retry_closing(&mut self, last: bool) {
        let now = Instant::now();
        let is_due = |closing: &Closing| last || closing.next_look.is_due(now);
        let most = self.room_for_retries(last);
        for closing in self.connects.closing.take(most, is_due) {
            let looked = Some(closing.next_look);
            self.finish_connection(closing.open, &closing.record, looked, last);
        }
    }

    /// Writes the end's line, unless a later look may know more.
    pub(super) fn finish_connection(
        &mut self,
        open: Open,
        record: &OutcomeRecord,
        looked: Option<NextLook>,
        last: bool,
    ) {
        self.refresh_sources();
        let time = self.clock.wall(record.header.time);
        let judgement = judge_close(&CloseCase {
            time,
            actor: open.who.actor(),
            process: &open.process,
            endpoint: open.endpoint.kind,
            bytes_received: record.bytes_received,
            knowledge: knowledge(&self.sources, &self.settings),
        });
        if !last && self.may_become_clear(&judgement, record.header.time) {
            if let Some(pod) = open.who.pod()
                && lacks_service_account(&judgement)
            {
                self.want_service_account(pod, Some(time));
            }
            self.hold_closing(open, record, looked);
            return;
        }
        let line = ConnectionClosed {
            connect_id: open.id.to_string(),
            bytes_sent: record.bytes_sent,
            bytes_received: record.bytes_received,
            duration_us: record.header.time.saturating_sub(open.boot_ns) / 1000,
            verdict: judgement.verdict,
            undetermined: judgement.undetermined,
            findings: judgement.findings,
            pod: self.pod_ref(&open.who),
            connection: open.connection,
        };
        let body = Body::ConnectionClosed(Box::new(line));
        self.emit_of(Some(open.party), time, Uuid::now_v7(), body);
    }

    /// Whoever opens connections without end must not have the end of one forgotten that would accuse him: that it might have is told.
    pub(super) fn tell_of_forgotten(&mut self, open: &Open) {
        let time = Timestamp::now();
        let judgement = judge_unseen_close(&CloseCase {
            time,
            actor: open.who.actor(),
            process: &open.process,
            endpoint: open.endpoint.kind,
            bytes_received: 0,
            knowledge: knowledge(&self.sources, &self.settings),
        });
        if judgement.verdict == Verdict::Allowed {
            return;
        }
        // No record tells of it; its end, when it comes, is one that is lost.
        self.totals.found += 1;
        let line = ConnectionClosed {
            connect_id: open.id.to_string(),
            bytes_sent: 0,
            bytes_received: 0,
            duration_us: Clock::boot_ns().saturating_sub(open.boot_ns) / 1000,
            verdict: judgement.verdict,
            undetermined: judgement.undetermined,
            findings: judgement.findings,
            pod: self.pod_ref(&open.who),
            connection: open.connection.clone(),
        };
        let body = Body::ConnectionClosed(Box::new(line));
        self.emit_of(Some(open.party), time, Uuid::now_v7(), body);
    }

    fn hold_closing(&mut self, open: Open, record: &OutcomeRecord, looked: Option<NextLook>) {
        let now = Instant::now();
        let party = Party {
            class: Class::Stranger,
            id: open.party,
        };
        let about = about((open.process.exe_inode, open.endpoint.address));
        let closing = Closing {
            open,
            record: *record,
            next_look: looked.map_or_else(|| NextLook::first(now), |look| look.later(now)),
        };
        if let Some(spare) = self.connects.closing.hold(party, about, closing) {
            let looked = Some(spare.next_look);
            self.finish_connection(spare.open, &spare.record, looked, true);
        }
    }
}
