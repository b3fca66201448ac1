//! YAML to policy, with line and column of what is wrong.

use super::Policy;
use crate::watched_file::content_hash;

/// Why a policy is refused: `unknown field …, expected one of … at line 3, column 5`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid policy: {message}")]
pub struct PolicyError {
    pub message: String,
    /// Line and column, from 1.
    pub position: Option<(u64, u64)>,
}

impl Policy {
    /// # Errors
    /// On wrong syntax, unknown keys, unknown finding ids and severities, and a version that is not known.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        match read(bytes) {
            Ok(mut policy) => {
                policy.hash = Some(content_hash(bytes));
                Ok(policy)
            }
            Err(error) => Err(refusal(error.without_snippet())),
        }
    }
}

/// Comments are for people: the parser keeps few of them, and refuses a text with more (what `suggest` writes has many).
fn read(bytes: &[u8]) -> Result<Policy, serde_saphyr::Error> {
    serde_saphyr::from_slice_with_options(bytes, serde_saphyr::options! { emit_comments: false })
}

fn refusal(error: &serde_saphyr::Error) -> PolicyError {
    PolicyError {
        message: error.to_string(),
        position: error.location().map(|at| (at.line(), at.column())),
    }
}

/// What is wrong with a text of which all but one part, which begins at `start`, is blanked. What is missing outside of it may
/// have been blanked.
pub(super) fn parse_part(bytes: &[u8], start: (u64, u64)) -> Result<(), PolicyError> {
    let Err(error) = read(bytes) else {
        return Ok(());
    };
    let error = error.without_snippet();
    let refusal = refusal(error);
    let is_outside = refusal.position.is_none_or(|position| position < start);
    match error {
        serde_saphyr::Error::SerdeMissingField { .. } if is_outside => Ok(()),
        _ => Err(refusal),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        cluster::testing::pod,
        event::{FindingId, Relation, Severity},
        policy::OpenLog,
    };

    /// The contract of the design document.
    const CONTRACT: &str = r#"
version: 1
agent: [{namespace: kube-system, daemonset: eks-pod-identity-agent}]
kubelet: {cgroup: /runtime.slice/kubelet.service, executable: /usr/bin/kubelet}
node_role: [{namespace: kube-system, service_account: aws-node, reason: "CNI"}]
exempt: [{match: {namespace: monitoring, service_account: scanner, image: "…", executable: "…", relation: host, finding: host-token-open}, reason: "…", expires: 2027-06-30}]
severity: {raw-socket: info}
executables: [{namespace: shop, service_account: web, allow: ["/usr/bin/app"]}]
unused_after: 30d
log: {allowed_service_account_opens: count}
"#;

    #[test]
    fn reads_the_contract() {
        let policy = Policy::parse(CONTRACT.as_bytes()).unwrap();
        assert_eq!(policy.agent, Policy::default().agent);
        assert_eq!(
            policy.kubelet.cgroup.as_deref(),
            Some("/runtime.slice/kubelet.service")
        );
        let exemption = &policy.exempt[0];
        assert_eq!(exemption.matches.relation, Some(Relation::Host));
        assert_eq!(exemption.expires, Some("2027-06-30".parse().unwrap()));
        assert_eq!(policy.severity[&FindingId::RawSocket], Severity::Info);
        assert!(policy.executables[0].allow[0].matches("/usr/bin/app"));
        assert_eq!(policy.unused_after, jiff::SignedDuration::from_hours(720));
        assert_eq!(policy.hash.map(|hash| hash.len()), Some(16));
    }

    #[test]
    fn leaves_the_rest_at_its_default() {
        for text in [
            "version: 1",
            "version: 1\nexempt:\n#  - …\nunused_after:\nlog:\n",
        ] {
            let mut policy = Policy::parse(text.as_bytes()).unwrap();
            assert!(policy.hash.take().is_some());
            assert_eq!(policy, Policy::default());
        }
        let text = "version: 1\nexempt: [{match: {relation: host, finding: null}, reason: x, expires: null}]";
        let policy = Policy::parse(text.as_bytes()).unwrap();
        assert_eq!(policy.exempt[0].expires, None);
        let text = "version: 1\nagent: []\nlog: {allowed_service_account_opens: line}";
        let policy = Policy::parse(text.as_bytes()).unwrap();
        assert!(policy.agent.is_empty());
        assert_eq!(policy.log.allowed_service_account_opens, OpenLog::Line);
    }

    /// As many as a policy has of which everything is commented out.
    #[test]
    fn any_number_of_comments_is_no_error() {
        let many = "  # - /app\n".repeat(5000);
        let text = format!(
            "version: 1\nexecutables:\n{many}  []\nexempt:\n{many}severity:\n{many}  raw-socket: info\n{many}"
        );
        let policy = Policy::parse(text.as_bytes()).unwrap();
        assert_eq!(policy.severity[&FindingId::RawSocket], Severity::Info);
        let error = Policy::parse(format!("{text}\nx: y").as_bytes()).unwrap_err();
        assert_eq!(error.position, Some((20_008, 1)), "{error}");
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        for (text, position, part) in [
            ("", (1, 1), "unexpected end of input"),
            ("agent: []", (1, 1), "version"),
            ("version: 2", (1, 10), "version 2 is not known"),
            (
                "version: 1\nexemptions: []",
                (2, 1),
                "unknown field `exemptions`",
            ),
            (
                "version: 1\nexempt:\n  - match: {finding: host-open}\n    reason: x",
                (3, 22),
                "unknown variant `host-open`",
            ),
            (
                "version: 1\nexempt: [{match: {relation: host}}]",
                (2, 11),
                "`reason`",
            ),
            (
                "version: 1\nexempt: [{match: {relation: host}, reason: ''}]",
                (2, 44),
                "an empty `reason`",
            ),
            (
                "version: 1\nexempt: [{match: {relation: host}, reason: ' '}]",
                (2, 44),
                "an empty `reason`",
            ),
            (
                "version: 1\nunused_after: 30",
                (2, 15),
                "`30` is not a time span",
            ),
            (
                "version: 1\nunused_after: 0d",
                (2, 15),
                "`0d` is not a time span",
            ),
            (
                "version: 1\nexempt: [{match: {}, reason: x}]",
                (2, 18),
                "exempt everything",
            ),
            (
                "version: 1\nexempt: [{match: {pod: x}, reason: x}]",
                (2, 19),
                "unknown field `pod`",
            ),
            (
                "version: 1\nexempt: [{match: {relation: host}, reason: x, expires: soon}]",
                (2, 56),
                "`soon` is not a date",
            ),
            (
                "version: 1\nseverity: {raw-socket: low}",
                (2, 24),
                "unknown variant `low`",
            ),
            (
                "version: 1\nseverity: {raw-socket: info, raw-socket: info}",
                (2, 30),
                "duplicate",
            ),
            (
                "version: 1\nlog: {allowed: line}",
                (2, 7),
                "unknown field `allowed`",
            ),
            ("version: 1\nnode_role: [{namespace: a}", (2, 12), ""),
        ] {
            let error = Policy::parse(text.as_bytes()).expect_err(text);
            assert!(error.message.contains(part), "{text}\n{error}");
            assert_eq!(error.position, Some(position), "{text}\n{error}");
            let (line, column) = position;
            let at = format!("line {line}, column {column}");
            assert!(error.to_string().contains(&at), "{error}");
        }
    }

    #[test]
    fn the_default_for_eks_is_valid() {
        let text = include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../manifests/policy/default.yaml"
        ));
        let policy = Policy::parse(text.as_bytes()).unwrap();
        let account = |namespace, name| {
            let mut pod = pod(namespace, "x");
            pod.service_account = name;
            pod
        };
        for (namespace, name, expected) in [
            ("kube-system", "aws-node", true),
            ("kube-system", "ebs-csi-node-sa", true),
            ("amazon-cloudwatch", "cloudwatch-agent", true),
            ("kube-system", "default", false),
            ("shop", "aws-node", false),
        ] {
            let pod = account(namespace, name.into());
            assert_eq!(
                policy.may_use_node_role(&pod),
                expected,
                "{namespace}/{name}"
            );
        }
        let mut agent = pod("kube-system", "eks-pod-identity-agent-x7k2p");
        assert!(!policy.is_agent(&agent), "not by its name");
        agent.owner = Some("ReplicaSet/eks-pod-identity-agent".into());
        assert!(
            !policy.is_agent(&agent),
            "nor by another owner of that name"
        );
        agent.owner = Some("DaemonSet/eks-pod-identity-agent".into());
        assert!(policy.is_agent(&agent));
        for exemption in &policy.exempt {
            assert!(exemption.matches.finding.is_some(), "one finding each");
            assert!(exemption.matches.service_account.is_some());
        }
    }

    proptest! {
        #[test]
        fn never_panics(
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            noise in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut bytes = CONTRACT.as_bytes().to_vec();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = Policy::parse(&bytes);
            let _ = Policy::parse(&noise);
        }
    }
}
