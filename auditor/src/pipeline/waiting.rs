//! Events whose judgement lacks a pod that the cluster has not told of yet: bounded in number, and each looked at ever more rarely.

use std::time::Instant;

use super::{
    actor::Attributed,
    fair::{Fair, Party},
    held::NextLook,
};

/// Some 400 KB of records. One more, and one of whoever has most goes out as it is.
const CAPACITY: usize = 256;

/// What was found out at the first look stays so: processes and cgroups go away meanwhile.
#[derive(Debug)]
pub struct Waiting<T> {
    pub event: Box<T>,
    /// As the last look found.
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

#[derive(Debug)]
pub struct Queue<T> {
    events: Fair<Waiting<T>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            events: Fair::new(CAPACITY),
        }
    }
}

impl<T> Queue<T> {
    /// Puts it to the others; one comes back where there are too many.
    pub fn hold(
        &mut self,
        party: Party,
        about: u64,
        mut waiting: Waiting<T>,
        now: Instant,
    ) -> Option<Waiting<T>> {
        waiting.next_look = Some(match waiting.next_look {
            Some(look) => look.later(now),
            None => NextLook::first(now),
        });
        self.events.hold(party, about, waiting)
    }

    /// Takes `most` of those whose time has come, oldest first; all of them where `all`.
    pub fn take_due(&mut self, now: Instant, all: bool, most: usize) -> Vec<Waiting<T>> {
        let is_due =
            |waiting: &Waiting<T>| all || waiting.next_look.is_none_or(|look| look.is_due(now));
        self.events.take(most, is_due)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::fair::Class, *};

    const STRANGER: Party = Party {
        class: Class::Stranger,
        id: 1,
    };

    fn events(waiting: &[Waiting<usize>]) -> Vec<usize> {
        waiting.iter().map(|waiting| *waiting.event).collect()
    }

    fn hold(queue: &mut Queue<usize>, waiting: Waiting<usize>, now: Instant) -> Option<usize> {
        let out = queue.hold(STRANGER, 0, waiting, now);
        out.map(|waiting| *waiting.event)
    }

    #[test]
    fn looks_come_in_time_and_become_rarer() {
        let mut queue = Queue::default();
        let start = Instant::now();
        assert_eq!(hold(&mut queue, Waiting::first(Box::new(1)), start), None);
        assert!(queue.take_due(start, false, CAPACITY).is_empty());
        let mut due = queue.take_due(start + Duration::from_millis(200), false, CAPACITY);
        assert_eq!(events(&due), [1]);
        let second = start + Duration::from_millis(200);
        assert_eq!(hold(&mut queue, due.remove(0), second), None);
        assert_eq!(hold(&mut queue, Waiting::first(Box::new(2)), second), None);
        let due = queue.take_due(second + Duration::from_millis(200), false, CAPACITY);
        assert_eq!(events(&due), [2], "the first waits twice as long now");
        assert_eq!(events(&queue.take_due(second, true, CAPACITY)), [1]);
    }

    #[test]
    fn one_of_those_that_wait_makes_room() {
        let mut queue = Queue::default();
        let start = Instant::now();
        let mut put = |event| hold(&mut queue, Waiting::first(Box::new(event)), start);
        assert!((0..CAPACITY).all(|event| put(event).is_none()));
        assert_eq!(put(CAPACITY), Some(1), "the first stands for the rest");
        assert_eq!(queue.take_due(start, true, CAPACITY).len(), CAPACITY);
    }
}
