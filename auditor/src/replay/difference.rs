//! What a replay found, in numbers and event by event.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::event::{Finding, Verdict, word};

/// Before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    pub before: u64,
    pub after: u64,
}

/// What was made of one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// Null for a posture finding.
    pub verdict: Option<Verdict>,
    pub undetermined: Vec<String>,
    pub findings: Vec<Finding>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    pub id: String,
    pub run_id: String,
    pub time: String,
    pub event: &'static str,
    /// `namespace/name` of the acting pod; of a posture finding its subject's.
    pub pod: Option<String>,
    pub executable: Option<String>,
    pub before: Judged,
    pub after: Judged,
}

/// All of it; the output of `--output json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Of the policy that was judged by; null: the built-in rules.
    pub policy_hash: Option<String>,
    /// That were judged, then and now.
    pub events: u64,
    /// Whose outcome is another.
    pub changed: u64,
    pub verdicts: BTreeMap<String, Count>,
    /// By `id:severity`, with `:exempted` behind those that do not count.
    pub findings: BTreeMap<String, Count>,
    /// Events that could not be judged again and are in no count, by what the line lacks.
    pub not_judged_again: BTreeMap<String, u64>,
    /// What of the judged events stays as it was recorded, whatever policy and bindings say, and on how many it stands.
    pub kept_as_recorded: BTreeMap<String, u64>,
    /// Findings that are gone because no line tells what they would rest on under this policy, and not because it settles them; and
    /// of how many events.
    pub left_open: BTreeMap<String, u64>,
    /// Lines that could not be read, by why.
    pub unreadable: BTreeMap<String, u64>,
    /// Lines without a verdict: the auditor's words about itself.
    pub other_lines: u64,
    /// Events that `summary` lines only count.
    pub folded: u64,
    /// The first [`KEPT`] of the `changed`.
    pub changes: Vec<Change>,
}

/// Some 20 MiB: a recording may be of a year.
pub const KEPT: usize = 20_000;

impl Judged {
    /// The same outcome, whatever the words.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let key = |f: &Finding| (f.id, f.severity, f.exempted_by.clone());
        self.verdict == other.verdict
            && self.undetermined == other.undetermined
            && self
                .findings
                .iter()
                .map(key)
                .eq(other.findings.iter().map(key))
    }
}

impl Difference {
    pub(super) fn count(&mut self, before: &Judged, after: &Judged) {
        self.events += 1;
        for (judged, is_after) in [(before, false), (after, true)] {
            let add = |of: &mut BTreeMap<String, Count>, key: String| {
                let count = of.entry(key).or_default();
                *(if is_after {
                    &mut count.after
                } else {
                    &mut count.before
                }) += 1;
            };
            if let Some(verdict) = judged.verdict {
                add(&mut self.verdicts, word(&verdict));
            }
            for finding in &judged.findings {
                add(&mut self.findings, label(finding));
            }
        }
    }
}

/// `id:severity`, as [`Difference::findings`] is keyed.
pub(super) fn label(finding: &Finding) -> String {
    let exempted = match finding.exempted_by {
        Some(_) => ":exempted",
        None => "",
    };
    format!(
        "{}:{}{exempted}",
        word(&finding.id),
        word(&finding.severity)
    )
}
