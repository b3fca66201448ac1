use super::*;
use crate::{
    event::{FindingId, Severity},
    recorded::Body,
};

/// One event of each kind that runs of the lab wrote.
const LINES: &str = include_str!("../replay/testdata/lab.jsonl");

fn lines() -> Vec<Line> {
    LINES
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn explained(line: &Line) -> Explanation {
    let all = lines();
    let connect = all.iter().find(|other| match &line.body {
        Body::ConnectionClosed(closed) => other.id == closed.connect_id,
        _ => false,
    });
    explain(line, connect, None)
}

fn outcome(explanation: &Explanation, id: FindingId) -> &Outcome {
    let said = explanation.rules.iter().find(|said| said.rule == id);
    &said
        .unwrap_or_else(|| panic!("{id:?}: {explanation:#?}"))
        .outcome
}

/// What stands on the line, and nothing else, has fired.
#[test]
fn every_line_is_explained_as_it_was_judged() {
    let mut judged = 0;
    for line in lines() {
        let Some(told) = line.verdicts() else {
            continue;
        };
        judged += 1;
        let explanation = explained(&line);
        let mut fired = Vec::new();
        let mut lacked = Vec::new();
        for said in &explanation.rules {
            match &said.outcome {
                Outcome::Fired { severity, .. } => fired.push((said.rule, *severity, None)),
                Outcome::Exempted { severity, by, .. } => {
                    fired.push((said.rule, *severity, Some(by.as_str())));
                }
                Outcome::Lacked { input } if !lacked.contains(&input) => lacked.push(input),
                Outcome::DecidedByMore { would_say } => {
                    // The built-in rules name nobody who may use the node's role.
                    assert_eq!(said.rule, FindingId::NodeRoleFallback, "{would_say}");
                }
                _ => {}
            }
        }
        let told_findings: Vec<_> = told
            .findings
            .iter()
            .map(|f| (f.id, f.severity, f.exempted_by.as_deref()))
            .collect();
        assert_eq!(fired, told_findings, "{}", line.id);
        assert_eq!(
            lacked,
            told.undetermined.iter().collect::<Vec<_>>(),
            "{}",
            line.id
        );
    }
    assert!(judged > 40, "{judged}");
}

#[test]
fn a_theft_is_explained_rule_by_rule() {
    let line = lines()
        .into_iter()
        .find(|line| {
            line.finding(FindingId::ForeignTokenOpen)
                .is_some_and(|f| f.severity == Severity::Critical && f.exempted_by.is_none())
        })
        .unwrap();
    let explanation = explained(&line);
    assert!(matches!(
        outcome(&explanation, FindingId::ForeignTokenOpen),
        Outcome::Fired {
            severity: Severity::Critical,
            ..
        }
    ));
    for id in [
        FindingId::HostTokenOpen,
        FindingId::RoleDrift,
        FindingId::UnexpectedExecutable,
    ] {
        assert_eq!(outcome(&explanation, id), &Outcome::DidNotFire, "{id:?}");
    }
    assert_eq!(explanation.rules.len(), 10);
    let text = text::render(&explanation);
    for part in [
        "verdict: violation",
        "FIRED     foreign-token-open",
        "relation: other-pod",
        "attribution: process by cgroup, owner by superblock",
        "policy: ",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn what_was_lacking_and_what_was_exempted_is_named() {
    let mut lacked = 0;
    let mut exempted = 0;
    for line in lines() {
        let text = text::render(&explained(&line));
        if line
            .verdicts()
            .is_some_and(|told| !told.undetermined.is_empty())
        {
            assert!(
                text.contains("LACKED") && text.contains("lacked: "),
                "{text}"
            );
            lacked += 1;
        }
        if line
            .verdicts()
            .is_some_and(|told| told.findings.iter().any(|f| f.exempted_by.is_some()))
        {
            assert!(text.contains("EXEMPTED"), "{text}");
            exempted += 1;
        }
    }
    assert!(lacked > 0 && exempted > 0, "{lacked} {exempted}");
}

#[test]
fn the_end_of_a_connection_needs_its_beginning() {
    let line = lines()
        .into_iter()
        .find(|line| {
            line.finding(FindingId::NodeRoleFallback).is_some()
                && matches!(line.body, Body::ConnectionClosed(_))
        })
        .unwrap();
    let alone = explain(&line, None, None);
    assert!(matches!(
        outcome(&alone, FindingId::NodeRoleFallback),
        Outcome::Fired { .. }
    ));
    assert!(
        alone
            .not_on_the_line
            .iter()
            .any(|what| what.contains("its connect"))
    );
    let whole = explained(&line);
    assert!(
        !whole
            .not_on_the_line
            .iter()
            .any(|what| what.contains("its connect"))
    );
    assert!(whole.known.iter().any(|(what, _)| *what == "process"));
}

#[test]
fn nothing_on_a_line_can_command_the_terminal() {
    let mut line = lines()
        .into_iter()
        .find(|line| line.process().is_some() && matches!(line.body, Body::TokenOpen(_)))
        .unwrap();
    if let Body::TokenOpen(open) = &mut line.body {
        open.process.exe = Some("/bin/\u{1b}[31m\nverdict: allowed\u{202e}".into());
    }
    let text = text::render(&explained(&line));
    assert!(
        !text.contains('\u{1b}') && !text.contains('\u{202e}'),
        "{text}"
    );
    assert_eq!(text.matches("\nverdict: ").count(), 1, "{text}");
}
