//! The shapes of the Kubernetes API's objects, cut down to the fields that are used. Everything else, `managedFields` among it, is
//! skipped by the parser.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub name: Option<String>,
    pub namespace: Option<String>,
    pub uid: Option<String>,
    pub creation_timestamp: Option<Timestamp>,
    pub labels: Option<BTreeMap<String, String>>,
    pub annotations: Option<Annotations>,
    pub owner_references: Option<Vec<OwnerReference>>,
}

/// The few that are used; the rest (`last-applied-configuration` is as long as the object) is skipped.
#[derive(Default, Deserialize)]
pub struct Annotations {
    #[serde(rename = "kubernetes.io/config.mirror")]
    pub config_mirror: Option<String>,
    #[serde(rename = "eks.amazonaws.com/role-arn")]
    pub role_arn: Option<String>,
    #[serde(rename = "eks.amazonaws.com/audience")]
    pub audience: Option<String>,
}

#[derive(Deserialize)]
pub struct OwnerReference {
    pub kind: String,
    pub name: String,
    pub controller: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    pub service_account_name: Option<String>,
    pub node_name: Option<String>,
    pub host_network: Option<bool>,
    #[serde(rename = "hostPID")]
    pub host_pid: Option<bool>,
    pub share_process_namespace: Option<bool>,
    pub init_containers: Option<Vec<Container>>,
    pub containers: Option<Vec<Container>>,
    pub ephemeral_containers: Option<Vec<Container>>,
    pub volumes: Option<Vec<Volume>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    pub name: String,
    pub image: Option<String>,
    pub env: Option<Vec<EnvVar>>,
    pub volume_mounts: Option<Vec<VolumeMount>>,
    pub liveness_probe: Option<Handler>,
    pub readiness_probe: Option<Handler>,
    pub startup_probe: Option<Handler>,
    pub lifecycle: Option<Lifecycle>,
}

#[derive(Deserialize)]
pub struct EnvVar {
    pub name: String,
    pub value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeMount {
    pub name: String,
    pub mount_path: String,
    pub sub_path: Option<String>,
}

/// A probe or a lifecycle hook.
#[derive(Deserialize)]
pub struct Handler {
    pub exec: Option<Exec>,
}

#[derive(Deserialize)]
pub struct Exec {
    pub command: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    pub post_start: Option<Handler>,
    pub pre_stop: Option<Handler>,
}

#[derive(Deserialize)]
pub struct Volume {
    pub name: String,
    pub projected: Option<Projected>,
}

#[derive(Deserialize)]
pub struct Projected {
    pub sources: Option<Vec<Source>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    pub service_account_token: Option<ServiceAccountToken>,
    pub config_map: Option<Items>,
    pub secret: Option<Items>,
    #[serde(rename = "downwardAPI")]
    pub downward_api: Option<Items>,
    pub cluster_trust_bundle: Option<Item>,
    pub pod_certificate: Option<PodCertificate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountToken {
    pub path: String,
    pub audience: Option<String>,
    pub expiration_seconds: Option<u64>,
}

/// Without `items` every key becomes a file.
#[derive(Deserialize)]
pub struct Items {
    pub items: Option<Vec<Item>>,
}

#[derive(Deserialize)]
pub struct Item {
    pub path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodCertificate {
    pub credential_bundle_path: Option<String>,
    pub key_path: Option<String>,
    pub certificate_chain_path: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    pub phase: Option<String>,
    #[serde(rename = "podIPs")]
    pub pod_ips: Option<Vec<PodIp>>,
    pub init_container_statuses: Option<Vec<ContainerStatus>>,
    pub container_statuses: Option<Vec<ContainerStatus>>,
    pub ephemeral_container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Deserialize)]
pub struct PodIp {
    #[serde(default)]
    pub ip: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    pub name: String,
    #[serde(rename = "containerID")]
    pub container_id: Option<String>,
    pub last_state: Option<LastState>,
}

#[derive(Deserialize)]
pub struct LastState {
    pub terminated: Option<Terminated>,
}

#[derive(Deserialize)]
pub struct Terminated {
    #[serde(rename = "containerID")]
    pub container_id: Option<String>,
}
