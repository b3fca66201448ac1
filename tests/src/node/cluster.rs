//! What the control plane says: the cluster file as `kubectl get pods,serviceaccounts -A -o json` prints it, and the
//! associations file with objects as `aws eks describe-pod-identity-association` returns them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    lab::{CLUSTER_NAME, NODE_NAME},
    pod::PodSpec,
};

/// Namespace and name.
type Key = (String, String);

pub const ROLES: &str = "arn:aws:iam::111122223333:role";

struct ListedPod {
    spec: Arc<PodSpec>,
    container_id: String,
    ip: String,
    created: Timestamp,
}

pub struct Cluster {
    dir: PathBuf,
    pods: BTreeMap<Key, ListedPod>,
    /// To the role of the annotation.
    service_accounts: BTreeMap<Key, (uuid::Uuid, Option<String>)>,
    /// To role and association id.
    associations: BTreeMap<Key, (String, String)>,
}

impl Cluster {
    pub fn new(dir: &Path) -> Result<Self> {
        let this = Self {
            dir: dir.to_owned(),
            pods: BTreeMap::new(),
            service_accounts: BTreeMap::new(),
            associations: BTreeMap::new(),
        };
        this.write_objects()?;
        this.write_associations()?;
        Ok(this)
    }

    pub fn objects_file(&self) -> PathBuf {
        self.dir.join("cluster.json")
    }

    pub fn associations_file(&self) -> PathBuf {
        self.dir.join("associations.json")
    }

    pub fn add_pod(&mut self, spec: Arc<PodSpec>, container_id: &str, ip: &str) -> Result<()> {
        let key = (spec.namespace.clone(), spec.service_account.clone());
        if !spec.service_account.is_empty() {
            self.service_accounts
                .entry(key)
                .or_insert_with(|| (uuid::Uuid::new_v4(), None));
        }
        let key = (spec.namespace.clone(), spec.name.clone());
        let pod = ListedPod {
            spec,
            container_id: container_id.into(),
            ip: ip.into(),
            created: Timestamp::now(),
        };
        self.pods.insert(key, pod);
        self.write_objects()
    }

    /// Pods whose containers have not started yet, in one go.
    pub fn add_pods(&mut self, specs: impl Iterator<Item = PodSpec>) -> Result<()> {
        for spec in specs {
            let key = (spec.namespace.clone(), spec.name.clone());
            let account = (spec.namespace.clone(), spec.service_account.clone());
            self.service_accounts
                .entry(account)
                .or_insert_with(|| (uuid::Uuid::new_v4(), None));
            let pod = ListedPod {
                spec: Arc::new(spec),
                container_id: String::new(),
                ip: "10.0.1.5".into(),
                created: Timestamp::now(),
            };
            self.pods.insert(key, pod);
        }
        self.write_objects()
    }

    pub fn remove_pod(&mut self, spec: &PodSpec) -> Result<()> {
        self.pods
            .remove(&(spec.namespace.clone(), spec.name.clone()));
        self.write_objects()
    }

    /// Sets the annotation `eks.amazonaws.com/role-arn`.
    pub fn annotate(&mut self, namespace: &str, service_account: &str, role: &str) -> Result<()> {
        let entry = self
            .service_accounts
            .entry((namespace.into(), service_account.into()))
            .or_insert_with(|| (uuid::Uuid::new_v4(), None));
        entry.1 = Some(role.into());
        self.write_objects()
    }

    pub fn associate(&mut self, namespace: &str, service_account: &str, role: &str) -> Result<()> {
        let id = format!("a-{}", &uuid::Uuid::new_v4().simple().to_string()[..17]);
        self.associations.insert(
            (namespace.into(), service_account.into()),
            (role.into(), id),
        );
        self.write_associations()
    }

    pub fn dissociate(&mut self, namespace: &str, service_account: &str) -> Result<()> {
        self.associations
            .remove(&(namespace.into(), service_account.into()));
        self.write_associations()
    }

    fn write_objects(&self) -> Result<()> {
        let pods = self.pods.values().map(pod_json);
        let accounts = self.service_accounts.iter().map(|((namespace, name), (uid, role))| {
            let mut metadata = json!({
                "creationTimestamp": "2026-01-05T08:00:00Z", "name": name, "namespace": namespace,
                "resourceVersion": "1021", "uid": uid,
            });
            if let Some(role) = role {
                metadata["annotations"] = json!({"eks.amazonaws.com/role-arn": role});
            }
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
        });
        let items: Vec<Value> = pods.chain(accounts).collect();
        let list = json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}});
        replace(&self.objects_file(), &list)
    }

    fn write_associations(&self) -> Result<()> {
        let arn =
            format!("arn:aws:eks:eu-west-1:111122223333:podidentityassociation/{CLUSTER_NAME}");
        let associations: Vec<Value> = self
            .associations
            .iter()
            .map(|((namespace, service_account), (role, id))| {
                json!({
                    "clusterName": CLUSTER_NAME, "namespace": namespace, "serviceAccount": service_account,
                    "roleArn": role, "associationArn": format!("{arn}/{id}"), "associationId": id, "tags": {},
                    "createdAt": "2026-01-05T09:00:00.123000+00:00", "modifiedAt": "2026-01-05T09:00:00.123000+00:00",
                    "disableSessionTags": false,
                })
            })
            .collect();
        replace(
            &self.associations_file(),
            &json!({"associations": associations}),
        )
    }
}

/// A reader sees the old file or the new one, never half of it.
fn replace(path: &Path, value: &Value) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, format!("{value:#}\n")).with_context(|| format!("write {}", new.display()))?;
    fs::rename(&new, path).with_context(|| format!("replace {}", path.display()))
}

fn pod_json(pod: &ListedPod) -> Value {
    let ListedPod {
        spec,
        container_id,
        ip,
        created,
    } = pod;
    let created = created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let env: Vec<Value> = spec
        .env
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let mut mounts: Vec<Value> = spec
        .tokens
        .iter()
        .map(|t| json!({"mountPath": t.mount_path, "name": t.volume, "readOnly": true}))
        .collect();
    mounts.extend(
        spec.files
            .iter()
            .map(|f| json!({"mountPath": format!("/etc/{}", f.name), "name": f.name})),
    );
    mounts.extend(
        spec.sub_paths
            .iter()
            .map(|s| json!({"mountPath": s.target, "name": s.volume, "subPath": s.file})),
    );
    mounts.extend(spec.host_paths.iter().enumerate().map(|(i, h)| {
        json!({"mountPath": h.target, "mountPropagation": "HostToContainer", "name": format!("host-{i}")})
    }));
    let (kind, owner) = &spec.owner;
    let mut metadata = json!({
        "annotations": {}, "creationTimestamp": created, "generateName": format!("{owner}-"),
        "labels": {"app": spec.service_account}, "name": spec.name, "namespace": spec.namespace,
        "ownerReferences": [{
            "apiVersion": if kind == "Node" { "v1" } else { "apps/v1" }, "blockOwnerDeletion": true,
            "controller": true, "kind": kind, "name": owner, "uid": uuid::Uuid::new_v4(),
        }],
        "resourceVersion": "4711", "uid": spec.uid,
    });
    if let Some(hash) = &spec.config_hash {
        metadata["annotations"] = json!({
            "kubernetes.io/config.hash": hash, "kubernetes.io/config.mirror": hash,
            "kubernetes.io/config.source": "file",
        });
    }
    let mut pod_spec = json!({
        "containers": [{
            "command": spec.argv, "env": env, "image": "registry.example.com/app:1.4.2", "imagePullPolicy": "IfNotPresent",
            "name": "main", "resources": {}, "volumeMounts": mounts,
        }],
        "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "nodeName": NODE_NAME, "restartPolicy": "Always",
        "schedulerName": "default-scheduler", "securityContext": {}, "volumes": volumes_json(spec),
    });
    for (field, set) in [
        ("hostPID", spec.host_pid),
        ("hostNetwork", spec.host_network),
    ] {
        if set {
            pod_spec[field] = true.into();
        }
    }
    if !spec.service_account.is_empty() {
        pod_spec["serviceAccount"] = spec.service_account.as_str().into();
        pod_spec["serviceAccountName"] = spec.service_account.as_str().into();
    }
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec,
        "status": {
            "containerStatuses": [{
                "containerID": if container_id.is_empty() { Value::Null } else { format!("containerd://{container_id}").into() },
                "image": "registry.example.com/app:1.4.2",
                "imageID": format!("registry.example.com/app@sha256:{}", "0f".repeat(32)), "lastState": {},
                "name": "main", "ready": true, "restartCount": 0, "started": true,
                "state": {"running": {"startedAt": created}},
            }],
            "hostIP": "10.0.1.5", "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "qosClass": format!("{:?}", spec.qos), "startTime": created,
        },
    })
}

fn volumes_json(spec: &PodSpec) -> Vec<Value> {
    let tokens = spec.tokens.iter().map(|t| {
        let mut projection = json!({"expirationSeconds": t.expiration_seconds, "path": t.file});
        let mut sources = Vec::new();
        match &t.audience {
            Some(audience) => projection["audience"] = audience.as_str().into(),
            None => sources = vec![
                json!({"configMap": {"items": [{"key": "ca.crt", "path": "ca.crt"}], "name": "kube-root-ca.crt"}}),
                json!({"downwardAPI": {"items": [{
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}, "path": "namespace",
                }]}}),
            ],
        }
        sources.insert(0, json!({"serviceAccountToken": projection}));
        json!({"name": t.volume, "projected": {"defaultMode": 420, "sources": sources}})
    });
    let files = spec.files.iter().map(|f| match f.plugin {
        crate::volume::Plugin::Secret => {
            json!({"name": f.name, "secret": {"defaultMode": 420, "secretName": f.name}})
        }
        crate::volume::Plugin::ConfigMap => {
            json!({"name": f.name, "configMap": {"defaultMode": 420, "name": f.name}})
        }
        crate::volume::Plugin::Projected => {
            json!({"name": f.name, "projected": {"defaultMode": 420, "sources": [
                {"configMap": {"name": f.name}}, {"secret": {"name": f.name}},
            ]}})
        }
    });
    let host_paths = spec.host_paths.iter().enumerate().map(|(i, h)| {
        json!({"hostPath": {"path": h.source, "type": "Directory"}, "name": format!("host-{i}")})
    });
    tokens.chain(files).chain(host_paths).collect()
}
