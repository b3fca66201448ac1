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
    lab::CLUSTER_NAME,
    manifest::{ListedPod, pod_json},
    pod::PodSpec,
};

/// Namespace and name.
type Key = (String, String);

pub const ROLES: &str = "arn:aws:iam::111122223333:role";

pub struct Cluster {
    dir: PathBuf,
    pods: BTreeMap<Key, ListedPod>,
    /// Pods as somebody else describes them.
    objects: BTreeMap<Key, Value>,
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
            objects: BTreeMap::new(),
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

    /// A pod's object, in place of an earlier one of its name.
    pub fn put(&mut self, pod: Value) -> Result<()> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let namespace = text(&pod["metadata"]["namespace"]);
        let account = text(&pod["spec"]["serviceAccountName"]);
        self.service_accounts
            .entry((namespace.clone(), account))
            .or_insert_with(|| (uuid::Uuid::new_v4(), None));
        self.objects
            .insert((namespace, text(&pod["metadata"]["name"])), pod);
        self.write_objects()
    }

    pub fn remove_pod(&mut self, spec: &PodSpec) -> Result<()> {
        let key = (spec.namespace.clone(), spec.name.clone());
        self.pods.remove(&key);
        self.objects.remove(&key);
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
        let pods = pods.chain(self.objects.values().cloned());
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
