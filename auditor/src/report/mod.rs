//! Out: lines of JSON on stdout or in a file, in order, every loss announced.
//!
//! The pipeline hands `(time, id, Body)` to [`Reporter::emit`], which never blocks. A thread of its own gives each its
//! envelope and number, writes it as one line, and waits for slow readers and full disks while a bounded queue fills up.
//!
//! `seq` is without holes, but for one kind: a line of event `loss` with reason `sink` is preceded by a hole of exactly
//! `count` numbers, those of the lines that the sink lost.

mod cut;
mod encode;
mod envelope;
mod format;
mod output;
mod reporter;
pub mod schema;
mod shared;
mod trim;
mod writer;

use std::{sync::Arc, time::Duration};

pub use encode::LINE_LIMIT;
pub(crate) use encode::must_escape;
pub use envelope::Envelope;
pub use format::Format;
pub use output::{Output, OutputError};
pub use reporter::{Finished, QUEUE_CAPACITY, Reporter};
pub use shared::SinkTotals;
pub(crate) use trim::cut_map;

use crate::event::{Body, Finding, Severity, Verdict};

/// Told of every line. Methods are called from the emitting and the writing thread, and must be cheap.
pub trait Observer: Send + Sync {
    /// Handed over, whether or not it will be written.
    fn emitted(&self, body: &Body);
    /// Written, `latency` after the line's own `time`.
    fn written(&self, body: &Body, latency: Duration);
    /// Lost by the sink.
    fn lost(&self, body: &Body);
}

/// Both are told, in this order.
impl<A: Observer, B: Observer> Observer for (Arc<A>, Arc<B>) {
    fn emitted(&self, body: &Body) {
        self.0.emitted(body);
        self.1.emitted(body);
    }

    fn written(&self, body: &Body, latency: Duration) {
        self.0.written(body, latency);
        self.1.written(body, latency);
    }

    fn lost(&self, body: &Body) {
        self.0.lost(body);
        self.1.lost(body);
    }
}

/// Stands for a use of a credential, as opposed to the auditor's words about itself.
fn is_event(body: &Body) -> bool {
    match body {
        Body::TokenOpen(_)
        | Body::CredentialConnect(_)
        | Body::ConnectionClosed(_)
        | Body::AgentAccept(_)
        | Body::Listen(_)
        | Body::TokenReceived(_)
        | Body::MemoryAccess(_)
        | Body::SocketCreate(_) => true,
        Body::Posture(_)
        | Body::Ready(_)
        | Body::Stopped(_)
        | Body::Summary(_)
        | Body::Loss(_)
        | Body::Health(_) => false,
    }
}

/// How much of the queue a line may use. What floods ordinary events must not keep violations out, nor what floods those the gravest;
/// and what floods with these, nobody else's (`shared::Shared::enter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Plain,
    Violation,
    /// A critical finding, or the auditor's words about itself: they tell what the others cannot.
    Critical,
}

impl Rank {
    /// Lines that may wait before one of this rank is refused.
    fn limit(self, capacity: usize) -> usize {
        match self {
            Self::Plain => capacity - capacity / 8,
            Self::Violation => capacity - capacity / 16,
            Self::Critical => capacity,
        }
    }

    fn of(body: &Body) -> Self {
        let (verdict, findings) = match body {
            Body::TokenOpen(open) => (open.verdict, &open.findings),
            Body::CredentialConnect(connect) => (connect.verdict, &connect.findings),
            Body::ConnectionClosed(closed) => (closed.verdict, &closed.findings),
            Body::AgentAccept(accept) => (accept.verdict, &accept.findings),
            Body::Listen(listen) => (listen.verdict, &listen.findings),
            Body::TokenReceived(received) => (received.verdict, &received.findings),
            Body::MemoryAccess(access) => (access.verdict, &access.findings),
            Body::SocketCreate(create) => (create.verdict, &create.findings),
            // A pod's own flood is no news; a stranger's is what its first opens were told as.
            Body::Summary(summary) if summary.stranger => return Self::Violation,
            Body::Summary(_) => return Self::Plain,
            Body::Posture(_)
            | Body::Ready(_)
            | Body::Stopped(_)
            | Body::Loss(_)
            | Body::Health(_) => return Self::Critical,
        };
        let is_critical = |finding: &Finding| {
            finding.severity == Severity::Critical && finding.exempted_by.is_none()
        };
        match verdict {
            Verdict::Violation if findings.iter().any(is_critical) => Self::Critical,
            Verdict::Violation => Self::Violation,
            _ => Self::Plain,
        }
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) mod fixture;
#[cfg(fuzzing)]
pub(crate) mod fuzzing {
    pub(crate) use super::{encode::Encoder, fixture::*};
}
#[cfg(test)]
mod tests;
