//! The expectations of one scene, held against the lines as they come.

use std::fmt;

use serde_json::Value;

use super::{Expected, Facts, facts};

/// The expectations of one scene, as lines come in.
#[derive(Debug, Default)]
pub struct Tally {
    missing: Vec<Expected>,
    extra: Vec<Facts>,
}

impl Tally {
    pub fn new(expected: Vec<Expected>) -> Self {
        Self {
            missing: expected,
            extra: Vec::new(),
        }
    }

    pub fn take(&mut self, line: &Value) {
        let line = facts(line);
        match self.missing.iter().position(|e| e.matches(&line)) {
            Some(index) => drop(self.missing.remove(index)),
            None => self.extra.push(line),
        }
    }

    /// All lines that must come have come (others may have, too).
    pub fn complete(&self) -> bool {
        self.due().next().is_none()
    }

    /// As many lines have come as were expected, though not the same.
    pub fn hopeless(&self) -> bool {
        !self.complete() && self.extra.len() >= self.due().count()
    }

    pub fn exact(&self) -> bool {
        self.complete() && self.extra.is_empty()
    }

    fn due(&self) -> impl Iterator<Item = &Expected> {
        self.missing.iter().filter(|e| !e.optional)
    }
}

/// What is wrong, for a human: each missing line beside the extra one that is nearest to it.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut extra: Vec<&Facts> = self.extra.iter().collect();
        for expected in self.due() {
            let nearest = (0..extra.len())
                .filter(|i| extra[*i].get("event") == expected.facts.get("event"))
                .min_by_key(|i| expected.differences(extra[*i]).len());
            match nearest {
                None => writeln!(f, "missing: {}", sentence(&expected.facts))?,
                Some(index) => {
                    let line = extra.remove(index);
                    writeln!(f, "wrong: {}", sentence(line))?;
                    for (fact, want, found) in expected.differences(line) {
                        writeln!(f, "  {fact}: expected `{want}`, found `{found}`")?;
                    }
                }
            }
        }
        for line in extra {
            writeln!(f, "unexpected: {}", sentence(line))?;
        }
        Ok(())
    }
}

fn sentence(facts: &Facts) -> String {
    facts
        .iter()
        .filter(|(_, v)| !v.is_empty() && *v != "null" && *v != "false")
        .map(|(k, v)| format!("{k}={v}"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn expected(event: &str, verdict: &str) -> Expected {
        Expected::must(Facts::from([
            ("event", event.into()),
            ("verdict", verdict.into()),
        ]))
    }

    #[test]
    fn of_one_to_three_lines_neither_none_nor_four_are_exact() {
        let line = json!({"event": "token_open", "verdict": "undetermined"});
        let mut tally = Tally::new(expected("token_open", "undetermined").one_to(3));
        let exact: Vec<bool> = (0..5)
            .map(|_| {
                let exact = tally.exact();
                tally.take(&line);
                exact
            })
            .collect();
        assert_eq!(exact, [false, true, true, true, false]);
    }

    #[test]
    fn extra_lines_and_missing_ones_and_other_verdicts_are_not_exact() {
        let line = json!({"event": "token_open", "verdict": "allowed"});
        let mut exact = Tally::new(vec![expected("token_open", "allowed")]);
        assert!(!exact.exact());
        exact.take(&line);
        assert!(exact.exact());
        exact.take(&line);
        assert!(exact.complete() && !exact.exact());

        let mut other = Tally::new(vec![expected("token_open", "violation")]);
        other.take(&line);
        assert!(other.hopeless() && !other.exact());
        assert!(
            other
                .to_string()
                .contains("verdict: expected `violation`, found `allowed`")
        );
    }
}
