//! The default policy against what EKS's own add-ons do, as the lab's runs recorded it.

use super::*;

/// What pods with the add-ons' ServiceAccounts did on the lab's node: instance metadata, roles of their own, others' tokens.
const ADDONS: &str = include_str!("../testdata/addons.jsonl");

/// CoreDNS is not among them: it reads its token for the API server, and that is counted only (scene `eks-coredns`).
const ACCOUNTS: [&str; 2] = ["aws-node", "csi-secrets-store-provider-aws"];

fn addons() -> Vec<Line> {
    let lines = ADDONS.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn default_policy() -> Policy {
    let text = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../manifests/policy/default.yaml"
    ));
    Policy::parse(text.as_bytes()).unwrap()
}

#[test]
fn nothing_that_an_add_on_does_counts_under_the_default_policy() {
    for account in ACCOUNTS {
        let is_its = |line: &Line| {
            line.pod()
                .is_some_and(|pod| &*pod.service_account == account)
        };
        let lines: Vec<Line> = addons().into_iter().filter(is_its).collect();
        assert!(!lines.is_empty(), "{account}");
        let difference = replay(default_policy(), Given::default(), lines);
        assert_eq!(
            difference.changes,
            [],
            "{account}: it was recorded under this policy"
        );
        assert!(difference.not_judged_again.is_empty(), "{account}");
        let verdicts: Vec<&String> = difference.verdicts.keys().collect();
        assert_eq!(verdicts, ["allowed"], "{account}");
        for finding in difference.findings.keys() {
            let is_harmless = finding.ends_with(":info") || finding.ends_with(":exempted");
            assert!(is_harmless, "{account}: {finding}");
        }
    }
}

#[test]
fn and_the_default_policy_is_why() {
    let difference = replay(Policy::default(), Given::default(), addons());
    let worse = |account: &str, finding: FindingId| {
        difference.changes.iter().any(|change| {
            let counts = |f: &crate::event::Finding| f.id == finding && f.exempted_by.is_none();
            let line = addons().into_iter().find(|line| line.id == change.id);
            let is_its = line.is_some_and(|line| {
                line.pod()
                    .is_some_and(|pod| &*pod.service_account == account)
            });
            is_its
                && change.after.findings.iter().any(counts)
                && !change.before.findings.iter().any(counts)
        })
    };
    assert!(worse("aws-node", FindingId::NodeRoleFallback));
    let provider = "csi-secrets-store-provider-aws";
    assert!(worse(provider, FindingId::UnassociatedAgentConnect));
    assert!(worse(provider, FindingId::AgentConnectWithoutToken));
}
