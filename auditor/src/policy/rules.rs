//! The keys of the policy file. Each has a default, so an empty policy is `version: 1`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::{Exemption, Pattern, Subject, duration};
use crate::{
    cluster::Pod,
    event::{FindingId, Severity},
};

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Of the format: 1.
    #[serde(deserialize_with = "version_1")]
    #[schemars(extend("const" = 1))]
    pub version: u32,
    /// Pods that are the Pod Identity agent. An empty list: none is, as in EKS Auto Mode.
    #[serde(default = "default_agent", deserialize_with = "or_default")]
    #[schemars(with = "Option<Vec<Agent>>")]
    pub agent: Vec<Agent>,
    #[serde(default, deserialize_with = "or_default")]
    #[schemars(with = "Option<Kubelet>")]
    pub kubelet: Kubelet,
    /// ServiceAccounts that may use the node's role.
    #[serde(default, deserialize_with = "or_default")]
    #[schemars(with = "Option<Vec<NodeRole>>")]
    pub node_role: Vec<NodeRole>,
    /// Findings that stay on the line, and do not count.
    #[serde(default, deserialize_with = "or_default")]
    #[schemars(with = "Option<Vec<Exemption>>")]
    pub exempt: Vec<Exemption>,
    /// Replaces the severity of every finding of that id, milder variants included.
    #[serde(default, deserialize_with = "or_default")]
    #[schemars(with = "Option<BTreeMap<FindingId, Severity>>")]
    pub severity: BTreeMap<FindingId, Severity>,
    /// What the pods of a ServiceAccount run where they use their credentials; others are `unexpected-executable`.
    #[serde(default, deserialize_with = "or_default")]
    #[schemars(with = "Option<Vec<Executables>>")]
    pub executables: Vec<Executables>,
    /// Each node learns which programs use the credentials of each ServiceAccount, and tells of others after that time
    /// (`unexpected-executable`). Null: nothing is learned. What `executables` lists for a ServiceAccount goes before what was learned.
    pub learn: Option<Learn>,
    /// Audiences of IRSA tokens besides `sts.amazonaws.com` and those that ServiceAccounts name.
    #[serde(default, deserialize_with = "or_default")]
    #[schemars(with = "Option<Vec<String>>")]
    pub irsa_audiences: Vec<String>,
    /// A binding that nobody used for that long is told (`unused-credential`).
    #[serde(
        default = "default_unused_after",
        deserialize_with = "duration::or_default"
    )]
    #[schemars(with = "Option<duration::Text>")]
    pub unused_after: SignedDuration,
    #[serde(default, deserialize_with = "or_default")]
    #[schemars(with = "Option<Log>")]
    pub log: Log,
    /// Of the file; null where there is none.
    #[serde(skip)]
    pub hash: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    pub namespace: Pattern,
    pub daemonset: Pattern,
}

/// How the kubelet is known; what is null is found on the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kubelet {
    /// Path below the cgroup root.
    pub cgroup: Option<String>,
    pub executable: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeRole {
    pub namespace: Pattern,
    pub service_account: Pattern,
    pub reason: Option<String>,
}

/// What a ServiceAccount's pods are expected to run. Of several entries that name one ServiceAccount, all lists hold.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Executables {
    pub namespace: Pattern,
    pub service_account: Pattern,
    /// Paths as `process.exe` has them: in the mount namespace of the process; chroot does not change them.
    pub allow: Vec<Pattern>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Learn {
    /// From the first use of a ServiceAccount's credentials on the node.
    #[serde(rename = "for", deserialize_with = "duration::required")]
    #[schemars(with = "duration::Text")]
    pub period: SignedDuration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    #[serde(default)]
    pub allowed_service_account_opens: OpenLog,
}

/// client-go reads its token each minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
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
            learn: None,
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

    /// Whether the program is listed for the pod's ServiceAccount; null where nothing is listed for it.
    #[must_use]
    pub fn expects_executable(&self, pod: &Pod, executable: Option<&str>) -> Option<bool> {
        let lists = self.lists_of(&pod.namespace, &pod.service_account);
        let mut lists = lists.peekable();
        lists.peek()?;
        let mut allowed = lists.flat_map(|rule| &rule.allow);
        Some(executable.is_some_and(|path| allowed.any(|pattern| pattern.matches(path))))
    }

    /// Whether the ServiceAccount is judged by `executables`, and not by what was learned.
    #[must_use]
    pub fn lists_executables(&self, namespace: &str, service_account: &str) -> bool {
        self.lists_of(namespace, service_account).next().is_some()
    }

    fn lists_of<'a>(
        &'a self,
        namespace: &'a str,
        service_account: &'a str,
    ) -> impl Iterator<Item = &'a Executables> {
        self.executables.iter().filter(move |rule| {
            rule.namespace.matches(namespace) && rule.service_account.matches(service_account)
        })
    }

    /// How long each ServiceAccount's programs are learned; null: not at all.
    #[must_use]
    pub fn learn_for(&self) -> Option<SignedDuration> {
        self.learn.map(|learn| learn.period)
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
