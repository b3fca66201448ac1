//! A pod as the control plane describes it, with what EKS's webhook stamps into it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;

use crate::{
    cgroup::{Driver, Qos},
    service::agent,
    sys::capabilities,
    token,
    volume::{Files, Plugin, VolumeId},
};

pub const POD_IDENTITY: &str = "eks-pod-identity-token";
pub const IRSA: &str = "aws-iam-token";
const POD_IDENTITY_DIR: &str = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount";
const IRSA_DIR: &str = "/var/run/secrets/eks.amazonaws.com/serviceaccount";
const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A projected volume with one ServiceAccount token.
#[derive(Clone, Debug)]
pub struct TokenVolume {
    pub volume: String,
    pub mount_path: String,
    /// `path` of the projection; may hold `/`.
    pub file: String,
    /// None for the API server's own.
    pub audience: Option<String>,
    pub expiration_seconds: i64,
    /// `token.kind` by the event contract.
    pub kind: &'static str,
}

impl TokenVolume {
    pub fn new(
        kind: &'static str,
        volume: &str,
        mount_path: &str,
        file: &str,
        audience: &str,
    ) -> Self {
        Self {
            volume: volume.into(),
            mount_path: mount_path.into(),
            file: file.into(),
            audience: Some(audience.into()),
            expiration_seconds: 86_400,
            kind,
        }
    }

    /// As the container sees it.
    pub fn path(&self) -> String {
        format!("{}/{}", self.mount_path, self.file)
    }
}

/// Another kind of volume, mounted at `/etc/<name>`.
#[derive(Clone, Debug)]
pub struct FileVolume {
    pub plugin: Plugin,
    pub name: String,
    pub files: Files,
}

/// A host directory in the container, with later mounts appearing in it.
#[derive(Clone, Debug)]
pub struct HostPath {
    pub source: PathBuf,
    pub target: String,
    /// What is mounted below stays writable, as with runc.
    pub read_only: bool,
}

/// One file of a token volume by `subPath`.
#[derive(Clone, Debug)]
pub struct SubPath {
    pub volume: String,
    pub file: String,
    pub target: String,
}

#[derive(Clone, Debug)]
pub struct PodSpec {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// A static pod's: its volumes and cgroup carry this instead of the UID.
    pub config_hash: Option<String>,
    /// Empty for a mirror pod: it may not name one.
    pub service_account: String,
    /// Kind and name.
    pub owner: (String, String),
    pub tokens: Vec<TokenVolume>,
    pub files: Vec<FileVolume>,
    pub host_paths: Vec<HostPath>,
    pub sub_paths: Vec<SubPath>,
    pub env: BTreeMap<String, String>,
    /// The init's command line.
    pub argv: Vec<String>,
    /// `livenessProbe`, `readinessProbe`, `startupProbe` to the command that the kubelet runs for it.
    pub exec_probes: BTreeMap<&'static str, Vec<String>>,
    /// `securityContext.capabilities.add` of the container: `SYS_ADMIN`.
    pub caps: Vec<String>,
    /// `securityContext.capabilities.drop` is `[ALL]`.
    pub drops_caps: bool,
    pub host_pid: bool,
    pub share_process_namespace: bool,
    pub host_network: bool,
    pub qos: Qos,
    pub driver: Driver,
}

impl PodSpec {
    /// A pod of a ReplicaSet, named `app-<5 characters>`, with the ServiceAccount `app` and its default token.
    pub fn new(namespace: &str, app: &str) -> Self {
        let suffix = random_suffix();
        Self {
            namespace: namespace.into(),
            name: format!("{app}-{suffix}"),
            uid: uuid::Uuid::new_v4().to_string(),
            config_hash: None,
            service_account: app.into(),
            owner: ("ReplicaSet".into(), format!("{app}-7d4b9c8f6")),
            tokens: vec![TokenVolume {
                volume: format!("kube-api-access-{suffix}"),
                mount_path: SERVICE_ACCOUNT_DIR.into(),
                file: "token".into(),
                audience: None,
                expiration_seconds: 3_607,
                kind: "service-account",
            }],
            files: Vec::new(),
            host_paths: Vec::new(),
            sub_paths: Vec::new(),
            env: BTreeMap::new(),
            argv: vec!["pause".into()],
            exec_probes: BTreeMap::new(),
            caps: Vec::new(),
            drops_caps: false,
            host_pid: false,
            share_process_namespace: false,
            host_network: false,
            qos: Qos::Burstable,
            driver: Driver::Systemd,
        }
    }

    /// A pod of a DaemonSet in the node's own network.
    pub fn daemon(namespace: &str, app: &str) -> Self {
        let mut this = Self::new(namespace, app);
        this.owner = ("DaemonSet".into(), app.into());
        this.host_network = true;
        this
    }

    /// What the webhook stamps for a ServiceAccount with a role annotation.
    pub fn with_irsa(mut self, role: &str) -> Self {
        let token = TokenVolume::new("irsa", IRSA, IRSA_DIR, "token", token::STS);
        self.env.insert("AWS_ROLE_ARN".into(), role.into());
        self.env
            .insert("AWS_WEB_IDENTITY_TOKEN_FILE".into(), token.path());
        self.with_token(token)
    }

    /// What the webhook stamps for a ServiceAccount with a Pod Identity association.
    pub fn with_pod_identity(self) -> Self {
        self.with_pod_identity_at(agent::V4)
    }

    pub fn with_pod_identity_at(mut self, host: &str) -> Self {
        let token = TokenVolume::new(
            "pod-identity",
            POD_IDENTITY,
            POD_IDENTITY_DIR,
            POD_IDENTITY,
            token::PODS,
        );
        let uri = format!("http://{host}/v1/credentials");
        self.env
            .insert("AWS_CONTAINER_CREDENTIALS_FULL_URI".into(), uri);
        self.env.insert(
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE".into(),
            token.path(),
        );
        self.with_token(token)
    }

    pub fn with_token(mut self, token: TokenVolume) -> Self {
        self.tokens.push(token);
        self
    }

    pub fn with_host_path(mut self, source: &Path, target: &str) -> Self {
        self.host_paths.push(HostPath {
            source: source.to_owned(),
            target: target.into(),
            read_only: false,
        });
        self
    }

    pub fn with_caps(mut self, caps: &[&str]) -> Self {
        self.caps.extend(caps.iter().map(|&cap| cap.to_owned()));
        self
    }

    /// The container's bounding set: a runtime's default where that is not dropped, and what is added.
    pub fn capabilities(&self) -> Result<u64> {
        let mut added = self.caps.iter().map(|name| capabilities::named(name));
        let before = match self.drops_caps {
            true => 0,
            false => capabilities::DEFAULT,
        };
        added.try_fold(before, |set, one| Ok(set | one?))
    }

    /// The UID in the names of volumes and cgroups.
    pub fn node_uid(&self) -> &str {
        self.config_hash.as_deref().unwrap_or(&self.uid)
    }

    /// `namespace/name`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub fn token(&self, volume: &str) -> Option<&TokenVolume> {
        self.tokens.iter().find(|t| t.volume == volume)
    }

    pub fn volume_id(&self, plugin: Plugin, name: &str) -> VolumeId {
        VolumeId {
            pod_uid: self.node_uid().into(),
            plugin,
            name: name.into(),
        }
    }
}

/// A pod that runs.
#[derive(Clone, Debug)]
pub struct Pod {
    pub(super) slot: usize,
    pub spec: Arc<PodSpec>,
    /// On the host.
    pub init_pid: u32,
    pub container_id: String,
    /// The container's, absolute.
    pub cgroup: PathBuf,
}

impl Pod {
    /// One that another runtime than the lab's own runs.
    pub fn elsewhere(spec: Arc<PodSpec>) -> Self {
        Self {
            slot: usize::MAX,
            spec,
            init_pid: 0,
            container_id: String::new(),
            cgroup: PathBuf::new(),
        }
    }

    pub fn key(&self) -> String {
        self.spec.key()
    }

    /// A token file below a kubelet root that is mounted at `root`.
    pub fn token_below(&self, root: &Path, volume: &str) -> PathBuf {
        let file = self.spec.token(volume).map_or("token", |t| &t.file);
        self.spec
            .volume_id(Plugin::Projected, volume)
            .dir(root)
            .join(file)
    }
}

/// Five characters as the API server's name generator makes them.
fn random_suffix() -> String {
    let alphabet = b"bcdfghjklmnpqrstvwxz2456789";
    uuid::Uuid::new_v4()
        .as_bytes()
        .iter()
        .take(5)
        .map(|b| char::from(alphabet[usize::from(*b) % alphabet.len()]))
        .collect()
}
