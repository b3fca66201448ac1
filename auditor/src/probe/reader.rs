//! Reading the ring buffers.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use aya::maps::{MapData, RingBuf};
use tokio::io::{Interest, unix::AsyncFd};

/// As many records of others as a canary looks through: some 9 MB of the biggest.
const BACKLOG: usize = 4096;

/// The ring buffers. Lifecycle records are always read first: they tell whose cgroup an event's is. Then what strangers did, which no
/// noise may hold up; refused opens last.
pub struct Rings {
    strangers: RingBuf<MapData>,
    events: RingBuf<MapData>,
    lifecycle: RingBuf<MapData>,
    denied: RingBuf<MapData>,
    /// Records that the canaries met and left for the pipeline.
    backlog: std::collections::VecDeque<Vec<u64>>,
}

/// What one call of [`Rings::drain`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    pub records: u64,
    /// The limit was reached: there may be more.
    pub more: bool,
}

impl Rings {
    pub(super) fn new(
        strangers: RingBuf<MapData>,
        events: RingBuf<MapData>,
        lifecycle: RingBuf<MapData>,
        denied: RingBuf<MapData>,
    ) -> Self {
        Self {
            strangers,
            events,
            lifecycle,
            denied,
            backlog: Default::default(),
        }
    }

    /// Hands up to `limit` event records to `event`, and before each one every lifecycle record to `lifecycle`.
    pub fn drain<S>(
        &mut self,
        limit: u64,
        state: &mut S,
        mut lifecycle: impl FnMut(&mut S, &[u8]),
        mut event: impl FnMut(&mut S, &[u8]),
    ) -> Drained {
        let mut records = 0;
        loop {
            while let Some(item) = self.lifecycle.next() {
                lifecycle(state, &item);
            }
            if records == limit {
                return Drained {
                    records,
                    more: true,
                };
            }
            if let Some(words) = self.backlog.pop_front() {
                event(state, zerocopy::IntoBytes::as_bytes(words.as_slice()));
            } else if let Some(item) = self.strangers.next() {
                while let Some(item) = self.lifecycle.next() {
                    lifecycle(state, &item);
                }
                event(state, &item);
            } else if let Some(item) = self.events.next() {
                // The record's cgroup was made before it opened anything, but perhaps after the look above.
                while let Some(item) = self.lifecycle.next() {
                    lifecycle(state, &item);
                }
                event(state, &item);
            } else if let Some(item) = self.denied.next() {
                event(state, &item);
            } else {
                return Drained {
                    records,
                    more: false,
                };
            }
            records += 1;
        }
    }

    /// Takes event records until `wanted` says yes; the others are kept for the pipeline.
    pub(super) fn find(&mut self, mut wanted: impl FnMut(&[u8]) -> Found) -> bool {
        find(&mut self.strangers, &mut self.backlog, &mut wanted)
            || find(&mut self.events, &mut self.backlog, wanted)
    }

    /// The same among refused opens.
    pub(super) fn find_denied(&mut self, wanted: impl FnMut(&[u8]) -> Found) -> bool {
        find(&mut self.denied, &mut self.backlog, wanted)
    }

    /// Whether a canary met as many records of others as are kept.
    pub(super) fn is_crowded(&self) -> bool {
        self.backlog.len() >= BACKLOG
    }

    /// Watches all rings for the runtime that this is called in.
    pub fn watch(&self) -> std::io::Result<RingWatch> {
        Ok(RingWatch {
            strangers: register(self.strangers.as_fd())?,
            events: register(self.events.as_fd())?,
            lifecycle: register(self.lifecycle.as_fd())?,
            denied: register(self.denied.as_fd())?,
        })
    }
}

fn find(
    ring: &mut RingBuf<MapData>,
    backlog: &mut std::collections::VecDeque<Vec<u64>>,
    mut wanted: impl FnMut(&[u8]) -> Found,
) -> bool {
    while backlog.len() < BACKLOG
        && let Some(item) = ring.next()
    {
        match wanted(&item) {
            Found::Yes => return true,
            Found::Mine => {}
            Found::No => {
                let words = item.chunks(8).map(|chunk| {
                    let mut word = [0; 8];
                    word[..chunk.len()].copy_from_slice(chunk);
                    u64::from_ne_bytes(word)
                });
                backlog.push_back(words.collect());
            }
        }
    }
    false
}

/// What a canary makes of a record.
pub(super) enum Found {
    /// The one that proves the hook.
    Yes,
    /// A canary's, but not that one: nobody else's business.
    Mine,
    No,
}

fn register(fd: BorrowedFd<'_>) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the AsyncFd owns a duplicate of its own, so the descriptor stays open and is never swapped.
    let registered =
        unsafe { AsyncFd::register_with_interest(fd.try_clone_to_owned()?, Interest::READABLE) };
    registered.map_err(|error| {
        let (_, cause) = error.into_parts();
        cause
    })
}

/// Readiness of the rings.
pub struct RingWatch {
    strangers: AsyncFd<OwnedFd>,
    events: AsyncFd<OwnedFd>,
    lifecycle: AsyncFd<OwnedFd>,
    denied: AsyncFd<OwnedFd>,
}

impl RingWatch {
    /// Returns once any ring has records that came after the last call.
    pub async fn readable(&self) -> std::io::Result<()> {
        tokio::select! {
            ready = self.strangers.readable() => ready?.clear_ready(),
            ready = self.events.readable() => ready?.clear_ready(),
            ready = self.lifecycle.readable() => ready?.clear_ready(),
            ready = self.denied.readable() => ready?.clear_ready(),
        }
        Ok(())
    }
}

impl std::fmt::Debug for RingWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "RingWatch({}, {}, {}, {})",
            self.strangers.as_raw_fd(),
            self.events.as_raw_fd(),
            self.lifecycle.as_raw_fd(),
            self.denied.as_raw_fd()
        )
    }
}
