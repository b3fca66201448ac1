//! Time that may be spent on looks that others can cause without end: a part of the whole, and of that a part for each.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// A token bucket of time: what a look took is paid after it, so that one look may cost more than there is.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Microseconds; negative where the last look cost more than there was.
    balance: i64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self {
            balance: micros(rate.most),
            at: now,
        }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        let earned = micros(passed) / rate.one_in;
        // Not before it is worth a microsecond: or who asks often earns nothing.
        if earned > 0 {
            self.balance = (self.balance + earned).min(micros(rate.most));
            self.at = now;
        }
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// `1 / one_in` of the time, and at most `most` saved up.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub one_in: i64,
    pub most: Duration,
}

/// What one kind of look (into `/proc`, at the cgroups) may take of the auditor's time, whoever causes it: a twentieth.
pub const LOOKS: Rate = Rate {
    one_in: 20,
    most: Duration::from_millis(500),
};
/// Of it, what one party causes: a fifth.
pub const LOOKS_OF_ONE: Rate = Rate {
    one_in: 100,
    most: Duration::from_millis(100),
};

/// One for all, and one for each of those who cause the looks.
#[derive(Debug)]
pub struct Budget<P> {
    all: Bucket,
    all_rate: Rate,
    each: HashMap<P, Bucket>,
    each_rate: Rate,
}

/// Parties that are remembered. Whose bucket is full again need not be.
const PARTIES: usize = 1024;

impl<P: Copy + Eq + Hash> Budget<P> {
    pub fn new(all_rate: Rate, each_rate: Rate, now: Instant) -> Self {
        Self {
            all: Bucket::full(all_rate, now),
            all_rate,
            each: HashMap::new(),
            each_rate,
        }
    }

    /// Whether there is time for a look that `party` causes.
    pub fn allows(&mut self, party: P, now: Instant) -> bool {
        self.all.fill(self.all_rate, now);
        let each = self.each_rate;
        let has_room = self.each.len() < PARTIES || self.each.contains_key(&party) || {
            self.each.retain(|_, bucket| {
                bucket.fill(each, now);
                bucket.balance < micros(each.most)
            });
            self.each.len() < PARTIES
        };
        if !has_room {
            return false;
        }
        let own = self
            .each
            .entry(party)
            .or_insert_with(|| Bucket::full(each, now));
        own.fill(each, now);
        self.all.balance > 0 && own.balance > 0
    }

    /// What the look finds that `party` causes; `None` where there is no time for it.
    pub fn within<T>(&mut self, party: P, look: impl FnOnce() -> T) -> Option<T> {
        let begun = Instant::now();
        if !self.allows(party, begun) {
            return None;
        }
        let found = look();
        self.spend(party, begun.elapsed());
        Some(found)
    }

    /// After the look.
    pub fn spend(&mut self, party: P, took: Duration) {
        // A look that is too short to be measured is none that is free.
        let cost = micros(took).max(1);
        self.all.balance = self.all.balance.saturating_sub(cost);
        if let Some(own) = self.each.get_mut(&party) {
            own.balance = own.balance.saturating_sub(cost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const ALL: Rate = Rate {
        one_in: 20,
        most: Duration::from_millis(100),
    };
    const EACH: Rate = Rate {
        one_in: 100,
        most: Duration::from_millis(20),
    };

    /// How many looks of `cost` party `party` is allowed at once.
    fn looks(budget: &mut Budget<u32>, party: u32, cost: Duration, now: Instant) -> usize {
        let mut count = 0;
        while budget.allows(party, now) && count < 1000 {
            budget.spend(party, cost);
            count += 1;
        }
        count
    }

    #[test]
    fn one_who_asks_without_end_leaves_time_for_others() {
        let now = Instant::now();
        let mut budget = Budget::new(ALL, EACH, now);
        assert_eq!(looks(&mut budget, 1, 4 * MS, now), 5);
        assert_eq!(looks(&mut budget, 2, 4 * MS, now), 5);
        assert_eq!(looks(&mut budget, 1, 4 * MS, now), 0);
    }

    #[test]
    fn all_together_get_no_more_than_their_part() {
        let now = Instant::now();
        let mut budget = Budget::new(ALL, EACH, now);
        let total: usize = (0..100)
            .map(|party| looks(&mut budget, party, 4 * MS, now))
            .sum();
        assert_eq!(total, 25);
    }

    #[test]
    fn time_brings_it_back_though_one_asks_all_the_while() {
        let mut now = Instant::now();
        let mut budget = Budget::new(ALL, EACH, now);
        looks(&mut budget, 1, 40 * MS, now);
        assert!(!budget.allows(1, now), "20 ms in debt");
        for _ in 0..20_000 {
            now += Duration::from_micros(100);
            budget.allows(1, now);
        }
        assert!(!budget.allows(1, now), "2 s are worth 20 ms");
        assert!(budget.allows(1, now + MS));
    }

    #[test]
    fn nobody_looks_once_the_time_is_gone() {
        let never = Rate {
            one_in: i64::MAX,
            most: MS,
        };
        let mut budget = Budget::new(never, never, Instant::now());
        assert_eq!(budget.within(1, || std::thread::sleep(MS)), Some(()));
        assert_eq!(budget.within(1, || panic!("it looked")), None::<()>);
    }

    #[test]
    fn many_parties_are_bounded() {
        let now = Instant::now();
        let mut budget = Budget::new(ALL, EACH, now);
        for party in 0..PARTIES as u32 + 10 {
            if budget.allows(party, now) {
                budget.spend(party, Duration::from_micros(1));
            }
        }
        assert!(budget.each.len() <= PARTIES);
        // Once they have their time back they are forgotten.
        assert!(budget.allows(u32::MAX, now + Duration::from_secs(1)));
        assert!(budget.each.len() <= 2);
    }
}
