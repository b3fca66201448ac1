//! Bounded waiting with a share for each: where a queue is full, whoever holds most of it makes room, and never anybody else.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher as _},
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

#[derive(Debug)]
struct Entry<T> {
    arrival: u64,
    about: u64,
    item: T,
}

/// What something is about, as a number: of two with the same, the first stands for both.
pub fn about(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// A queue of at most `capacity`, each party's oldest first.
#[derive(Debug)]
pub struct Fair<T> {
    capacity: usize,
    parties: HashMap<Party, VecDeque<Entry<T>>>,
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

    /// Puts it behind the others of its party. Where there was no room, one of the party that holds most comes back.
    pub fn hold(&mut self, party: Party, about: u64, item: T) -> Option<T> {
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
        self.parties.entry(party).or_default().push_back(Entry {
            arrival,
            about,
            item,
        });
        *self.held(party.class) += 1;
        makes_room.and_then(|class| self.spare_one(class))
    }

    /// Of the largest party the oldest that an earlier one of its kind stands for, or else its second: who floods to have what he did go
    /// out unjudged does not choose what stays.
    fn spare_one(&mut self, class: Class) -> Option<T> {
        let of_class = self.parties.iter().filter(|(p, _)| p.class == class);
        // Among equals, who has waited longest.
        let (largest, _) = of_class.max_by_key(|(_, items)| {
            let oldest = items.front().map_or(u64::MAX, |entry| entry.arrival);
            (items.len(), std::cmp::Reverse(oldest))
        })?;
        let largest = *largest;
        let items = self.parties.get_mut(&largest)?;
        let mut seen = HashSet::new();
        let has_twin = items.iter().position(|entry| !seen.insert(entry.about));
        let spare = items.remove(has_twin.unwrap_or(usize::from(items.len() > 1)));
        if items.is_empty() {
            self.parties.remove(&largest);
        }
        let spare = spare?.item;
        *self.held(class) -= 1;
        Some(spare)
    }

    /// Takes those that `is_due` says, `most` at once and each party in its turn, in the order in which they came.
    pub fn take(&mut self, most: usize, is_due: impl Fn(&T) -> bool) -> Vec<T> {
        let due = self.parties.iter().flat_map(|(party, items)| {
            let due = items.iter().filter(|entry| is_due(&entry.item));
            due.map(|entry| (*party, entry.arrival))
        });
        let due = in_turn(due, most);
        if due.is_empty() {
            return Vec::new();
        }
        let mut taken = Vec::with_capacity(due.len());
        for (party, items) in &mut self.parties {
            let before = items.len();
            let mut later = VecDeque::new();
            for entry in items.drain(..) {
                if due.binary_search(&entry.arrival).is_ok() {
                    taken.push((entry.arrival, entry.item));
                } else {
                    later.push_back(entry);
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

/// Of what is due, at most so many: the first of each party, then the second of each. `K` orders them, and each party's come in that
/// order; so do those that are chosen.
pub fn in_turn<P: Copy + Eq + Hash, K: Copy + Ord>(
    due: impl Iterator<Item = (P, K)>,
    most: usize,
) -> Vec<K> {
    let mut counts: HashMap<P, usize> = HashMap::new();
    let mut turns: Vec<(usize, K)> = due
        .map(|(party, key)| {
            let turn = counts.entry(party).or_default();
            *turn += 1;
            (*turn, key)
        })
        .collect();
    if most < turns.len() {
        turns.select_nth_unstable(most);
        turns.truncate(most);
    }
    let mut keys: Vec<K> = turns.into_iter().map(|(_, key)| key).collect();
    keys.sort_unstable();
    keys
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
            assert_eq!(queue.hold(own(quiet), 0, (quiet, 0)), None);
        }
        let out: Vec<_> = (0..1000)
            .filter_map(|n| queue.hold(own(99), 0, (99, n)))
            .collect();
        let next: Vec<_> = (1..=out.len() as u64).map(|n| (99, n)).collect();
        assert_eq!(out, next, "its own, oldest first but for the first");
        let left = queue.take(usize::MAX, |_| true);
        assert_eq!(left[..4], [(1, 0), (2, 0), (3, 0), (99, 0)]);
        assert_eq!(left.len(), 12, "the rest is kept for strangers");
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_newcomer_gets_a_place_from_whoever_has_most() {
        let mut queue = Fair::new(8);
        for n in 0..6 {
            assert_eq!(queue.hold(own(1), 0, (1, n)), None);
        }
        assert_eq!(queue.hold(own(2), 0, (2, 0)), Some((1, 1)));
        assert_eq!(queue.hold(own(3), 0, (3, 0)), Some((1, 2)));
    }

    #[test]
    fn own_uses_never_take_the_place_of_a_stranger() {
        let mut queue = Fair::new(8);
        assert_eq!(queue.hold(stranger(7), 0, (7, 0)), None);
        // Each of a hundred pods holds one: nobody floods.
        let out = (0..100).filter_map(|pod| queue.hold(own(100 + pod), 0, (pod, 0)));
        assert_eq!(out.count(), 94);
        assert_eq!(queue.hold(stranger(8), 0, (8, 0)), None);
        // Strangers have their part, and among them who has most makes room.
        assert_eq!(queue.hold(stranger(8), 0, (8, 1)), Some((8, 1)));
        let left = queue.take(usize::MAX, |(party, _)| *party == 7);
        assert_eq!(left, [(7, 0)]);
    }

    #[test]
    fn strangers_may_have_all_the_room_and_give_it_back() {
        let mut queue = Fair::new(8);
        for n in 0..8 {
            assert_eq!(queue.hold(stranger(1), 0, (1, n)), None);
        }
        for n in 0..6 {
            assert_eq!(queue.hold(own(2), 0, (2, n)), Some((1, n + 1)));
        }
        assert_eq!(queue.hold(own(2), 0, (2, 6)), Some((2, 1)));
    }

    #[test]
    fn a_flood_does_not_push_out_what_its_own_pod_did_before() {
        let mut queue = Fair::new(16);
        let noise =
            |queue: &mut Fair<_>| (0..100).for_each(|_| drop(queue.hold(own(1), 0, "noise")));
        noise(&mut queue);
        queue.hold(own(1), 1, "violation");
        noise(&mut queue);
        queue.hold(own(1), 1, "the same again");
        noise(&mut queue);
        let left = queue.take(usize::MAX, |_| true);
        assert_eq!(left.iter().filter(|item| **item == "violation").count(), 1);
        assert!(!left.contains(&"the same again"));
        // Each is of a kind of its own: the first stays at least.
        for n in 0..100 {
            queue.hold(own(1), n, if n == 0 { "violation" } else { "noise" });
        }
        assert_eq!(queue.take(1, |_| true), ["violation"]);
    }

    #[test]
    fn who_has_much_due_lets_others_have_their_turn() {
        let mut queue = Fair::new(400);
        for n in 0..100 {
            queue.hold(stranger(1), n, (1, n));
        }
        for n in 0..2 {
            queue.hold(own(2), n, (2, n));
        }
        assert!(queue.take(0, |_| true).is_empty());
        let taken = queue.take(5, |_| true);
        assert_eq!(taken, [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]);
        assert_eq!(queue.take(2, |(_, n)| n % 2 == 0), [(1, 4), (1, 6)]);
        assert_eq!(queue.len(), 95);
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
                out.extend(queue.hold(party, n as u64 % 3, n));
                prop_assert!(queue.len() <= 16 && queue.own <= 12);
            }
            let some = queue.take(3, |n| n % 2 == 0);
            prop_assert!(some.len() <= 3 && some.is_sorted());
            out.extend(some);
            out.extend(queue.take(usize::MAX, |n| n % 2 == 0));
            let rest = queue.take(usize::MAX, |_| true);
            prop_assert!(rest.is_sorted() && rest.iter().all(|n| n % 2 == 1));
            out.extend(rest);
            out.sort_unstable();
            prop_assert_eq!(out, (0..arrivals.len()).collect::<Vec<_>>());
            prop_assert!(queue.parties.is_empty() && queue.len() == 0);
        }
    }
}
