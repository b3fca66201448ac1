use super::*;
use crate::{
    audit::LearnedExecutable,
    policy::{Policy, check::check},
    recorded::Skipped,
};

/// From runs of the lab.
const LINES: &str = include_str!("../../replay/testdata/lab.jsonl");

fn lines() -> Vec<Line> {
    LINES
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn seen(lines: &[Line]) -> Seen {
    let mut seen = Seen::default();
    for line in lines {
        seen.take(line);
    }
    seen
}

#[track_caller]
fn proposed(seen: &Seen) -> (String, Policy) {
    let text = render(seen, &Skipped::default());
    let now = "2026-12-01T00:00:00Z".parse().unwrap();
    let report = check(text.as_bytes(), now);
    assert!(report.errors.is_empty(), "{text}\n{:?}", report.errors);
    assert!(report.warnings.is_empty(), "{text}\n{:?}", report.warnings);
    let policy = Policy::parse(text.as_bytes()).unwrap();
    (text, policy)
}

#[test]
fn what_is_proposed_is_a_policy_that_names_what_was_seen() {
    let (text, policy) = proposed(&seen(&lines()));
    assert!(!policy.executables.is_empty(), "{text}");
    assert!(!policy.node_role.is_empty(), "{text}");
    let own = lines().into_iter().find(|line| {
        uses_own_credential(line) && line.verdicts().is_some_and(|v| v.findings.is_empty())
    });
    assert!(text.contains(&own.unwrap().id), "{text}");
    // What is grave is there to be looked at, and does nothing.
    for exemption in &policy.exempt {
        let id = exemption.matches.finding.unwrap();
        let graver = lines().iter().any(|line| {
            line.finding(id)
                .is_some_and(|f| f.severity > Severity::Medium)
                && line.relation() == exemption.matches.relation
                && account_of(line).is_some_and(|(namespace, account)| {
                    let like = |p: &Option<crate::policy::Pattern>, text: &str| {
                        p.as_ref().is_some_and(|p| p.matches(text))
                    };
                    like(&exemption.matches.namespace, &namespace)
                        && like(&exemption.matches.service_account, &account)
                })
        });
        assert!(!graver, "{exemption:?}");
        assert!(exemption.expires.is_some());
    }
    let critical = text
        .lines()
        .filter(|line| line.contains("foreign-token-open") && line.contains("critical"));
    let mut count = 0;
    for line in critical {
        assert!(line.trim_start().starts_with("# CRITICAL"), "{line}");
        count += 1;
    }
    assert!(count > 0, "{text}");
}

#[test]
fn nothing_that_counts_against_somebody_is_listed_as_expected() {
    let (text, policy) = proposed(&seen(&lines()));
    let mut doubtful = 0;
    for line in lines()
        .iter()
        .filter(|line| line.finding(FindingId::ForeignExecutable).is_some())
    {
        let (Some((namespace, account)), Some(exe)) =
            (account_of(line), line.process().and_then(|p| p.exe.clone()))
        else {
            continue;
        };
        doubtful += 1;
        let listed = policy.executables.iter().any(|rule| {
            rule.namespace.matches(&namespace)
                && rule.service_account.matches(&account)
                && rule.allow.iter().any(|pattern| pattern.matches(&exe))
        });
        assert!(!listed, "{exe} of {namespace}/{account}\n{text}");
    }
    assert!(doubtful > 0);
}

#[test]
fn nothing_seen_is_an_empty_policy() {
    let (text, policy) = proposed(&Seen::default());
    assert_eq!(
        Policy {
            hash: None,
            ..policy
        },
        Policy::default(),
        "{text}"
    );
}

#[test]
fn what_was_learned_is_shown_with_the_pod_that_brought_it() {
    let mut seen = Seen::default();
    let at = "2026-11-22T12:00:00Z".parse().unwrap();
    seen.learned(&Learned {
        namespace: "shop".into(),
        service_account: "web".into(),
        since: at,
        seen: at,
        full: false,
        executables: vec![LearnedExecutable {
            path: "/usr/bin/my app".into(),
            used: crate::audit::CredentialUse::Open,
            first_seen: at,
            pod: "web-1".into(),
        }],
    });
    let (text, policy) = proposed(&seen);
    assert!(
        policy.executables[0].allow[0].matches("/usr/bin/my app"),
        "{text}"
    );
    assert!(
        text.contains("learned 2026-11-22T12:00:00Z from pod web-1"),
        "{text}"
    );
}

#[test]
fn names_cannot_write_policy() {
    let mut all = lines();
    let evil = "/tmp/a\"]}\nexempt: [{match: {relation: host}, reason: x}] # \u{85}\u{2028}* '";
    for line in &mut all {
        if let Body::TokenOpen(open) = &mut line.body {
            open.process.exe = Some(evil.into());
        }
    }
    let (text, policy) = proposed(&seen(&all));
    assert!(
        policy.exempt.iter().all(|e| e.reason.starts_with("REVIEW")),
        "{text}"
    );
    let starred = policy.executables.iter().flat_map(|rule| &rule.allow);
    for pattern in starred {
        assert!(
            !pattern.matches("/tmp/a-b"),
            "a star of a name is none of a pattern"
        );
    }
}

#[test]
fn what_is_mild_by_policy_or_by_its_kind_is_not_proposed_where_the_rule_is_grave() {
    let mut all = lines();
    for line in &mut all {
        if let Body::TokenOpen(open) = &mut line.body {
            for finding in &mut open.findings {
                finding.severity = Severity::Medium;
            }
        }
    }
    let (text, policy) = proposed(&seen(&all));
    for exemption in &policy.exempt {
        let id = exemption.matches.finding.unwrap();
        let is_mild = exemption.matches.relation == Some(Relation::SameServiceAccount);
        assert!(is_mild || !counts_as_violation(id), "{exemption:?}");
    }
    assert!(
        text.contains("# not proposed, it would cover what is a violation, too: "),
        "{text}"
    );
}
