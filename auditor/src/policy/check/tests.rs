use super::*;

const NOW: &str = "2027-01-15T12:00:00Z";

fn checked(text: &str) -> Report {
    check(text.as_bytes(), NOW.parse().unwrap())
}

fn said(remarks: &[Remark]) -> Vec<((u64, u64), &str)> {
    remarks
        .iter()
        .map(|r| (r.position.unwrap(), r.message.as_str()))
        .collect()
}

#[track_caller]
fn assert_said(text: &str, remarks: &[Remark], expected: &[((u64, u64), &str)]) {
    let said = said(remarks);
    assert_eq!(said.len(), expected.len(), "{text}\n{said:#?}");
    for ((position, message), (at, part)) in said.into_iter().zip(expected) {
        assert_eq!(position, *at, "{text}\n{message}");
        assert!(message.contains(part), "{text}\n{message}");
        assert!(
            !message.contains(" at line "),
            "its place stands before it: {message}"
        );
    }
}

const BLOCK: &str = r#"version: 1
agent:
  - namespace: kube-system
    daemonsets: x
kubelet:
  cgroup: [/a]
exempt:
  # the first one
  - match:
      namespace: shop
      finding: no-such-finding
      pod: web
    reason: ''
  - match: {relation: host}

  - reason: "ok"
    expires: tomorrow
    match: {namespace: "a: b", relation: elsewhere}
  - {match: {finding: raw-socket}, reason: fine}
severity:
  raw-socket: info
  host-open: low
learn: {for: 7}
log: {allowed_service_account_opens: lines}
unknown: 1
"#;

#[test]
fn each_error_is_told_at_its_place() {
    let report = checked(BLOCK);
    assert_said(
        BLOCK,
        &report.errors,
        &[
            ((4, 5), "unknown field `daemonsets`"),
            ((6, 11), ""),
            ((11, 16), "unknown variant `no-such-finding`"),
            ((12, 7), "unknown field `pod`"),
            ((13, 13), "an empty `reason`"),
            ((14, 5), "missing field `reason`"),
            ((17, 14), "`tomorrow` is not a date"),
            ((18, 42), "unknown variant `elsewhere`"),
            ((22, 3), "unknown variant `host-open`"),
            ((23, 14), "`7` is not a time span"),
            ((24, 38), "unknown variant `lines`"),
            ((25, 1), "unknown field `unknown`"),
        ],
    );
    assert!(report.warnings.is_empty());
}

#[test]
fn in_flow_style_too() {
    let text = "{version: 1, exempt: [{match: {pod: x}, reason: a}, {match: {finding: x-y}, reason: b}, {match: {}, reason: c}, \
                {match: {relation: host}, reason: ' '}], agent: [{namespace: a}]}";
    let column = |part: &str| (1, text.find(part).unwrap() as u64 + 1);
    assert_said(
        text,
        &checked(text).errors,
        &[
            (column("pod: x"), "unknown field `pod`"),
            (column("x-y"), "unknown variant `x-y`"),
            (column("{}"), "exempt everything"),
            (column("' '"), "an empty `reason`"),
            (column("namespace: a}"), "missing field `daemonset`"),
        ],
    );
}

#[test]
fn one_error_that_hides_all_others_is_told_alone() {
    for (text, position) in [
        ("", (1, 1)),
        ("version: 1\nexempt: [", (2, 9)),
        ("version: 2", (1, 10)),
        ("agent: []", (1, 1)),
        (
            "version: 1\nseverity: {raw-socket: info, raw-socket: info}",
            (2, 30),
        ),
        ("version: 1\nagent: &a []\nexempt: *a\nlog: {x: y}", (4, 7)),
    ] {
        let report = checked(text);
        let said = said(&report.errors);
        assert_eq!(said.len(), 1, "{text}\n{said:#?}");
        assert_eq!(said[0].0, position, "{text}\n{said:#?}");
    }
    let report = check(b"version: 1\nagent: \xff", NOW.parse().unwrap());
    assert_eq!(report.errors.len(), 1);
}

#[test]
fn what_was_probably_not_meant_is_told() {
    for (text, expected) in [
        (
            "exempt:\n  - {match: {namespace: shop}, reason: x, expires: 2027-01-14}",
            Some(((3, 5), "expired on 2027-01-14")),
        ),
        (
            "exempt:\n  - {match: {namespace: shop}, reason: x, expires: 2027-01-15}",
            None,
        ),
        (
            "exempt:\n  - {match: {namespace: '*'}, reason: x}",
            Some(((3, 5), "exempts everything that pods do")),
        ),
        (
            "exempt:\n  - {match: {relation: other-pod}, reason: x}",
            Some(((3, 5), "exempts everything of relation `other-pod`")),
        ),
        (
            "exempt:\n  - {match: {namespace: '*', relation: other-pod}, reason: x}",
            Some(((3, 5), "exempts everything of relation `other-pod`")),
        ),
        (
            "exempt:\n  - {match: {executable: '/*', relation: host}, reason: x}",
            Some(((3, 5), "exempts everything of relation `host`")),
        ),
        (
            "exempt:\n  - {match: {executable: '/*'}, reason: x}",
            Some(((3, 5), "exempts everything, whoever does it")),
        ),
        (
            "exempt:\n  - {match: {executable: '/*', finding: host-token-open}, reason: x}",
            Some(((3, 5), "exempts `host-token-open` whoever does it")),
        ),
        (
            "exempt:\n  - {match: {namespace: '*', relation: host}, reason: x}",
            Some(((3, 5), "matches nothing: a process of relation `host`")),
        ),
        (
            "agent: [{namespace: '*', daemonset: '*'}]",
            Some(((2, 9), "takes every DaemonSet of the cluster")),
        ),
        (
            "agent:\n  - {namespace: kube-system, daemonset: '*'}",
            Some(((3, 5), "takes every DaemonSet of the namespace")),
        ),
        (
            "agent:\n  - {namespace: '*', daemonset: eks-pod-identity-agent}",
            Some(((3, 5), "in any namespace")),
        ),
        (
            "agent:\n  - {namespace: kube-system, daemonset: eks-*}",
            None,
        ),
        (
            "exempt:\n  - {match: {finding: foreign-token-open}, reason: x}",
            Some(((3, 5), "exempts `foreign-token-open` whoever does it")),
        ),
        (
            "exempt:\n  - {match: {finding: raw-socket}, reason: x}",
            None,
        ),
        (
            "exempt:\n  - {match: {finding: host-token-open, executable: /opt/backup}, reason: x}",
            None,
        ),
        (
            "exempt:\n  - {match: {namespace: ops, relation: host}, reason: x}",
            Some(((3, 5), "matches nothing: a process of relation `host`")),
        ),
        (
            "exempt:\n  - {match: {namespace: ops, relation: own, finding: raw-socket}, reason: x}",
            Some(((3, 5), "matches nothing: `raw-socket` is raised on events")),
        ),
        (
            "exempt:\n  - {match: {executable: backup, namespace: ops}, reason: x}",
            Some(((3, 5), "matches no executable")),
        ),
        (
            "exempt:\n  - {match: {namespace: a}, reason: x}\n  - {match: {namespace: a}, reason: y}",
            Some(((4, 5), "an earlier exemption matches the same")),
        ),
        (
            "executables:\n  - {namespace: shop, service_account: web, allow: []}",
            Some(((3, 5), "`allow` lists nothing")),
        ),
        (
            "executables:\n  - {namespace: shop, service_account: web, allow: [/app, app]}",
            Some(((3, 59), "matches no program")),
        ),
        (
            "executables:\n  - {namespace: shop, service_account: web, allow: ['*']}",
            Some(((3, 53), "allows every program")),
        ),
        (
            "executables:\n  - {namespace: shop, service_account: web, allow: [/app, '/*']}",
            Some(((3, 59), "allows every program")),
        ),
        (
            "node_role: [{namespace: kube-system, service_account: '*'}]",
            Some(((2, 13), "every pod of the namespace")),
        ),
        (
            "severity: {host-token-open: medium, raw-socket: info}",
            Some(((2, 29), "`host-token-open` is no violation any more")),
        ),
        ("severity: {raw-socket: critical, role-drift: high}", None),
    ] {
        let text = format!("version: 1\n{text}\n");
        let report = checked(&text);
        assert!(report.errors.is_empty(), "{text}\n{:?}", report.errors);
        let expected: Vec<_> = expected.into_iter().collect();
        assert_said(&text, &report.warnings, &expected);
    }
}

#[test]
fn places_are_told_behind_any_number_of_comments() {
    let many = "  # - /app\n".repeat(500);
    let text = format!(
        "version: 1\nexempt:\n{many}  - {{match: {{namespace: '*'}}, reason: x}}\nnode_role:\n{many}  []\n"
    );
    let report = checked(&text);
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    assert_said(&text, &report.warnings, &[((503, 5), "exempts everything")]);
}

#[test]
fn the_default_for_eks_has_nothing_to_remark() {
    let text = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../manifests/policy/default.yaml"
    ));
    assert_eq!(checked(text), Report::default());
}

/// The examples of docs/policy.md, each a block of YAML: whole policies, or some keys of one.
#[test]
fn every_example_of_the_documentation_is_a_policy() {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/policy.md"));
    let mut examples = 0;
    let mut keys = std::collections::BTreeSet::new();
    for block in text.split("```yaml\n").skip(1) {
        let example = block.split("```").next().unwrap();
        examples += 1;
        let whole = match example.contains("version:") {
            true => example.to_owned(),
            false => format!("version: 1\n{example}"),
        };
        assert_eq!(checked(&whole), Report::default(), "{example}");
        let names = example.lines().filter_map(|line| line.split_once(':'));
        keys.extend(
            names
                .filter(|(key, _)| !key.contains([' ', '#']))
                .map(|(key, _)| key),
        );
    }
    let schema: serde_json::Value =
        serde_json::from_str(&crate::policy::schema::generate().unwrap()).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    for key in properties.keys() {
        assert!(
            keys.contains(key.as_str()),
            "docs/policy.md has no example of `{key}`"
        );
    }
    assert!(examples >= properties.len(), "{examples}");
}

mod any_policy {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever it is, what `run` refuses has an error, and what it takes has none.
        #[test]
        fn agrees_with_what_run_makes_of_it(
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<char>()), 0..6),
        ) {
            let mut text: Vec<char> = BLOCK.chars().collect();
            for (at, c) in damage {
                let at = at.index(text.len());
                text[at] = c;
            }
            let text: String = text.into_iter().collect();
            let report = checked(&text);
            prop_assert_eq!(report.errors.is_empty(), Policy::parse(text.as_bytes()).is_ok());
        }
    }
}
