//! Bounded waiting with a share for each: where a queue is full, whoever holds most of it makes room, and never anybody else.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Who holds a place: a pod, or outside every pod a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Party {
    pub class: Class,
    /// The same for all containers of a pod, or who makes many of them gets many shares.
    pub id: u64,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Somebody uses what is his own.
    Own,
    /// Somebody may use what is another's: a quarter of the queue is kept for these.
    Stranger,
}

/// A queue of at most `capacity`, each party's oldest first.
#[derive(Debug)]
pub struct Fair<T> {
    capacity: usize,
    parties: HashMap<Party, VecDeque<(u64, T)>>,
    own: usize,
    strangers: usize,
    arrivals: u64,
}

impl<T> Fair<T> {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            parties: HashMap::new(),
            own: 0,
            strangers: 0,
            arrivals: 0,
        }
    }

    /// Puts it behind the others of its party. Where there was no room, the oldest of the party that holds most comes back.
    pub fn hold(&mut self, party: Party, item: T) -> Option<T> {
        let for_own = self.capacity - self.capacity / 4;
        let makes_room = match party.class {
            Class::Own if self.own >= for_own => Some(Class::Own),
            // Own ones hold no more than their part, so strangers hold more than theirs.
            _ if self.own + self.strangers >= self.capacity => Some(Class::Stranger),
            Class::Own | Class::Stranger => None,
        };
        let arrival = self.arrivals;
        self.arrivals += 1;
        // After it is in: a party that takes the last place is one of those that may have to make room.
        self.parties
            .entry(party)
            .or_default()
            .push_back((arrival, item));
        *self.held(party.class) += 1;
        makes_room.and_then(|class| self.oldest_of_largest(class))
    }

    fn oldest_of_largest(&mut self, class: Class) -> Option<T> {
        let of_class = self.parties.iter().filter(|(p, _)| p.class == class);
        // Among equals, who has waited longest.
        let (largest, _) = of_class.max_by_key(|(_, items)| {
            let oldest = items.front().map_or(u64::MAX, |(arrival, _)| *arrival);
            (items.len(), std::cmp::Reverse(oldest))
        })?;
        let largest = *largest;
        let items = self.parties.get_mut(&largest)?;
        let oldest = items.pop_front();
        if items.is_empty() {
            self.parties.remove(&largest);
        }
        let (_, oldest) = oldest?;
        *self.held(class) -= 1;
        Some(oldest)
    }

    /// Takes those that `is_due` says, in the order in which they came.
    pub fn take(&mut self, is_due: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for (party, items) in &mut self.parties {
            let before = items.len();
            if !items.iter().any(|(_, item)| is_due(item)) {
                continue;
            }
            let mut later = VecDeque::with_capacity(before);
            for (arrival, item) in items.drain(..) {
                if is_due(&item) {
                    taken.push((arrival, item));
                } else {
                    later.push_back((arrival, item));
                }
            }
            *items = later;
            let gone = before - items.len();
            match party.class {
                Class::Own => self.own -= gone,
                Class::Stranger => self.strangers -= gone,
            }
        }
        self.parties.retain(|_, items| !items.is_empty());
        taken.sort_unstable_by_key(|(arrival, _)| *arrival);
        taken.into_iter().map(|(_, item)| item).collect()
    }

    fn held(&mut self, class: Class) -> &mut usize {
        match class {
            Class::Own => &mut self.own,
            Class::Stranger => &mut self.strangers,
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.own + self.strangers
    }
}

/// Who comes up most often.
pub fn largest<P: Copy + Eq + Hash>(holders: impl Iterator<Item = P>) -> Option<P> {
    let mut counts: HashMap<P, usize> = HashMap::new();
    for holder in holders {
        *counts.entry(holder).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map(|(holder, _)| holder)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn own(id: u64) -> Party {
        let class = Class::Own;
        Party { class, id }
    }

    fn stranger(id: u64) -> Party {
        let class = Class::Stranger;
        Party { class, id }
    }

    #[test]
    fn a_flood_pushes_out_only_itself() {
        let mut queue = Fair::new(16);
        for quiet in 1..=3 {
            assert_eq!(queue.hold(own(quiet), (quiet, 0)), None);
        }
        let out: Vec<_> = (0..1000)
            .filter_map(|n| queue.hold(own(99), (99, n)))
            .collect();
        let first: Vec<_> = (0..out.len() as u64).map(|n| (99, n)).collect();
        assert_eq!(out, first, "its own, oldest first");
        let left = queue.take(|_| true);
        assert_eq!(left[..3], [(1, 0), (2, 0), (3, 0)]);
        assert_eq!(left.len(), 12, "the rest is kept for strangers");
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_newcomer_gets_a_place_from_whoever_has_most() {
        let mut queue = Fair::new(8);
        for n in 0..6 {
            assert_eq!(queue.hold(own(1), (1, n)), None);
        }
        assert_eq!(queue.hold(own(2), (2, 0)), Some((1, 0)));
        assert_eq!(queue.hold(own(3), (3, 0)), Some((1, 1)));
    }

    #[test]
    fn own_uses_never_take_the_place_of_a_stranger() {
        let mut queue = Fair::new(8);
        assert_eq!(queue.hold(stranger(7), (7, 0)), None);
        // Each of a hundred pods holds one: nobody floods.
        let out = (0..100).filter_map(|pod| queue.hold(own(100 + pod), (pod, 0)));
        assert_eq!(out.count(), 94);
        assert_eq!(queue.hold(stranger(8), (8, 0)), None);
        // Strangers have their part, and among them who has most makes room.
        assert_eq!(queue.hold(stranger(8), (8, 1)), Some((8, 0)));
        let left = queue.take(|(party, _)| *party == 7);
        assert_eq!(left, [(7, 0)]);
    }

    #[test]
    fn strangers_may_have_all_the_room_and_give_it_back() {
        let mut queue = Fair::new(8);
        for n in 0..8 {
            assert_eq!(queue.hold(stranger(1), (1, n)), None);
        }
        for n in 0..6 {
            assert_eq!(queue.hold(own(2), (2, n)), Some((1, n)));
        }
        assert_eq!(queue.hold(own(2), (2, 6)), Some((2, 0)));
    }

    #[test]
    fn the_largest_is_found() {
        assert_eq!(largest([1, 2, 2, 3].into_iter()), Some(2));
        assert_eq!(largest(std::iter::empty::<u8>()), None);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_the_bound_holds(arrivals in proptest::collection::vec((any::<bool>(), 0_u64..5), 0..200)) {
            let mut queue = Fair::new(16);
            let mut out = Vec::new();
            for (n, (is_own, id)) in arrivals.iter().enumerate() {
                let party = if *is_own { own(*id) } else { stranger(*id) };
                out.extend(queue.hold(party, n));
                prop_assert!(queue.len() <= 16 && queue.own <= 12);
            }
            out.extend(queue.take(|n| n % 2 == 0));
            let rest = queue.take(|_| true);
            prop_assert!(rest.is_sorted() && rest.iter().all(|n| n % 2 == 1));
            out.extend(rest);
            out.sort_unstable();
            prop_assert_eq!(out, (0..arrivals.len()).collect::<Vec<_>>());
            prop_assert!(queue.parties.is_empty() && queue.len() == 0);
        }
    }
}
