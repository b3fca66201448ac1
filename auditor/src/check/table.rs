//! A report for people: what failed first, a remedy below each line that has one.

use std::fmt::Write as _;

use super::report::{CheckReport, State};
use crate::plain::is_command;

/// Bad news first.
const ORDER: [State; 4] = [State::Failed, State::Degraded, State::Ok, State::Info];

/// Of a line.
const COLUMNS: usize = 120;
/// For the text of a line, however long the names before it are.
const LEAST_ROOM: usize = 40;
/// Reasons up to here may be repeated.
const SHORT: usize = 20;

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
    let mut said = Vec::new();
    let mut advised = Vec::new();
    for state in ORDER {
        let (word, code) = match state {
            State::Failed => ("FAILED  ", "1;31"),
            State::Degraded => ("degraded", "33"),
            State::Ok => ("ok      ", "32"),
            State::Info => ("-       ", "2"),
        };
        for check in report.checks.iter().filter(|check| check.state == state) {
            // Writing to a string cannot fail.
            let room = COLUMNS.saturating_sub(8 + 2 + width + 2).max(LEAST_ROOM);
            let detail = once(&check.detail, &mut said);
            let mut lines = wrap(&harmless(&detail), room).into_iter();
            let _ = writeln!(
                text,
                "{}  {:width$}  {}",
                paint(code, word),
                check.check,
                lines.next().unwrap_or_default()
            );
            let remedy = check.remedy.iter().flat_map(|remedy| {
                let is_said = advised.contains(&remedy);
                advised.push(remedy);
                let remedy = if is_said { "as above" } else { remedy.as_str() };
                let lines = wrap(&harmless(remedy), room - 3).into_iter().enumerate();
                lines.map(|(at, line)| format!("{} {line}", if at == 0 { "=>" } else { "  " }))
            });
            for line in lines.chain(remedy) {
                let _ = writeln!(text, "{:8}  {:width$}  {line}", "", "");
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

/// A reason in parentheses at the end, which hooks share, is written out once; later rows refer to the first.
fn once(detail: &str, said: &mut Vec<String>) -> String {
    let Some((what, reason)) = last_parentheses(detail).filter(|(_, reason)| reason.len() > SHORT)
    else {
        return detail.to_owned();
    };
    if said.iter().any(|known| known == reason) {
        return format!("{what} (as above)");
    }
    said.push(reason.to_owned());
    detail.to_owned()
}

/// What stands before the parentheses that end the text, and in them; they may hold others.
fn last_parentheses(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_suffix(')')?;
    let mut depth = 1;
    for (at, c) in inner.char_indices().rev() {
        depth += match c {
            ')' => 1,
            '(' => -1,
            _ => 0,
        };
        if depth == 0 {
            let (before, reason) = inner.split_at(at);
            return Some((before.strip_suffix(' ')?, reason.strip_prefix('(')?));
        }
    }
    None
}

/// At spaces, into lines of at most `room` characters; a longer word has a line of its own.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Paths and servers' words may hold anything: nothing may move the cursor or begin a line.
fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if is_command(c) { ' ' } else { c })
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
            Check::new("btf", State::Failed, "none\n\x1b[2J\u{202e}A").remedy("another kernel"),
        ]);
        assert!(!report.ok);
        assert_eq!(
            render(&report, false),
            "FAILED    btf          none  [2J A\n\
            \x20                      => another kernel\n\
             degraded  agent-netns  not told\n\
            \x20                      => name it\n\
             ok        kernel       6.12\n\
             \n1 of 2 techniques of the evasion corpus would be seen; --output json names them\n\
             `auditor run` would not work: 1 failed\n"
        );
    }

    #[test]
    fn long_lines_are_wrapped_and_a_shared_reason_is_written_once() {
        let reason = "fentry: not permitted (os error 1); ".repeat(4);
        let detail = format!("nothing tells of it ({reason}kprobe: none (os error 2))");
        let report = report(vec![
            Check::new("probe a", State::Degraded, &*detail).remedy("do this ".repeat(30)),
            Check::new("probe b", State::Degraded, &*detail),
        ]);
        let text = render(&report, false);
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(COLUMNS), "{text}");
        assert_eq!(text.matches("kprobe: none").count(), 1, "{text}");
        assert!(
            text.contains("degraded  probe b  nothing tells of it (as above)\n"),
            "{text}"
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
