//! The handle that the pipeline holds.

use std::{
    fmt, io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Envelope, Format, Observer, Output, Rank, SinkTotals,
    shared::Shared,
    writer::{Message, Writer},
};
use crate::event::Body;

/// Lines that wait for a slow reader, by default: some 5 MiB of events.
pub const QUEUE_CAPACITY: usize = 2048;

/// What [`Reporter::finish`] leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    pub totals: SinkTotals,
    /// The last line is out, and everything before it is out or announced as lost.
    pub complete: bool,
}

/// Takes lines and never blocks. Dropped without [`Reporter::finish`], it abandons what waits.
pub struct Reporter {
    lines: SyncSender<Message>,
    returned: Receiver<Writer>,
    shared: Arc<Shared>,
    observer: Arc<dyn Observer>,
    capacity: usize,
    output_name: String,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

impl Reporter {
    /// Starts the writing thread. `capacity` is the number of lines that may wait; an eighth of it is kept for
    /// violations, and half of that for critical ones and the auditor's own words. `clock` times the lines that the sink itself writes.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(
        envelope: Envelope,
        output: Output,
        format: Format,
        observer: Arc<dyn Observer>,
        capacity: usize,
        clock: fn() -> Timestamp,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        // One more than there are lines, so that a wake-up has room.
        let (lines, queue) = sync_channel(capacity + 1);
        let (give_back, returned) = channel();
        let output_name = output.name().to_owned();
        let writer = Writer::new(
            envelope,
            output,
            format,
            shared.clone(),
            observer.clone(),
            capacity,
            clock,
        );
        thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || {
                // Fails when nobody waits for it any more.
                let _ = give_back.send(writer.run(&queue));
            })?;
        Ok(Self {
            lines,
            returned,
            shared,
            observer,
            capacity,
            output_name,
        })
    }

    /// Hands a line over. When the queue is full it is lost, counted, and announced once there is room again. `party`: whose share of the
    /// places that are kept for the grave it takes; `None` for what the auditor says of itself.
    pub fn emit(&self, party: Option<u64>, time: Timestamp, id: Uuid, body: Body) {
        self.observer.emitted(&body);
        let common = Rank::Plain.limit(self.capacity);
        let limit = Rank::of(&body).limit(self.capacity);
        let Some(place) = self.shared.enter(common, limit, party) else {
            self.lose(&body, time);
            return;
        };
        let line = Message::Line {
            time,
            id,
            body,
            place,
        };
        if let Err(TrySendError::Full(line) | TrySendError::Disconnected(line)) =
            self.lines.try_send(line)
            && let Message::Line {
                time, body, place, ..
            } = line
        {
            self.shared.leave(place);
            self.lose(&body, time);
        }
    }

    fn lose(&self, body: &Body, time: Timestamp) {
        self.shared.count_lost(body, time);
        self.observer.lost(body);
        // The writer may have emptied the queue since, and sleep.
        if self.shared.wake() {
            let _ = self.lines.try_send(Message::Wake);
        }
    }

    /// Lines that wait to be written.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shared.depth()
    }

    /// Lines that may wait.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Where they go: `stdout`, or the path.
    #[must_use]
    pub fn output_name(&self) -> &str {
        &self.output_name
    }

    /// Lines of the gravest kind that there is room for. Who alone emits can rely on it.
    #[must_use]
    pub fn free(&self) -> usize {
        self.capacity.saturating_sub(self.queued())
    }

    /// More than `lines` lines wait, and they get fewer: what can wait elsewhere should. False while nothing gets out: then
    /// waiting would never end.
    #[must_use]
    pub fn is_busy(&self, lines: usize) -> bool {
        self.queued() > lines && !self.shared.is_stalled()
    }

    #[must_use]
    pub fn totals(&self) -> SinkTotals {
        self.shared.totals()
    }

    /// Why writing fails, while it does. A reader who is merely slow is no failure, one who takes nothing for seconds is.
    #[must_use]
    pub fn failing(&self) -> Option<String> {
        self.shared.failing(Instant::now())
    }

    /// Writes what waits, announces what was lost, writes `words`, which need no room in the queue, and the last line, which
    /// `last` makes of the totals, and returns by `deadline`. Blocks the calling thread. What did not get out in time is counted as lost.
    pub fn finish(
        self,
        deadline: Instant,
        words: Vec<Body>,
        last: impl FnOnce(SinkTotals) -> (Timestamp, Uuid, Body),
    ) -> Finished {
        /// Kept for what comes after the queue.
        const LAST_WORDS: Duration = Duration::from_millis(300);
        let Self {
            lines,
            returned,
            shared,
            observer: _,
            capacity: _,
            output_name: _,
        } = self;
        let left = deadline.saturating_duration_since(Instant::now());
        shared.stop_by(
            deadline
                .checked_sub(LAST_WORDS.min(left / 2))
                .unwrap_or(deadline),
        );
        drop(lines);
        // Only a disk that hangs in the kernel keeps the thread from coming back.
        let Ok(writer) = returned.recv_timeout(left) else {
            return Finished {
                totals: shared.totals(),
                complete: false,
            };
        };
        shared.stop_by(deadline);
        let complete = writer.finish(words, last);
        Finished {
            totals: shared.totals(),
            complete,
        }
    }
}
