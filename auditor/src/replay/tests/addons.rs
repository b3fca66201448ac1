//! The default policy against what EKS's own add-ons do, as the lab's runs recorded it.

use super::*;

/// What pods with the add-ons' ServiceAccounts did on the lab's node: instance metadata, roles of their own, others' tokens.
/// `testdata/record-addons.sh` writes it.
const ADDONS: &str = include_str!("../testdata/addons.jsonl");

/// An add-on's ServiceAccount, and what counts against it where no policy names it.
struct Addon {
    namespace: &'static str,
    account: &'static str,
    without_policy: &'static [FindingId],
}

const NODE_ROLE: &[FindingId] = &[FindingId::NodeRoleFallback];
const FOR_OTHERS: &[FindingId] = &[
    FindingId::UnassociatedAgentConnect,
    FindingId::AgentConnectWithoutToken,
];
/// They use a role of their own, or read their own token for the API server: no policy is needed for that.
const BY_ITSELF: &[FindingId] = &[];

const fn addon(
    namespace: &'static str,
    account: &'static str,
    without_policy: &'static [FindingId],
) -> Addon {
    Addon {
        namespace,
        account,
        without_policy,
    }
}

const ALL: [Addon; 10] = [
    addon("kube-system", "aws-node", NODE_ROLE),
    addon("kube-system", "ebs-csi-node-sa", NODE_ROLE),
    addon("kube-system", "efs-csi-node-sa", NODE_ROLE),
    addon("mount-s3", "default", FOR_OTHERS),
    addon("kube-system", "csi-secrets-store-provider-aws", FOR_OTHERS),
    addon(
        "aws-secrets-manager",
        "aws-secrets-store-csi-driver-provider",
        FOR_OTHERS,
    ),
    addon("kube-system", "ebs-csi-controller-sa", BY_ITSELF),
    addon("kube-system", "aws-load-balancer-controller", BY_ITSELF),
    addon("kube-system", "karpenter", BY_ITSELF),
    addon("kube-system", "coredns", BY_ITSELF),
];

fn recorded() -> Vec<Line> {
    let lines = ADDONS.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn lines_of(addon: &Addon) -> Vec<Line> {
    let is_its = |line: &Line| {
        line.pod().is_some_and(|pod| {
            (&*pod.namespace, &*pod.service_account) == (addon.namespace, addon.account)
        })
    };
    let lines: Vec<Line> = recorded().into_iter().filter(is_its).collect();
    assert!(!lines.is_empty(), "{}", addon.account);
    lines
}

fn default_policy() -> Policy {
    let text = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../manifests/policy/default.yaml"
    ));
    Policy::parse(text.as_bytes()).unwrap()
}

#[test]
fn every_recorded_line_is_of_an_add_on_that_is_tested() {
    let count: usize = ALL.iter().map(|addon| lines_of(addon).len()).sum();
    assert_eq!(count, recorded().len());
}

#[test]
fn nothing_that_an_add_on_does_counts_under_the_default_policy() {
    for addon in &ALL {
        let account = addon.account;
        let difference = replay(default_policy(), Given::default(), lines_of(addon));
        let changes = difference.changes.iter();
        // CoreDNS's line was recorded under a policy that differs in what is written, not in what is judged.
        assert_eq!(
            changes.count(),
            0,
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
    for addon in &ALL {
        let account = addon.account;
        let difference = replay(Policy::default(), Given::default(), lines_of(addon));
        let counts = |judged: &Judged, id| {
            let mut findings = judged.findings.iter();
            findings.any(|finding| finding.id == id && finding.exempted_by.is_none())
        };
        let mut gained: Vec<FindingId> = Vec::new();
        for change in &difference.changes {
            let ids = change.after.findings.iter().map(|finding| finding.id);
            gained
                .extend(ids.filter(|&id| counts(&change.after, id) && !counts(&change.before, id)));
        }
        for finding in addon.without_policy {
            assert!(
                gained.contains(finding),
                "{account}: {finding:?} of {gained:?}"
            );
        }
        assert_eq!(
            gained.len(),
            addon.without_policy.len(),
            "{account}: {gained:?}"
        );
        // Who takes the node's role and has none of his own is told of as information; who asks the agent for others is not allowed.
        let is_allowed = difference
            .verdicts
            .iter()
            .all(|(verdict, count)| verdict == "allowed" || count.after == 0);
        assert_eq!(
            is_allowed,
            addon.without_policy != FOR_OTHERS,
            "{account}: {:?}",
            difference.verdicts
        );
    }
}
