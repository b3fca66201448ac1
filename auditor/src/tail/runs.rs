//! Whether lines are missing: `seq` counts the lines of a run.

use std::{collections::HashMap, fmt};

use serde_json::Value;

/// Streams of several nodes may be mixed; of more runs than these the one that was not heard for longest is forgotten.
const RUNS: usize = 8_192;

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

#[derive(Debug)]
struct Heard {
    node: String,
    /// The number that is due.
    due: u64,
    /// Counted in lines.
    last: u64,
}

#[derive(Debug, Default)]
pub struct Runs {
    known: HashMap<String, Heard>,
    /// Runs that are known of each.
    nodes: HashMap<String, usize>,
    lines: u64,
}

impl Runs {
    /// Takes the next event; what is wrong with its number, if anything.
    pub fn take(&mut self, event: &Value) -> Option<Hole> {
        let run = event.get("run_id")?.as_str()?;
        let seq = event.get("seq")?.as_u64()?;
        let node = event.get("node").and_then(Value::as_str);
        let node = node.unwrap_or_default();
        // `docs/events.md`: the numbers before such a line are those that the sink lost.
        let lost = lost_by_sink(event);
        self.lines += 1;
        let last = self.lines;
        let due = match self.known.get(run) {
            Some(heard) => heard.due.saturating_add(lost),
            // What there is of a node may begin anywhere; its next run begins with 0.
            None if self.nodes.contains_key(node) => lost,
            None => seq,
        };
        let next = due.max(seq.saturating_add(1));
        match self.known.get_mut(run) {
            Some(heard) => (heard.due, heard.last) = (next, last),
            None => self.remember(run, node, next),
        }
        let run = run.to_owned();
        match seq.checked_sub(due) {
            Some(0) => None,
            Some(count) => Some(Hole::Missing { run, count, seq }),
            None => Some(Hole::Again { run, seq, due }),
        }
    }

    fn remember(&mut self, run: &str, node: &str, due: u64) {
        let node = node.to_owned();
        *self.nodes.entry(node.clone()).or_default() += 1;
        let last = self.lines;
        self.known.insert(run.to_owned(), Heard { node, due, last });
        if self.known.len() <= RUNS {
            return;
        }
        let oldest = self.known.iter().min_by_key(|(_, heard)| heard.last);
        let oldest = oldest.map(|(run, _)| run.clone());
        let forgotten = oldest.and_then(|run| self.known.remove(&run));
        if let Some(Heard { node, .. }) = forgotten
            && let Some(runs) = self.nodes.get_mut(&node)
        {
            *runs -= 1;
            if *runs == 0 {
                self.nodes.remove(&node);
            }
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
    fn what_there_is_of_each_node_may_begin_anywhere() {
        let of = |node: &str, run: &str, seq: u64| {
            let mut line = line(run, seq);
            line["node"] = json!(node);
            line
        };
        let mut runs = Runs::default();
        for n in 0..1_000 {
            let (node, run) = (format!("ip-{n}"), format!("run-{n}"));
            assert_eq!(runs.take(&of(&node, &run, 81_234 + n)), None);
        }
        for n in 0..1_000 {
            let (node, run) = (format!("ip-{n}"), format!("run-{n}"));
            assert_eq!(runs.take(&of(&node, &run, 81_235 + n)), None, "mixed");
        }
        assert_eq!(runs.take(&of("ip-7", "later", 2)), missing("later", 2, 2));
        assert_eq!(runs.take(&of("ip-8", "whole", 0)), None);
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
        for n in 0..2 * RUNS {
            let mut line = line(&n.to_string(), 0);
            line["node"] = json!(n.to_string());
            runs.take(&line);
        }
        assert_eq!((runs.known.len(), runs.nodes.len()), (RUNS, RUNS));
    }
}
