//! A pod, as far as the judgement needs it.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{Mount, ProjectedVolume};
use crate::event;

/// The Pod Identity agent's, as `AWS_CONTAINER_CREDENTIALS_FULL_URI` holds them; that variable may name other servers too.
const AGENT_ADDRESSES: [&str; 2] = ["//169.254.170.23/", "//[fd00:ec2::23]/"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    /// The API server's UID. A static pod's directory and cgroup carry `mirror_hash` instead.
    pub uid: Arc<str>,
    /// Annotation `kubernetes.io/config.mirror`: 32 hex digits, static pods only.
    pub mirror_hash: Option<Arc<str>>,
    /// `default` where the spec names none.
    pub service_account: Arc<str>,
    /// `Kind/name` of the controlling owner reference.
    pub owner: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// `metadata.creationTimestamp`, to the second.
    pub created: Option<Timestamp>,
    /// Null while the pod is not scheduled, or where a hand-written file says nothing.
    pub node_name: Option<Arc<str>>,
    pub host_network: bool,
    pub host_pid: bool,
    pub share_process_namespace: bool,
    /// Init, normal and ephemeral containers.
    /// `status.podIPs`; a pod in the host's network has the node's.
    pub ips: Vec<std::net::IpAddr>,
    /// `status.phase` is neither Succeeded nor Failed.
    pub active: bool,
    pub containers: Vec<Container>,
    pub volumes: Vec<ProjectedVolume>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    pub name: Arc<str>,
    pub image: Arc<str>,
    /// The 64 hex digits of the runtime's id, from the status; null until the status names it.
    pub id: Option<Arc<str>>,
    /// The id before the last restart.
    pub previous_id: Option<Arc<str>>,
    pub env: CredentialEnv,
    /// argv of each exec probe and lifecycle hook.
    pub commands: Vec<Vec<String>>,
    pub mounts: Vec<Mount>,
}

/// What the spec's `env` says literally of the AWS SDK's variables; values from elsewhere (`valueFrom`, `envFrom`) are not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialEnv {
    /// `AWS_ROLE_ARN`
    pub role_arn: Option<Arc<str>>,
    /// `AWS_WEB_IDENTITY_TOKEN_FILE`
    pub web_identity_token_file: Option<Arc<str>>,
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI`
    pub container_credentials_full_uri: Option<Arc<str>>,
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`
    pub container_authorization_token_file: Option<Arc<str>>,
    /// `AWS_REGION`
    pub region: Option<Arc<str>>,
    /// `AWS_DEFAULT_REGION`
    pub default_region: Option<Arc<str>>,
    /// `AWS_ACCESS_KEY_ID` is there, whatever its value and wherever it is from.
    pub static_keys: bool,
}

impl Pod {
    /// Whether a UID from a directory or cgroup name is this pod's.
    #[must_use]
    pub fn has_uid(&self, uid: &str) -> bool {
        *self.uid == *uid || self.mirror_hash.as_deref() == Some(uid)
    }

    /// By the runtime's id, also that of the instance before the last restart.
    #[must_use]
    pub fn container(&self, id: &str) -> Option<&Container> {
        let named = |known: &Option<Arc<str>>| known.as_deref() == Some(id);
        self.containers
            .iter()
            .find(|c| named(&c.id) || named(&c.previous_id))
    }

    #[must_use]
    pub fn volume(&self, name: &str) -> Option<&ProjectedVolume> {
        self.volumes.iter().find(|v| *v.name == *name)
    }

    /// `AWS_ROLE_ARN` of one container, or of any where none is named.
    #[must_use]
    pub fn env_role(&self, container: Option<&str>) -> Option<&str> {
        match container {
            Some(name) => self
                .containers
                .iter()
                .find(|c| *c.name == *name)
                .and_then(|c| c.env.role_arn.as_deref()),
            None => self
                .containers
                .iter()
                .find_map(|c| c.env.role_arn.as_deref()),
        }
    }

    /// The region that the webhook, or somebody, gave its SDKs.
    #[must_use]
    pub fn env_region(&self) -> Option<&str> {
        let mut environments = self.containers.iter().map(|c| &c.env);
        environments.find_map(|env| env.region.as_deref().or(env.default_region.as_deref()))
    }

    /// A container's `AWS_WEB_IDENTITY_TOKEN_FILE` is this file of this volume.
    #[must_use]
    pub fn is_web_identity_file(&self, volume: &str, file: &str) -> bool {
        self.containers.iter().any(|c| {
            c.env.web_identity_token_file.as_deref().is_some_and(|env| {
                c.mounts
                    .iter()
                    .any(|m| *m.volume == *volume && m.file_at(env).as_deref() == Some(file))
            })
        })
    }

    /// What the webhook stamps for Pod Identity is there: the agent's address in a variable, or a token for the agent's audience.
    #[must_use]
    pub fn has_pod_identity(&self) -> bool {
        let is_agent = |uri: &str| AGENT_ADDRESSES.iter().any(|agent| uri.contains(agent));
        self.containers
            .iter()
            .filter_map(|c| c.env.container_credentials_full_uri.as_deref())
            .any(is_agent)
            || self
                .volumes
                .iter()
                .flat_map(|v| &v.tokens)
                .any(|t| t.audience.as_deref() == Some(super::volume::POD_IDENTITY_AUDIENCE))
    }

    /// `namespace/name`, as messages name it.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The pod as the owner of a token.
    #[must_use]
    pub fn owner_ref(&self) -> event::OwnerRef {
        event::OwnerRef {
            namespace: Some(self.namespace.clone()),
            name: Some(self.name.clone()),
            uid: self.uid.clone(),
            service_account: Some(self.service_account.clone()),
        }
    }

    /// A container as a line tells of it; name and image are null when the status does not know the id (the sandbox, or too early).
    #[must_use]
    pub fn container_ref(&self, id: &str) -> event::Container {
        let known = self.container(id);
        event::Container {
            id: id.to_owned(),
            name: known.map(|c| c.name.to_string()),
            image: known.map(|c| c.image.to_string()),
        }
    }
}
