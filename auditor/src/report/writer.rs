//! The writing thread: numbers, encodes and writes one line after another, and waits out what stands in the way.

use std::{
    io,
    sync::{Arc, mpsc::Receiver},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Envelope, Format, Observer, SinkTotals,
    encode::Encoder,
    output::Output,
    shared::{Place, STALL, Shared},
};
use crate::event::{Body, Health};

/// How long a write waits for room before it looks whether it is time to stop.
const PATIENCE: Duration = Duration::from_millis(50);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);
/// While loss goes on, it is announced this often; once the queue is half empty, at once.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) enum Message {
    Line {
        time: Timestamp,
        id: Uuid,
        body: Body,
        place: Place,
    },
    /// Look at what was lost.
    Wake,
}

pub(super) struct Writer {
    envelope: Envelope,
    encoder: Encoder,
    output: Output,
    shared: Arc<Shared>,
    observer: Arc<dyn Observer>,
    clock: fn() -> Timestamp,
    capacity: usize,
    next_seq: u64,
    /// When loss was last announced.
    announced: Option<Instant>,
    /// The line that the encoder holds, until all of it is out.
    pending: Option<Pending>,
    outage: Option<Outage>,
    /// Since when the other side takes nothing.
    stalled: Option<Instant>,
}

struct Pending {
    written: usize,
    time: Timestamp,
    body: Body,
}

/// Writing fails since then.
struct Outage {
    since: Instant,
    why: String,
    retry: Duration,
}

impl Writer {
    pub fn new(
        envelope: Envelope,
        output: Output,
        format: Format,
        shared: Arc<Shared>,
        observer: Arc<dyn Observer>,
        capacity: usize,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            envelope,
            encoder: Encoder::new(format),
            output,
            shared,
            observer,
            clock,
            capacity,
            next_seq: 0,
            announced: None,
            pending: None,
            outage: None,
            stalled: None,
        }
    }

    /// Until the other side hangs up, and then until the queue is empty or the deadline is past.
    pub fn run(mut self, lines: &Receiver<Message>) -> Self {
        while let Ok(message) = lines.recv() {
            match message {
                Message::Wake => self.shared.awake(),
                Message::Line {
                    time, body, place, ..
                } if self.out_of_time() || self.pending.is_some() => {
                    self.shared.leave(place);
                    self.lose(&body, time);
                    continue;
                }
                Message::Line {
                    time,
                    id,
                    body,
                    place,
                } => {
                    self.shared.leave(place);
                    self.write(time, id, body);
                    self.announce_recovery();
                }
            }
            self.announce_when_due();
        }
        self
    }

    /// Finishes the line that a deadline interrupted, announces what was lost, writes `words` and the last line. True when all of
    /// that is out.
    pub fn finish(
        mut self,
        words: Vec<Body>,
        last: impl FnOnce(SinkTotals) -> (Timestamp, Uuid, Body),
    ) -> bool {
        let mut complete = self.push() && self.announce_recovery() && self.announce();
        for body in words {
            complete = complete && self.write_own(body);
        }
        if complete {
            let (time, id, body) = last(self.shared.totals());
            complete = self.write(time, id, body);
        }
        if let Some(Pending { time, body, .. }) = self.pending.take() {
            self.lose(&body, time);
        }
        if let Err(error) = self.output.sync() {
            tracing::warn!(%error, "the last events may not be on disk yet: {}", self.output.name());
        }
        complete
    }

    fn lose(&self, body: &Body, time: Timestamp) {
        self.shared.count_lost(body, time);
        self.observer.lost(body);
    }

    /// False when the deadline came first: then a part may be out, and the rest is pending.
    fn write(&mut self, time: Timestamp, id: Uuid, body: Body) -> bool {
        let mut line = self.envelope.line(self.next_seq, time, id, body);
        if let Err(error) = self.encoder.encode(&mut line) {
            tracing::error!(%error, "an event could not be written as JSON: {:?}", line.body);
            self.lose(&line.body, time);
            return false;
        }
        self.next_seq += 1;
        self.pending = Some(Pending {
            written: 0,
            time,
            body: line.body,
        });
        self.push()
    }

    /// Writes what is pending.
    fn push(&mut self) -> bool {
        while let Some(pending) = &mut self.pending {
            // A line begun in a file is finished there, unless that file fails.
            let follow = match pending.written {
                0 => self.output.follow(self.outage.is_some()),
                _ if self.outage.is_some() => self.output.follow(true),
                _ => Ok(false),
            };
            let result = follow.and_then(|anew| {
                if anew {
                    pending.written = 0;
                }
                let rest = &self.encoder.bytes()[pending.written..];
                let output = &mut self.output;
                self.shared.writing(|| output.write_some(rest, PATIENCE))
            });
            match result {
                Ok(0) => self.note_stall(),
                Ok(n) => {
                    pending.written += n;
                    self.stalled = None;
                    self.shared.set_stalled(false);
                }
                Err(error) if self.give_up(&error) => return false,
                Err(error) => self.wait_out(&error),
            }
            if self
                .pending
                .as_ref()
                .is_some_and(|p| p.written == self.encoder.bytes().len())
            {
                self.done();
            } else if self.out_of_time() {
                return false;
            }
        }
        true
    }

    /// The pending line is out.
    fn done(&mut self) {
        let Some(Pending { time, body, .. }) = self.pending.take() else {
            return;
        };
        let latency = Duration::try_from((self.clock)().duration_since(time)).unwrap_or_default();
        self.shared.count_written(&body);
        self.observer.written(&body, latency);
        if self.outage.is_some() {
            self.shared.set_failing(None);
        }
    }

    /// Nobody will read this pipe before we are gone.
    fn give_up(&self, error: &io::Error) -> bool {
        self.shared.deadline().is_some() && error.kind() == io::ErrorKind::BrokenPipe
    }

    fn out_of_time(&self) -> bool {
        self.shared
            .deadline()
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn wait_out(&mut self, error: &io::Error) {
        self.shared.set_stalled(true);
        let outage = self.fail(Instant::now(), || error.to_string());
        let wait = outage.retry;
        outage.retry = (wait * 2).min(LAST_RETRY);
        self.shared.sleep(wait);
    }

    /// The write has waited for room already.
    fn note_stall(&mut self) {
        self.shared.set_stalled(true);
        let since = *self.stalled.get_or_insert_with(Instant::now);
        if since.elapsed() >= STALL {
            self.fail(since, || "its reader takes nothing".to_owned());
        }
    }

    /// Tells of it once.
    fn fail(&mut self, since: Instant, why: impl Fn() -> String) -> &mut Outage {
        self.outage.get_or_insert_with(|| {
            let why = why();
            tracing::error!(
                "cannot write events to {}: {why}; trying again until it works",
                self.output.name()
            );
            self.shared.set_failing(Some(format!(
                "events cannot be written to {}: {why}",
                self.output.name()
            )));
            Outage {
                since,
                why,
                retry: FIRST_RETRY,
            }
        })
    }

    fn announce_recovery(&mut self) -> bool {
        if self.pending.is_some() {
            return false;
        }
        let Some(Outage {
            since,
            why,
            retry: _,
        }) = self.outage.take()
        else {
            return true;
        };
        let message = format!(
            "writing to {} works again; it failed for {:.1} s: {why}",
            self.output.name(),
            since.elapsed().as_secs_f64()
        );
        tracing::info!("{message}");
        self.write_own(Body::Health(Health {
            component: "sink".to_owned(),
            state: "ok".to_owned(),
            message,
        }))
    }

    fn announce_when_due(&mut self) {
        let room = self.shared.depth() <= self.capacity / 2;
        if room
            || self
                .announced
                .is_none_or(|at| at.elapsed() >= ANNOUNCE_EVERY)
        {
            self.announce();
        }
    }

    /// True when there is nothing left to announce.
    fn announce(&mut self) -> bool {
        if self.pending.is_some() {
            return false;
        }
        let Some(loss) = self.shared.take_loss() else {
            return true;
        };
        self.announced = Some(Instant::now());
        // The hole that this line explains.
        self.next_seq += loss.count;
        self.write_own(Body::Loss(loss))
    }

    fn write_own(&mut self, body: Body) -> bool {
        self.write((self.clock)(), Uuid::now_v7(), body)
    }
}
