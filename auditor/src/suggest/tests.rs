use super::*;
use crate::{
    audit::LearnedExecutable,
    policy::{Policy, check::check},
    recorded::Skipped,
};

/// From runs of the lab.
const LINES: &str = include_str!("../replay/testdata/lab.jsonl");

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
    let own = lines().into_iter().find(|line| {
        use_of_own_credential(line) == Some(CredentialUse::Open)
            && line.verdicts().is_some_and(|v| v.findings.is_empty())
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

/// The lines of an own open that nothing counts against, one of them edited.
fn an_open(edit: impl FnOnce(&mut crate::event::TokenOpen)) -> Line {
    let mut line = lines()
        .into_iter()
        .find(|line| {
            use_of_own_credential(line) == Some(CredentialUse::Open)
                && line.verdicts().is_some_and(|v| v.findings.is_empty())
        })
        .unwrap();
    if let Body::TokenOpen(open) = &mut line.body {
        edit(open);
    }
    line
}

fn is_allowed(policy: &Policy, exe: &str) -> bool {
    let mut allowed = policy.executables.iter().flat_map(|rule| &rule.allow);
    allowed.any(|pattern| pattern.matches(exe))
}

#[track_caller]
fn not_proposed(text: &str, exe: &str) -> String {
    let mut told = text.lines().filter(|line| line.contains(exe));
    let line = told.next().unwrap_or_default().trim().to_owned();
    assert!(line.starts_with("# not proposed, "), "{exe}\n{text}");
    assert_eq!(told.next(), None, "once\n{text}");
    line
}

/// Live learning asks the same functions.
#[test]
fn what_the_node_would_not_learn_is_not_proposed() {
    type Edit = fn(&mut crate::event::TokenOpen);
    for (what, edit, is_proposed) in [
        ("as it was", (|_| ()) as Edit, true),
        (
            "whose it is in doubt",
            |o| o.undetermined = vec!["namespaces".into()],
            false,
        ),
        (
            "who it is in doubt",
            |o| o.undetermined = vec!["process".into()],
            false,
        ),
        (
            "the binding in doubt",
            |o| o.undetermined = vec!["associations".into()],
            true,
        ),
        ("deleted", |o| o.process.exe_unlinked = true, false),
        (
            "written since",
            |o| o.process.exe_upper_layer = Some(true),
            false,
        ),
        (
            "kubectl exec",
            |o| o.process.exec_session = Some(true),
            false,
        ),
        ("unexpected", |o| o.findings = vec![unexpected()], true),
        (
            "unexpected, and in doubt",
            |o| {
                o.findings = vec![unexpected()];
                o.undetermined = vec!["process".into()];
            },
            false,
        ),
    ] {
        let line = an_open(|open| {
            open.process.exe = Some("/opt/tool".into());
            edit(open);
        });
        let (text, policy) = proposed(&seen(&[line]));
        assert_eq!(
            is_allowed(&policy, "/opt/tool"),
            is_proposed,
            "{what}\n{text}"
        );
        if !is_proposed {
            not_proposed(&text, "/opt/tool");
        }
    }
}

fn unexpected() -> Finding {
    Finding {
        id: FindingId::UnexpectedExecutable,
        severity: Severity::Medium,
        message: String::new(),
        exempted_by: None,
    }
}

#[test]
fn one_doubt_weighs_more_than_what_nothing_counts_against() {
    let clear = an_open(|open| open.process.exe = Some("/opt/tool".into()));
    let mut doubtful = an_open(|open| {
        open.process.exe = Some("/opt/tool".into());
        open.process.exe_unlinked = true;
    });
    doubtful.id = "the-doubtful-one".to_owned();
    let (text, policy) = proposed(&seen(&[clear.clone(), doubtful, clear]));
    assert!(!is_allowed(&policy, "/opt/tool"), "{text}");
    assert!(
        not_proposed(&text, "/opt/tool").contains("the-doubtful-one"),
        "{text}"
    );
}

#[test]
fn an_exec_probe_neither_proposes_nor_takes_away() {
    let probe = an_open(|open| {
        open.process.exe = Some("/opt/tool".into());
        open.process.exec_session = Some(true);
    });
    let (text, policy) = proposed(&seen(std::slice::from_ref(&probe)));
    assert!(!is_allowed(&policy, "/opt/tool"), "{text}");
    assert!(
        not_proposed(&text, "/opt/tool").contains("from outside"),
        "{text}"
    );
    let clear = an_open(|open| open.process.exe = Some("/opt/tool".into()));
    let (text, policy) = proposed(&seen(&[probe, clear]));
    assert!(is_allowed(&policy, "/opt/tool"), "{text}");
}

#[test]
fn who_only_connected_is_not_listed_as_who_may_open() {
    let mut all = lines();
    all.retain(|line| use_of_own_credential(line) == Some(CredentialUse::Connect));
    for line in &mut all {
        if let Body::CredentialConnect(connect) = &mut line.body {
            connect.process.exe = Some("/bin/nc".into());
            connect.findings = Vec::new();
            connect.undetermined = Vec::new();
        }
    }
    all.truncate(1);
    let (text, policy) = proposed(&seen(&all));
    assert!(policy.executables.is_empty(), "{text}");
    let line = not_proposed(&text, "/bin/nc");
    assert!(line.contains("opened no token"), "{line}");
}

#[test]
fn the_node_role_is_not_proposed_for_who_has_a_role_of_its_own() {
    let (text, policy) = proposed(&seen(&lines()));
    for account in ["report", "locale"] {
        let is_it = |line: &&str| line.contains(&format!("service_account: {account}, reason"));
        let line = text.lines().find(is_it).unwrap_or_default();
        let mark = "# not proposed, it has a role of its own: ";
        assert!(line.trim_start().starts_with(mark), "{account}\n{text}");
    }
    assert!(policy.node_role.is_empty(), "{text}");
    // One that has none.
    let mut all = lines();
    all.retain(|line| line.finding(FindingId::NodeRoleFallback).is_some());
    all.retain(|line| account_of(line).is_some_and(|(_, name)| name == "locale"));
    for line in &mut all {
        if let Body::CredentialConnect(connect) = &mut line.body {
            connect.binding = None;
            connect.evidence.injected.pod_identity = false;
        }
    }
    let (text, policy) = proposed(&seen(&all));
    assert_eq!(policy.node_role.len(), 1, "{text}");
    // Bound to nothing any more, and made when it was.
    for evidence in [
        |e: &mut crate::event::Evidence| e.injected.irsa_role = Some("arn".into()),
        |e: &mut crate::event::Evidence| e.injected.pod_identity = true,
        |e: &mut crate::event::Evidence| e.sa_role_arn = Some("arn".into()),
    ] {
        let mut all = all.clone();
        for line in &mut all {
            if let Body::CredentialConnect(connect) = &mut line.body {
                evidence(&mut connect.evidence);
            }
        }
        let (text, policy) = proposed(&seen(&all));
        assert!(policy.node_role.is_empty(), "{text}");
    }
}

fn learned(paths: &[(&str, CredentialUse)]) -> Learned {
    let at = "2026-11-22T12:00:00Z".parse().unwrap();
    Learned {
        namespace: "shop".into(),
        service_account: "web".into(),
        since: at,
        seen: at,
        full: false,
        executables: paths
            .iter()
            .map(|(path, used)| LearnedExecutable {
                path: (*path).into(),
                used: *used,
                first_seen: at,
                pod: "web-1".into(),
            })
            .collect(),
    }
}

#[test]
fn what_was_learned_is_shown_with_the_pod_that_brought_it() {
    let mut seen = Seen::default();
    seen.learned(&learned(&[
        ("/usr/bin/my app", CredentialUse::Open),
        ("/opt/*", CredentialUse::Open),
        ("/bin/nc", CredentialUse::Connect),
    ]));
    let (text, policy) = proposed(&seen);
    assert!(is_allowed(&policy, "/usr/bin/my app"), "{text}");
    assert!(
        text.contains("learned 2026-11-22T12:00:00Z from pod web-1"),
        "{text}"
    );
    assert!(
        !is_allowed(&policy, "/opt/tool"),
        "a star of a name is none of a pattern\n{text}"
    );
    not_proposed(&text, "/opt/*");
    assert!(!is_allowed(&policy, "/bin/nc"), "{text}");
    not_proposed(&text, "/bin/nc");
}

#[test]
fn of_who_ran_more_than_is_learned_nothing_is_proposed() {
    let full = Learned {
        full: true,
        ..learned(&[
            ("/app", CredentialUse::Open),
            ("/helper", CredentialUse::Open),
        ])
    };
    let mut seen = Seen::default();
    seen.learned(&full);
    let (text, policy) = proposed(&seen);
    assert!(policy.executables.is_empty(), "{text}");
    for path in ["/app", "/helper"] {
        not_proposed(&text, path);
    }
    assert!(
        text.contains("ran more programs than a node learns"),
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
