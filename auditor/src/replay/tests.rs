mod addons;
mod made;

use proptest::prelude::*;

use super::*;
use crate::{
    event::{FindingId, Severity, Verdict},
    recorded::{Body, Line, Skipped},
};

/// One event of each kind that runs of the lab wrote, with what it rests on.
const LINES: &str = include_str!("testdata/lab.jsonl");

/// What those runs were judged by; `kubelet` does not matter here.
fn policy(more: &str) -> Policy {
    let default = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../manifests/policy/default.yaml"
    ));
    let exempt = "exempt:\n  - {match: {namespace: ops, service_account: scanner, finding: foreign-token-open}, reason: scanner}\n";
    let text = format!("{}\n{more}", default.replacen("exempt:\n", exempt, 1));
    Policy::parse(text.as_bytes()).unwrap()
}

fn lines() -> Vec<Line> {
    LINES
        .lines()
        .filter_map(|line| {
            let line: Line = serde_json::from_str(line).unwrap();
            (!matches!(line.body, Body::Other | Body::Summary(_))).then_some(line)
        })
        .collect()
}

fn replay(policy: Policy, given: Given, lines: Vec<Line>) -> Difference {
    let mut replay = Replay::new(policy, given);
    for line in lines {
        replay.take(line);
    }
    replay.finish(Skipped::default())
}

#[test]
fn the_same_policy_and_bindings_change_nothing() {
    let difference = replay(policy(""), Given::default(), lines());
    assert_eq!(difference.changes, [], "{}", text::render(&difference));
    assert!(
        difference.not_judged_again.is_empty(),
        "{:?}",
        difference.not_judged_again
    );
    assert!(difference.events > 40, "{}", difference.events);
    for count in difference
        .verdicts
        .values()
        .chain(difference.findings.values())
    {
        assert_eq!(count.before, count.after);
    }
    // Not by leaving out what is hard.
    for finding in [
        "token-harvest:critical",
        "node-role-fallback:medium",
        "role-drift:high",
        "agent-unreachable:medium",
    ] {
        assert!(
            difference.findings.contains_key(finding),
            "{finding}: {:?}",
            difference.findings
        );
    }
}

#[test]
fn a_policy_changes_what_it_is_about_and_nothing_else() {
    let of = |finding| {
        move |change: &Change| {
            let has = |judged: &Judged| judged.findings.iter().any(|f| f.id == finding);
            has(&change.before) || has(&change.after)
        }
    };
    for (what, more, finding) in [
        (
            "severity",
            "severity: {role-drift: medium}",
            FindingId::RoleDrift,
        ),
        (
            "severity",
            "severity: {foreign-token-open: info}",
            FindingId::ForeignTokenOpen,
        ),
    ] {
        let difference = replay(policy(more), Given::default(), lines());
        assert!(difference.changed > 0, "{what}: {more}");
        for change in &difference.changes {
            assert!(of(finding)(change), "{more}: {change:?}");
        }
    }
    // The built-in rules name nobody who may use the node's role, and exempt nobody.
    let difference = replay(Policy::default(), Given::default(), lines());
    let changed: Vec<FindingId> = difference
        .changes
        .iter()
        .flat_map(|c| c.before.findings.iter().chain(&c.after.findings))
        .map(|f| f.id)
        .collect();
    assert!(
        changed.contains(&FindingId::NodeRoleFallback),
        "{changed:?}"
    );
    assert!(
        changed.contains(&FindingId::ForeignTokenOpen),
        "{changed:?}"
    );
}

#[test]
fn what_is_exempted_now_is_no_part_of_a_harvest() {
    let thieves: Vec<(String, String)> = lines()
        .iter()
        .filter(|line| line.finding(FindingId::TokenHarvest).is_some())
        .filter_map(|line| line.pod())
        .map(|pod| (pod.namespace.to_string(), pod.service_account.to_string()))
        .collect();
    assert!(!thieves.is_empty());
    let exempt: String = thieves
        .iter()
        .map(|(namespace, account)| {
            format!("  - {{match: {{namespace: {namespace}, service_account: {account}, finding: foreign-token-open}}, reason: x}}\n")
        })
        .collect();
    let policy = Policy::parse(format!("version: 1\nexempt:\n{exempt}").as_bytes()).unwrap();
    let difference = replay(policy, Given::default(), lines());
    let harvests = difference
        .findings
        .get("token-harvest:critical")
        .copied()
        .unwrap();
    assert!(harvests.before > 0);
    assert_eq!(harvests.after, 0, "{}", text::render(&difference));
}

#[test]
fn programs_that_a_policy_does_not_list_show() {
    let more = "executables: [{namespace: '*', service_account: '*', allow: [/nowhere]}]";
    let difference = replay(policy(more), Given::default(), lines());
    let unexpected = difference.findings["unexpected-executable:medium"];
    assert_eq!(unexpected.before, 0);
    assert!(unexpected.after > 5, "{unexpected:?}");
    let suspicious = difference.verdicts["suspicious"];
    assert!(suspicious.after > suspicious.before);
}

#[test]
fn bindings_that_are_given_go_before_those_on_the_line() {
    let nothing = || association::parse(br#"{"associations":[]}"#, None).unwrap();
    let difference = replay(policy(""), Given::new(None, Some(nothing())), lines());
    let unbound = difference.findings["unbound-token-open:high"];
    assert!(
        unbound.after > unbound.before,
        "{}",
        text::render(&difference)
    );
    let unassociated = difference.findings["unassociated-agent-connect:high"];
    assert!(unassociated.after > unassociated.before);
    // And the other way: whoever was unassociated is bound now.
    let accounts: std::collections::BTreeSet<(String, String)> = lines()
        .iter()
        .filter_map(|line| line.pod())
        .map(|pod| (pod.namespace.to_string(), pod.service_account.to_string()))
        .collect();
    let associations: Vec<String> = accounts
        .iter()
        .map(|(namespace, account)| {
            format!(r#"{{"namespace":"{namespace}","serviceAccount":"{account}","associationId":"a-{namespace}-{account}","roleArn":"arn:aws:iam::111122223333:role/x"}}"#)
        })
        .collect();
    let text = format!(r#"{{"associations":[{}]}}"#, associations.join(","));
    let listing = association::parse(text.as_bytes(), None).unwrap();
    let difference = replay(policy(""), Given::new(None, Some(listing)), lines());
    let unassociated = difference
        .findings
        .iter()
        .find(|(key, _)| *key == "unassociated-agent-connect:high");
    assert_eq!(unassociated.map(|(_, count)| count.after), Some(0));
}

#[test]
fn what_cannot_be_judged_again_is_named() {
    let mut all = lines();
    // The line of the connect is not in the recording.
    all.retain(|line| !matches!(line.body, Body::CredentialConnect(_)));
    let closes = all
        .iter()
        .filter(|l| matches!(l.body, Body::ConnectionClosed(_)))
        .count() as u64;
    // Somebody's open, said to be another's: the line contradicts itself.
    let torn = all
        .iter_mut()
        .find(|line| line.finding(FindingId::ForeignTokenOpen).is_some())
        .unwrap();
    if let Body::TokenOpen(open) = &mut torn.body {
        open.token.owner = open.pod.as_ref().map(|pod| crate::event::OwnerRef {
            namespace: Some(pod.namespace.clone()),
            name: Some(pod.name.clone()),
            uid: pod.uid.clone(),
            service_account: Some(pod.service_account.clone()),
        });
    }
    let total = all.len() as u64;
    let difference = replay(policy(""), Given::default(), all);
    let lacking = &difference.not_judged_again;
    let connects = lacking.iter().find(|(why, _)| why.contains("connect"));
    assert_eq!(
        connects.map(|(_, count)| *count),
        Some(closes),
        "{lacking:?}"
    );
    let torn = lacking
        .iter()
        .find(|(why, _)| why.contains("foreign-token-open"));
    assert_eq!(torn.map(|(_, count)| *count), Some(1), "{lacking:?}");
    let counted = difference.events + lacking.values().sum::<u64>() + difference.other_lines;
    assert_eq!(counted, total, "each line is in one count");
}

/// An own open that was told of because policy did not list its program.
fn with_a_program_that_was_not_listed() -> Line {
    let line = LINES
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|line| {
            line["relation"] == "own"
                && line["token"]["kind"] == "pod-identity"
                && line["verdict"] == "allowed"
        });
    let mut line = line.unwrap();
    line["verdict"] = "suspicious".into();
    line["findings"] = serde_json::json!([
        {"id": "unexpected-executable", "severity": "medium", "message": "not listed", "exempted_by": null}
    ]);
    serde_json::from_value(line).unwrap()
}

#[test]
fn what_only_a_node_that_learns_would_know_is_said_to_be_open() {
    let line = with_a_program_that_was_not_listed();
    let pod = line.pod().unwrap();
    let list = |allow: &str| {
        format!(
            "executables: [{{namespace: {}, service_account: {}, allow: ['{allow}']}}]",
            pod.namespace, pod.service_account
        )
    };
    let learn = "learn: {for: 7d}";
    for (what, more, is_gone, is_open) in [
        ("learned", learn.to_owned(), true, true),
        ("nothing is expected", String::new(), true, false),
        ("listed", format!("{learn}\n{}", list("*")), true, false),
        (
            "not listed",
            format!("{learn}\n{}", list("/no")),
            false,
            false,
        ),
    ] {
        let difference = replay(policy(&more), Given::default(), vec![line.clone()]);
        assert_eq!(difference.changed == 1, is_gone, "{what}");
        let open: Vec<u64> = difference.left_open.values().copied().collect();
        let expected: &[u64] = if is_open { &[1] } else { &[] };
        assert_eq!(open, expected, "{what}");
        let text = text::render(&difference);
        assert_eq!(text.contains("left open"), is_open, "{what}: {text}");
    }
}

#[test]
fn the_text_names_before_and_after() {
    let difference = replay(
        policy("severity: {role-drift: medium}"),
        Given::default(),
        lines(),
    );
    let text = text::render(&difference);
    for part in [
        "events judged again under policy ",
        "role-drift:high",
        "violation -> suspicious",
        "    - role-drift:high",
        "    + role-drift:medium",
        "kept as recorded",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let json = serde_json::to_value(&difference).unwrap();
    assert_eq!(json["findings"]["role-drift:medium"]["before"], 0);
    assert_eq!(json["changes"][0]["after"]["verdict"], "suspicious");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Lines in part, doubled, and of several runs: what is judged again stays what it was.
    #[test]
    fn any_part_of_a_recording_stays_as_it_is(
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..80),
    ) {
        let all = lines();
        let mut some: Vec<usize> = picks.iter().map(|pick| pick.index(all.len())).collect();
        some.sort_unstable();
        let some: Vec<Line> = some.into_iter().map(|at| all[at].clone()).collect();
        let difference = replay(policy(""), Given::default(), some);
        prop_assert_eq!(&difference.changes, &[] as &[Change]);
    }

    /// A severity that policy sets is the severity of each such finding, and the verdict follows from what counts.
    #[test]
    fn severities_arrive_and_verdicts_follow(
        id in prop::sample::select(vec![FindingId::ForeignTokenOpen, FindingId::RoleDrift, FindingId::NodeRoleFallback, FindingId::IdentityMismatch]),
        severity in prop::sample::select(vec![Severity::Info, Severity::Medium, Severity::High, Severity::Critical]),
    ) {
        let mut policy = policy("");
        policy.severity.insert(id, severity);
        for change in replay(policy, Given::default(), lines()).changes {
            let counted = change.after.findings.iter().filter(|f| f.exempted_by.is_none());
            let worst = counted.map(|f| f.severity).max();
            for finding in change.after.findings.iter().filter(|f| f.id == id) {
                prop_assert_eq!(finding.severity, severity);
            }
            if let Some(verdict) = change.after.verdict {
                let is_violation = worst >= Some(Severity::High);
                prop_assert_eq!(verdict == Verdict::Violation, is_violation, "{:?}", change);
            }
        }
    }
}
