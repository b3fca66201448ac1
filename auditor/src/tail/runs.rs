//! Whether lines are missing: `seq` counts the lines of a run.

use std::{collections::VecDeque, fmt};

use serde_json::Value;

/// Streams of several nodes may be mixed; of more runs than these the oldest is forgotten.
const RUNS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hole {
    /// So many lines are missing before `seq`, besides those that were told of as lost.
    Missing { run: String, count: u64, seq: u64 },
    /// A number that was there already, or should have come before.
    Again { run: String, seq: u64, due: u64 },
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { run, count, seq } => {
                let lines = if *count == 1 { "line is" } else { "lines are" };
                write!(
                    f,
                    "{count} {lines} missing here, before seq {seq} of run {run}"
                )
            }
            Self::Again { run, seq, due } => {
                write!(
                    f,
                    "seq {seq} of run {run} comes where {due} was due: the same lines twice, or out of order"
                )
            }
        }
    }
}

#[derive(Debug, Default)]
pub struct Runs {
    /// Id and the number that is due, the one that was heard last at the end.
    known: VecDeque<(String, u64)>,
}

impl Runs {
    /// Takes the next event; what is wrong with its number, if anything.
    pub fn take(&mut self, event: &Value) -> Option<Hole> {
        let run = event.get("run_id")?.as_str()?;
        let seq = event.get("seq")?.as_u64()?;
        // `docs/events.md`: the numbers before such a line are those that the sink lost.
        let lost = lost_by_sink(event);
        let place = self.known.iter().position(|(known, _)| known == run);
        let due = match place.and_then(|place| self.known.remove(place)) {
            Some((_, next)) => next.saturating_add(lost),
            // A stream may begin anywhere; what comes later in it begins with 0.
            None if self.known.is_empty() => seq,
            None => lost,
        };
        self.known
            .push_back((run.to_owned(), due.max(seq.saturating_add(1))));
        if self.known.len() > RUNS {
            self.known.pop_front();
        }
        let run = run.to_owned();
        match seq.checked_sub(due) {
            Some(0) => None,
            Some(count) => Some(Hole::Missing { run, count, seq }),
            None => Some(Hole::Again { run, seq, due }),
        }
    }
}

fn lost_by_sink(event: &Value) -> u64 {
    let is = |key: &str, word: &str| event.get(key).and_then(Value::as_str) == Some(word);
    let count = event.get("count").and_then(Value::as_u64);
    count
        .filter(|_| is("event", "loss") && is("reason", "sink"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(run: &str, seq: u64) -> Value {
        json!({"event": "health", "run_id": run, "seq": seq})
    }

    fn loss(seq: u64, count: u64) -> Value {
        json!({"event": "loss", "reason": "sink", "count": count, "run_id": "a", "seq": seq})
    }

    fn missing(run: &str, count: u64, seq: u64) -> Option<Hole> {
        Some(Hole::Missing {
            run: run.to_owned(),
            count,
            seq,
        })
    }

    #[test]
    fn a_stream_may_begin_anywhere_and_then_every_number_counts() {
        let mut runs = Runs::default();
        assert_eq!(runs.take(&line("a", 812)), None);
        assert_eq!(runs.take(&line("a", 813)), None);
        assert_eq!(runs.take(&line("a", 816)), missing("a", 2, 816));
        assert_eq!(runs.take(&line("a", 817)), None);
        let again = Hole::Again {
            run: "a".to_owned(),
            seq: 817,
            due: 818,
        };
        assert_eq!(runs.take(&line("a", 817)), Some(again));
        assert_eq!(runs.take(&line("a", 818)), None);
        // The beginning of a later run is missing, too.
        assert_eq!(runs.take(&line("b", 3)), missing("b", 3, 3));
        assert_eq!(runs.take(&line("b", 4)), None);
        assert_eq!(runs.take(&line("a", 819)), None, "streams may be mixed");
    }

    #[test]
    fn what_the_sink_lost_explains_exactly_its_hole() {
        for (seq, count, want) in [(4, 3, None), (5, 3, missing("a", 1, 5)), (1, 0, None)] {
            let mut runs = Runs::default();
            runs.take(&line("a", 0));
            assert_eq!(runs.take(&loss(seq, count)), want);
            assert_eq!(runs.take(&line("a", seq + 1)), None);
        }
        let mut begins_with_it = Runs::default();
        assert_eq!(begins_with_it.take(&loss(4, 3)), None);
        assert_eq!(begins_with_it.take(&line("a", 5)), None);
    }

    #[test]
    fn numbers_that_make_no_sense_harm_nobody() {
        let mut runs = Runs::default();
        assert_eq!(runs.take(&json!({"run_id": 1, "seq": -1})), None);
        assert_eq!(runs.take(&line("a", u64::MAX)), None);
        let again = Hole::Again {
            run: "a".to_owned(),
            seq: 0,
            due: u64::MAX,
        };
        assert_eq!(runs.take(&line("a", 0)), Some(again));
        for n in 0..1_000 {
            runs.take(&line(&n.to_string(), 0));
        }
        assert!(runs.known.len() <= RUNS);
    }
}
