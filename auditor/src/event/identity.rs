//! Pods, containers and role bindings as they appear on a line.

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The acting process's pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PodRef {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub uid: Arc<str>,
    pub service_account: Arc<str>,
    pub service_account_uid: Option<Arc<str>>,
    /// `Kind/name` of the controlling owner reference.
    pub owner: Option<String>,
    pub labels: BTreeMap<String, String>,
}

/// A token's owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OwnerRef {
    /// Null while the cluster has not told of the pod: then only `uid` is known.
    pub namespace: Option<Arc<str>>,
    pub name: Option<Arc<str>>,
    pub uid: Arc<str>,
    pub service_account: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Container {
    /// The 64 hex digits of the runtime's id.
    pub id: String,
    /// Null for the sandbox (pause) container and before the pod's status names it.
    pub name: Option<String>,
    pub image: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BindingKind {
    PodIdentity,
    Irsa,
}

/// The role binding that the verdict was based on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Binding {
    /// Where it was read: `file:PATH`, `kube:NAMESPACE/CONFIGMAP`, `serviceaccount`, `pod-spec`.
    pub source: String,
    /// Counts the source's snapshots; null where the source has no such number.
    pub generation: Option<u64>,
    /// Content hash of the snapshot.
    pub hash: Option<String>,
    pub kind: BindingKind,
    pub association_id: Option<String>,
    /// `arn:aws:eks:REGION:ACCOUNT:podidentityassociation/CLUSTER/ID`, where the source tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub association_arn: Option<String>,
    pub role_arn: Option<String>,
    /// The role that `role_arn` assumes in turn, of any account; only where the association has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_role_arn: Option<String>,
    /// `sts:ExternalId` in the target role's trust policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Whether EKS tags the session with cluster, namespace, ServiceAccount and pod; null for IRSA, which never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_tags: Option<bool>,
    /// `eks-<first 10 of cluster>-<first 10 of pod>-`: how EKS names the STS session of a Pod Identity role.
    pub session_name_prefix: Option<String>,
}

/// What the webhook stamped into the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Injected {
    /// `AWS_ROLE_ARN` of the container's environment in the pod's spec.
    pub irsa_role: Option<String>,
    /// The Pod Identity volume or variables are there.
    pub pod_identity: bool,
    /// `AWS_REGION`, or `AWS_DEFAULT_REGION`: where its SDKs call STS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// What was known when the verdict was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    pub injected: Injected,
    /// The ServiceAccount's `eks.amazonaws.com/role-arn` now.
    pub sa_role_arn: Option<String>,
    pub pod_age_ms: Option<u64>,
    /// Age of the bindings' snapshot; null before the first.
    pub bindings_age_ms: Option<u64>,
    pub policy_hash: Option<String>,
    /// Since when a missing own token open would have been seen (`agent-connect-without-token`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_since: Option<String>,
    /// When the connecting pod last opened its own token for the agent, as far as seen: CloudTrail's events follow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_opened_at: Option<String>,
    /// `unexpected-executable`, where the learned baseline raised it: since when this node learned what the ServiceAccount runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned_since: Option<String>,
    /// `token-harvest`: whose tokens (namespace/name) the opener took within ten minutes, this one included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<String>,
    /// `identity-mismatch`: the pods (namespace/name, or `host`) that the process could belong to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
}

/// How the event was attributed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attribution {
    /// `cgroup`, `cgroup-ancestor` (a nested cgroup), `cgroup-only` (whose mount namespace it is in was not looked at), `host` (outside every pod), `conflict` (identity-mismatch), `unknown`; `address` (by the peer's address: `agent_accept`).
    pub process: String,
    /// `mountinfo`, `superblock` (the kernel named the volume's mount point at the event), `path` (as a refused open claimed), `unknown`; null where no token is involved.
    pub owner: Option<String>,
    /// From the kernel's timestamp to the end of attribution.
    pub latency_us: u64,
    /// How long ago the API server was last heard; null where the cluster is read from a file, which is looked at anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_age_ms: Option<u64>,
    /// How long the event was held back for knowledge that had not arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<u64>,
    /// Why attribution failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
