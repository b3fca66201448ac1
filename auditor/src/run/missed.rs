//! Tells of runs that the kernel left out: [`crate::probe::Programs::missed_runs`].

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::event::Health;

/// While it goes on, it is told this often.
const AGAIN: Duration = Duration::from_secs(60);

/// What was counted and told so far.
#[derive(Debug)]
pub struct MissedRuns {
    counted: BTreeMap<String, u64>,
    untold: BTreeMap<String, u64>,
    told: Option<Instant>,
}

impl MissedRuns {
    /// `before`: counts from before anything was watched.
    pub fn new(before: Vec<(String, u64)>) -> Self {
        Self {
            counted: before.into_iter().collect(),
            untold: BTreeMap::new(),
            told: None,
        }
    }

    /// By program, how many there are more than at the last look; and what to say of it now.
    pub fn look(
        &mut self,
        counts: Vec<(String, u64)>,
        now: Instant,
    ) -> (Vec<(String, u64)>, Option<Health>) {
        let news = self.count(counts);
        let is_due = self
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= AGAIN);
        if !is_due {
            return (news, None);
        }
        let health = self.tell();
        self.told = health.as_ref().map(|_| now).or(self.told);
        (news, health)
    }

    /// The last look: what was not told yet is told.
    pub fn last(&mut self, counts: Vec<(String, u64)>) -> (Vec<(String, u64)>, Option<Health>) {
        (self.count(counts), self.tell())
    }

    fn count(&mut self, counts: Vec<(String, u64)>) -> Vec<(String, u64)> {
        let mut news = Vec::new();
        for (program, count) in counts {
            let before = self.counted.insert(program.clone(), count);
            let more = count.saturating_sub(before.unwrap_or_default());
            if more > 0 {
                *self.untold.entry(program.clone()).or_default() += more;
                news.push((program, more));
            }
        }
        news
    }

    fn tell(&mut self) -> Option<Health> {
        if self.untold.is_empty() {
            return None;
        }
        let untold = std::mem::take(&mut self.untold);
        let each: Vec<String> = untold
            .iter()
            .map(|(program, count)| format!("{program} {count}"))
            .collect();
        Some(Health {
            component: "probe".to_owned(),
            state: "degraded".to_owned(),
            message: format!(
                "runs that the kernel left out, since one was under way on that processor: {}; what they would have told of is not known",
                each.join(", ")
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(file_open: u64, connect: u64) -> Vec<(String, u64)> {
        vec![
            ("file_open".to_owned(), file_open),
            ("connect".to_owned(), connect),
        ]
    }

    #[test]
    fn each_is_counted_at_once_and_told_once_a_minute() {
        let start = Instant::now();
        let mut missed = MissedRuns::new(counts(5, 0));
        let mut look = |counts, second| {
            let (news, health) = missed.look(counts, start + Duration::from_secs(second));
            let message = health.map(|health| health.message).unwrap_or_default();
            (news, message)
        };
        assert_eq!(look(counts(5, 0), 1), (vec![], String::new()));
        let (news, message) = look(counts(7, 1), 2);
        assert_eq!(news, counts(2, 1));
        assert!(message.contains("connect 1, file_open 2;"), "{message}");
        let (file_open, connect) = (counts(1, 0)[..1].to_vec(), counts(0, 1)[1..].to_vec());
        assert_eq!(look(counts(8, 1), 3), (file_open, String::new()));
        assert_eq!(look(counts(8, 2), 50), (connect, String::new()));
        let (news, message) = look(counts(8, 2), 62);
        assert_eq!(news, []);
        assert!(message.contains("connect 1, file_open 1;"), "{message}");
        assert_eq!(look(counts(8, 2), 200), (vec![], String::new()));
    }

    #[test]
    fn at_the_end_nothing_stays_untold() {
        let now = Instant::now();
        let mut missed = MissedRuns::new(counts(0, 0));
        assert!(missed.look(counts(1, 0), now).1.is_some());
        assert!(missed.look(counts(3, 0), now).1.is_none(), "too soon");
        let (news, health) = missed.last(counts(3, 1));
        assert_eq!(news, counts(0, 1)[1..]);
        let message = health.map(|health| health.message).unwrap_or_default();
        assert!(message.contains("connect 1, file_open 2;"), "{message}");
        assert!(missed.last(counts(3, 1)).1.is_none());
    }
}
