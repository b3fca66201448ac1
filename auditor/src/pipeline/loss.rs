//! Losses on the way to the sink: counted at once, announced in the stream when there is room for the words.

use auditor_common::Counter;
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Pipeline,
    totals::{RINGS, Ring},
};
use crate::event::{Body, Loss};

/// Where something is lost.
#[derive(Clone, Copy, Debug)]
enum Place {
    Ring(Ring),
    /// Between record and event.
    Decode,
    /// Between event and line.
    Queue,
}

const PLACES: [Place; RINGS.len() + 2] = [
    Place::Ring(RINGS[0]),
    Place::Ring(RINGS[1]),
    Place::Ring(RINGS[2]),
    Place::Ring(RINGS[3]),
    Place::Ring(RINGS[4]),
    Place::Decode,
    Place::Queue,
];

impl Place {
    fn reason(self) -> &'static str {
        match self {
            Self::Ring(_) => "ring-full",
            Self::Decode => "decode",
            Self::Queue => "queue-full",
        }
    }

    fn ring(self) -> Option<String> {
        match self {
            Self::Ring(ring) => Some(ring.name.to_owned()),
            Self::Decode | Self::Queue => None,
        }
    }
}

/// What was lost in one place.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    counted: u64,
    /// Not announced yet, and since when.
    due: Option<(u64, Timestamp)>,
}

impl Watched {
    /// The news, if any. `since`: when it was looked at last.
    fn count(&mut self, now: u64, since: Timestamp) -> Option<u64> {
        let news = now.checked_sub(self.counted).filter(|count| *count > 0)?;
        self.counted = now;
        let (due, from) = self.due.unwrap_or((0, since));
        self.due = Some((due + news, from));
        Some(news)
    }
}

#[derive(Debug)]
pub struct LossWatch {
    places: [Watched; PLACES.len()],
    /// Before the last look at the counters: what is counted later may have been lost since.
    looked: Timestamp,
    /// After it.
    seen: Timestamp,
}

impl LossWatch {
    pub fn new(since: Timestamp) -> Self {
        Self {
            places: [Watched::default(); PLACES.len()],
            looked: since,
            seen: since,
        }
    }

    /// What was lost in each place, since the start.
    pub fn counted(&self) -> Vec<crate::status::Loss> {
        let places = PLACES.iter().zip(&self.places);
        let counted = places.map(|(place, watched)| crate::status::Loss {
            reason: place.reason().to_owned(),
            ring: place.ring(),
            count: watched.counted,
        });
        counted.collect()
    }
}

impl Pipeline {
    pub(super) fn report_losses(&mut self) {
        // Whoever is stopped between the clock and a counter loses more than the clock knows.
        let before = Timestamp::now();
        for (place, watched) in PLACES.iter().zip(&mut self.loss.places) {
            let count = match place {
                Place::Ring(ring) => self.maps.count_since_live(ring.counter),
                Place::Decode => self.totals.undecodable + self.totals.undecodable_lifecycle,
                Place::Queue => self.totals.crowded_out,
            };
            let Some(news) = watched.count(count, self.loss.looked) else {
                continue;
            };
            self.metrics.add_lost(place.reason(), news);
            match place {
                Place::Ring(Ring {
                    holds_history: false,
                    ..
                })
                | Place::Queue => {}
                Place::Ring(_) | Place::Decode => self.history.note_loss(Timestamp::now()),
            }
            if let Place::Ring(Ring {
                counter: Counter::LifecycleRingFull,
                ..
            }) = place
            {
                self.cgroups.note_loss();
            }
        }
        self.cgroups.catch_up();
        let now = Timestamp::now();
        (self.loss.looked, self.loss.seen) = (before, now);
        self.announce_losses(now);
    }

    /// What explains a loss must not be lost itself: it waits for room.
    fn announce_losses(&mut self, now: Timestamp) {
        if self.reporter.free() < PLACES.len() {
            return;
        }
        for loss in self.take_losses() {
            self.emit(now, Uuid::now_v7(), loss);
        }
    }

    /// What is to be announced, and is from here on the caller's to announce.
    pub(super) fn take_losses(&mut self) -> Vec<Body> {
        let to = self.loss.seen;
        let places = PLACES.iter().zip(&mut self.loss.places);
        let due = places.filter_map(|(place, watched)| Some((place, watched.due.take()?)));
        due.map(|(place, (count, from))| {
            Body::Loss(Loss {
                reason: place.reason().to_owned(),
                ring: place.ring(),
                count,
                from,
                to,
            })
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_room_grows_and_keeps_its_start() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut watched = Watched::default();
        assert_eq!(watched.count(0, at(1)), None);
        assert_eq!(watched.count(3, at(2)), Some(3));
        assert_eq!(watched.count(3, at(3)), None);
        assert_eq!(watched.count(7, at(4)), Some(4));
        assert_eq!(watched.due.take(), Some((7, at(2))));
        assert_eq!(watched.count(8, at(5)), Some(1));
        assert_eq!(watched.due, Some((1, at(5))));
    }
}
