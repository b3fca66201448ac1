//! The explanation for people.

use std::fmt::Write as _;

use super::{Explanation, Outcome};
use crate::{event::word, plain::one_line};

pub(super) fn render(explanation: &Explanation) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        let _ = writeln!(out, "{}", one_line(text).trim_end());
    };
    line(&format!(
        "{}  {}  {}",
        explanation.time, explanation.event, explanation.id
    ));
    let verdict = explanation
        .verdict
        .map_or_else(|| "none, a finding about a state".to_owned(), |v| word(&v));
    line(&format!("verdict: {verdict}"));
    if !explanation.undetermined.is_empty() {
        line(&format!("lacked: {}", explanation.undetermined.join(", ")));
    }
    line("");
    line("rules");
    for said in &explanation.rules {
        let rule = word(&said.rule);
        let (what, detail) = match &said.outcome {
            Outcome::Fired { severity, message } => {
                ("FIRED", format!("{}: {message}", word(severity)))
            }
            Outcome::Exempted {
                severity,
                message,
                by,
            } => (
                "EXEMPTED",
                format!("{} by \"{by}\": {message}", word(severity)),
            ),
            Outcome::Lacked { input } => {
                ("LACKED", format!("{input}; it asks whether {}", said.asks))
            }
            Outcome::LackedNeedlessly { input } => (
                "lacked",
                format!(
                    "{input}, which policy does not let count; it asks whether {}",
                    said.asks
                ),
            ),
            Outcome::DidNotFire => ("no", format!("not so: {}", said.asks)),
            Outcome::DecidedByMore { would_say } => (
                "no",
                format!("by policy, or by what is not on the line; else: {would_say}"),
            ),
        };
        line(&format!("  {what:8}  {rule:27}  {detail}"));
    }
    line("");
    line("known at that moment");
    for (what, value) in &explanation.known {
        line(&format!("  {what}: {value}"));
    }
    if !explanation.not_on_the_line.is_empty() {
        line("");
        line("not on the line");
        for what in &explanation.not_on_the_line {
            line(&format!("  {what}"));
        }
    }
    out
}
