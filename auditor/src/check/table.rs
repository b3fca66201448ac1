//! A report for people: what failed first, a remedy below each line that has one.

use std::fmt::Write as _;

use super::report::{CheckReport, State};

/// Bad news first.
const ORDER: [State; 4] = [State::Failed, State::Degraded, State::Ok, State::Info];

/// `painted`: for a terminal.
pub fn render(report: &CheckReport, painted: bool) -> String {
    let paint = |code: &str, text: &str| {
        if painted {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    };
    let width = report
        .checks
        .iter()
        .map(|check| check.check.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for state in ORDER {
        let (word, code) = match state {
            State::Failed => ("FAILED  ", "1;31"),
            State::Degraded => ("degraded", "33"),
            State::Ok => ("ok      ", "32"),
            State::Info => ("-       ", "2"),
        };
        for check in report.checks.iter().filter(|check| check.state == state) {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{}  {:width$}  {}",
                paint(code, word),
                check.check,
                harmless(&check.detail)
            );
            if let Some(remedy) = &check.remedy {
                let _ = writeln!(text, "{:8}  {:width$}  => {}", "", "", harmless(remedy));
            }
        }
    }
    let count = |state| {
        report
            .checks
            .iter()
            .filter(|check| check.state == state)
            .count()
    };
    let seen = report.coverage.values().filter(|seen| **seen).count();
    if !report.coverage.is_empty() {
        let all = report.coverage.len();
        let _ = writeln!(
            text,
            "\n{seen} of {all} techniques of the evasion corpus would be seen; --output json names them"
        );
    }
    let verdict = match (count(State::Failed), count(State::Degraded)) {
        (0, 0) => paint("32", "`auditor run` would work"),
        (0, degraded) => paint(
            "33",
            &format!("`auditor run` would work, degraded in {degraded}"),
        ),
        (failed, _) => paint(
            "1;31",
            &format!("`auditor run` would not work: {failed} failed"),
        ),
    };
    let _ = writeln!(text, "{verdict}");
    text
}

/// Paths and servers' words may hold anything: nothing may move the cursor or begin a line.
fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{
        super::report::{Check, CheckReport},
        *,
    };

    fn report(checks: Vec<Check>) -> CheckReport {
        let coverage = BTreeMap::from([("F01", true), ("F38", false)]);
        CheckReport::new("6.12".to_owned(), checks, BTreeMap::new(), coverage)
    }

    #[test]
    fn what_failed_stands_first_and_its_remedy_below() {
        let report = report(vec![
            Check::ok("kernel", "6.12"),
            Check::new("agent-netns", State::Degraded, "not told").remedy("name it"),
            Check::new("btf", State::Failed, "none\n\x1b[2J").remedy("another kernel"),
        ]);
        assert!(!report.ok);
        assert_eq!(
            render(&report, false),
            "FAILED    btf          none  [2J\n\
            \x20                      => another kernel\n\
             degraded  agent-netns  not told\n\
            \x20                      => name it\n\
             ok        kernel       6.12\n\
             \n1 of 2 techniques of the evasion corpus would be seen; --output json names them\n\
             `auditor run` would not work: 1 failed\n"
        );
    }

    #[test]
    fn only_a_terminal_is_painted() {
        let report = report(vec![Check::ok("kernel", "6.12")]);
        assert!(report.ok);
        assert!(!render(&report, false).contains('\x1b'));
        assert!(render(&report, true).contains("\x1b[32mok"));
    }
}
