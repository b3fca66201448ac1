//! The keys of the policy file. Each has a default, so an empty policy is `version: 1`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer};

use super::{Exemption, Pattern, Subject, duration};
use crate::{
    cluster::Pod,
    event::{FindingId, Severity},
};

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Of the format: 1.
    #[serde(deserialize_with = "version_1")]
    pub version: u32,
    /// Pods that are the Pod Identity agent. An empty list: none is, as in EKS Auto Mode.
    #[serde(default = "default_agent", deserialize_with = "or_default")]
    pub agent: Vec<Agent>,
    #[serde(default, deserialize_with = "or_default")]
    pub kubelet: Kubelet,
    /// ServiceAccounts that may use the node's role.
    #[serde(default, deserialize_with = "or_default")]
    pub node_role: Vec<NodeRole>,
    #[serde(default, deserialize_with = "or_default")]
    pub exempt: Vec<Exemption>,
    /// Replaces the severity of every finding of that id, milder variants included.
    #[serde(default, deserialize_with = "or_default")]
    pub severity: BTreeMap<FindingId, Severity>,
    #[serde(default, deserialize_with = "or_default")]
    pub executables: Vec<Executables>,
    /// Audiences of IRSA tokens besides `sts.amazonaws.com` and those that ServiceAccounts name.
    #[serde(default, deserialize_with = "or_default")]
    pub irsa_audiences: Vec<String>,
    /// A binding that nobody used for that long is told (`unused-credential`).
    #[serde(
        default = "default_unused_after",
        deserialize_with = "duration::or_default"
    )]
    pub unused_after: SignedDuration,
    #[serde(default, deserialize_with = "or_default")]
    pub log: Log,
    /// Of the file; null where there is none.
    #[serde(skip)]
    pub hash: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    pub namespace: Pattern,
    pub daemonset: Pattern,
}

/// How the kubelet is known; what is null is found on the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kubelet {
    /// Path below the cgroup root.
    pub cgroup: Option<String>,
    pub executable: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRole {
    pub namespace: Pattern,
    pub service_account: Pattern,
    pub reason: Option<String>,
}

/// What a ServiceAccount's pods are expected to run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Executables {
    pub namespace: Pattern,
    pub service_account: Pattern,
    pub allow: Vec<Pattern>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    #[serde(default)]
    pub allowed_service_account_opens: OpenLog,
}

/// client-go reads its token each minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenLog {
    /// Counted, not written.
    #[default]
    Count,
    Line,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            version: 1,
            agent: default_agent(),
            kubelet: Kubelet::default(),
            node_role: Vec::new(),
            exempt: Vec::new(),
            severity: BTreeMap::new(),
            executables: Vec::new(),
            irsa_audiences: Vec::new(),
            unused_after: default_unused_after(),
            log: Log::default(),
            hash: None,
        }
    }
}

impl Policy {
    /// Whether the pod is the Pod Identity agent's: it also connects to its own address, for its probes.
    #[must_use]
    pub fn is_agent(&self, pod: &Pod) -> bool {
        let daemonset = pod
            .owner
            .as_deref()
            .and_then(|o| o.strip_prefix("DaemonSet/"));
        daemonset.is_some_and(|daemonset| {
            self.agent
                .iter()
                .any(|a| a.namespace.matches(&pod.namespace) && a.daemonset.matches(daemonset))
        })
    }

    #[must_use]
    pub fn may_use_node_role(&self, pod: &Pod) -> bool {
        self.node_role.iter().any(|rule| {
            rule.namespace.matches(&pod.namespace)
                && rule.service_account.matches(&pod.service_account)
        })
    }

    /// The first exemption that applies.
    #[must_use]
    pub fn exemption(
        &self,
        finding: FindingId,
        subject: &Subject<'_>,
        time: Timestamp,
    ) -> Option<&Exemption> {
        self.exempt
            .iter()
            .find(|exemption| exemption.covers(finding, subject, time))
    }
}

/// The add-on's DaemonSet.
fn default_agent() -> Vec<Agent> {
    vec![Agent {
        namespace: "kube-system".into(),
        daemonset: "eks-pod-identity-agent".into(),
    }]
}

/// A month: most workloads that run at all renew what they got within hours.
pub(super) fn default_unused_after() -> SignedDuration {
    SignedDuration::from_hours(30 * 24)
}

fn version_1<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        1 => Ok(1),
        other => Err(serde::de::Error::custom(format!(
            "version {other} is not known; this auditor reads version 1"
        ))),
    }
}

/// A key whose entries are all commented out is null.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
