//! Events whose judgement lacks a pod that the cluster has not told of yet: bounded in number, and each looked at ever more rarely.

use std::{collections::VecDeque, time::Instant};

use super::{actor::Attributed, held::NextLook};

/// Some 400 KB of records. One more, and the oldest goes out as it is.
const CAPACITY: usize = 256;

/// What was found out at the first look stays so: processes and cgroups go away meanwhile.
#[derive(Debug)]
pub struct Waiting<T> {
    pub event: Box<T>,
    /// Where a later look would find the same.
    pub attributed: Option<Attributed>,
    next_look: Option<NextLook>,
}

impl<T> Waiting<T> {
    pub fn first(event: Box<T>) -> Self {
        Self {
            event,
            attributed: None,
            next_look: None,
        }
    }
}

/// Oldest first.
#[derive(Debug)]
pub struct Queue<T> {
    events: VecDeque<Waiting<T>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            events: VecDeque::new(),
        }
    }
}

impl<T> Queue<T> {
    /// Puts it to the others; the oldest where there are too many.
    pub fn hold(&mut self, mut waiting: Waiting<T>, now: Instant) -> Option<Waiting<T>> {
        let oldest = (self.events.len() >= CAPACITY)
            .then(|| self.events.pop_front())
            .flatten();
        waiting.next_look = Some(match waiting.next_look {
            Some(look) => look.later(now),
            None => NextLook::first(now),
        });
        self.events.push_back(waiting);
        oldest
    }

    /// Takes those whose time has come; all of them where `all`.
    pub fn take_due(&mut self, now: Instant, all: bool) -> Vec<Waiting<T>> {
        let (due, later): (VecDeque<_>, _) = std::mem::take(&mut self.events)
            .into_iter()
            .partition(|waiting| all || waiting.next_look.is_none_or(|look| look.is_due(now)));
        self.events = later;
        due.into()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn events(waiting: &[Waiting<usize>]) -> Vec<usize> {
        waiting.iter().map(|waiting| *waiting.event).collect()
    }

    #[test]
    fn looks_come_in_time_and_become_rarer() {
        let mut queue = Queue::default();
        let start = Instant::now();
        assert!(queue.hold(Waiting::first(Box::new(1)), start).is_none());
        assert!(queue.take_due(start, false).is_empty());
        let mut due = queue.take_due(start + Duration::from_millis(200), false);
        assert_eq!(events(&due), [1]);
        let second = start + Duration::from_millis(200);
        assert!(queue.hold(due.remove(0), second).is_none());
        assert!(queue.hold(Waiting::first(Box::new(2)), second).is_none());
        let due = queue.take_due(second + Duration::from_millis(200), false);
        assert_eq!(events(&due), [2], "the first waits twice as long now");
        assert_eq!(events(&queue.take_due(second, true)), [1]);
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut queue = Queue::default();
        let start = Instant::now();
        for event in 0..CAPACITY {
            assert!(queue.hold(Waiting::first(Box::new(event)), start).is_none());
        }
        let oldest = queue.hold(Waiting::first(Box::new(CAPACITY)), start);
        assert_eq!(oldest.map(|waiting| *waiting.event), Some(0));
        assert_eq!(queue.take_due(start, true).len(), CAPACITY);
    }
}
