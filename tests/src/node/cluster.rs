//! What the control plane says: the cluster file as `kubectl get pods,serviceaccounts -A -o json` prints it, and the
//! associations file with objects as `aws eks describe-pod-identity-association` returns them; and the same to an API server,
//! where one is there.

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
use crate::service::apiserver::{Resource, Store, clothe};

/// Namespace and name.
type Key = (String, String);

pub const ROLES: &str = "arn:aws:iam::111122223333:role";

/// With its JSON: the files are written anew at each change, which is to cost little where the processor is emulated.
struct Written<T> {
    value: T,
    json: String,
}

impl<T> Written<T> {
    fn new(value: T, json: &Value) -> Self {
        let json = json.to_string();
        Self { value, json }
    }
}

struct Account {
    uid: uuid::Uuid,
    /// Of the annotation.
    role: Option<String>,
}

pub struct Cluster {
    dir: PathBuf,
    pods: BTreeMap<Key, Written<ListedPod>>,
    /// Pods as somebody else describes them.
    objects: BTreeMap<Key, Written<()>>,
    service_accounts: BTreeMap<Key, Written<Account>>,
    associations: BTreeMap<Key, Written<()>>,
    /// An API server's.
    store: Option<Arc<Store>>,
    /// `--cluster` and `--associations`, where they are not these files.
    pub cluster_source: Option<String>,
    pub associations_source: Option<String>,
}

impl Cluster {
    pub fn new(dir: &Path) -> Result<Self> {
        let this = Self {
            dir: dir.to_owned(),
            pods: BTreeMap::new(),
            objects: BTreeMap::new(),
            service_accounts: BTreeMap::new(),
            associations: BTreeMap::new(),
            store: None,
            cluster_source: None,
            associations_source: None,
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

    /// Tells an API server of all that is and will be there. An auditor that is started from now on asks it.
    pub fn publish_to(&mut self, store: Arc<Store>) {
        for pod in self.pods.values() {
            publish_pod(&store, &pod.value);
        }
        for (key, account) in &self.service_accounts {
            store.put(Resource::ServiceAccounts, account_json(key, &account.value));
        }
        self.store = Some(store);
        self.cluster_source = Some("kube".to_owned());
    }

    /// Values of `--cluster` and `--associations`.
    pub fn sources(&self) -> [String; 2] {
        let file = |path: PathBuf| format!("file:{}", path.display());
        [
            self.cluster_source
                .clone()
                .unwrap_or_else(|| file(self.objects_file())),
            self.associations_source
                .clone()
                .unwrap_or_else(|| file(self.associations_file())),
        ]
    }

    pub fn add_pod(&mut self, spec: Arc<PodSpec>, container_id: &str, ip: &str) -> Result<()> {
        let key = (spec.namespace.clone(), spec.service_account.clone());
        if !spec.service_account.is_empty() && !self.service_accounts.contains_key(&key) {
            self.set_account(key, None);
        }
        let key = (spec.namespace.clone(), spec.name.clone());
        let pod = ListedPod {
            spec,
            container_id: container_id.into(),
            ip: ip.into(),
            created: Timestamp::now(),
        };
        self.list_pod(key, pod);
        self.write_objects()
    }

    /// Pods whose containers have not started yet, in one go.
    pub fn add_pods(&mut self, specs: impl Iterator<Item = PodSpec>) -> Result<()> {
        for spec in specs {
            let key = (spec.namespace.clone(), spec.name.clone());
            let account = (spec.namespace.clone(), spec.service_account.clone());
            if !self.service_accounts.contains_key(&account) {
                self.set_account(account, None);
            }
            let pod = ListedPod {
                spec: Arc::new(spec),
                container_id: String::new(),
                ip: "10.0.1.5".into(),
                created: Timestamp::now(),
            };
            self.list_pod(key, pod);
        }
        self.write_objects()
    }

    fn list_pod(&mut self, key: Key, pod: ListedPod) {
        if let Some(store) = &self.store {
            publish_pod(store, &pod);
        }
        let json = pod_json(&pod);
        self.pods.insert(key, Written::new(pod, &json));
    }

    /// A pod's object, in place of an earlier one of its name.
    pub fn put(&mut self, pod: Value) -> Result<()> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let namespace = text(&pod["metadata"]["namespace"]);
        let account = text(&pod["spec"]["serviceAccountName"]);
        let account = (namespace.clone(), account);
        if !self.service_accounts.contains_key(&account) {
            self.set_account(account, None);
        }
        let key = (namespace, text(&pod["metadata"]["name"]));
        self.objects.insert(key, Written::new((), &pod));
        self.write_objects()
    }

    pub fn remove_pod(&mut self, spec: &PodSpec) -> Result<()> {
        let key = (spec.namespace.clone(), spec.name.clone());
        self.objects.remove(&key);
        let gone = self.pods.remove(&key);
        if let (Some(store), Some(pod)) = (&self.store, gone) {
            unpublish_pod(store, &pod.value);
        }
        self.write_objects()
    }

    /// Sets the annotation `eks.amazonaws.com/role-arn`.
    pub fn annotate(&mut self, namespace: &str, service_account: &str, role: &str) -> Result<()> {
        let key = (namespace.to_owned(), service_account.to_owned());
        self.set_account(key, Some(role.to_owned()));
        self.write_objects()
    }

    fn set_account(&mut self, key: Key, role: Option<String>) {
        let known = self.service_accounts.get(&key);
        let uid = known.map_or_else(uuid::Uuid::new_v4, |account| account.value.uid);
        let account = Account { uid, role };
        let json = account_json(&key, &account);
        let written = Written::new(account, &json);
        if let Some(store) = &self.store {
            store.put(Resource::ServiceAccounts, json);
        }
        self.service_accounts.insert(key, written);
    }

    pub fn associate(&mut self, namespace: &str, service_account: &str, role: &str) -> Result<()> {
        let id = format!("a-{}", &uuid::Uuid::new_v4().simple().to_string()[..17]);
        let arn =
            format!("arn:aws:eks:eu-west-1:111122223333:podidentityassociation/{CLUSTER_NAME}");
        let json = json!({
            "clusterName": CLUSTER_NAME, "namespace": namespace, "serviceAccount": service_account,
            "roleArn": role, "associationArn": format!("{arn}/{id}"), "associationId": id, "tags": {},
            "createdAt": "2026-01-05T09:00:00.123000+00:00", "modifiedAt": "2026-01-05T09:00:00.123000+00:00",
            "disableSessionTags": false,
        });
        let key = (namespace.into(), service_account.into());
        self.associations.insert(key, Written::new((), &json));
        self.write_associations()
    }

    pub fn dissociate(&mut self, namespace: &str, service_account: &str) -> Result<()> {
        self.associations
            .remove(&(namespace.into(), service_account.into()));
        self.write_associations()
    }

    fn write_objects(&self) -> Result<()> {
        let pods = self.pods.values().map(|pod| &pod.json);
        let objects = self.objects.values().map(|object| &object.json);
        let accounts = self.service_accounts.values().map(|account| &account.json);
        let before = r#"{"apiVersion":"v1","items":["#;
        let after = r#"],"kind":"List","metadata":{"resourceVersion":""}}"#;
        let items = pods.chain(objects).chain(accounts);
        replace(&self.objects_file(), before, items, after)
    }

    fn write_associations(&self) -> Result<()> {
        let items = self.associations.values().map(|item| &item.json);
        let file = self.associations_file();
        replace(&file, r#"{"associations":["#, items, "]}")
    }
}

fn account_json((namespace, name): &Key, Account { uid, role }: &Account) -> Value {
    let mut metadata = json!({
        "creationTimestamp": "2026-01-05T08:00:00Z", "name": name, "namespace": namespace, "resourceVersion": "1021",
        "uid": uid,
    });
    if let Some(role) = role {
        metadata["annotations"] = json!({"eks.amazonaws.com/role-arn": role});
    }
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
}

/// First as the scheduler leaves it, then as the kubelet tells of it.
fn publish_pod(store: &Store, pod: &ListedPod) {
    let mut whole = pod_json(pod);
    clothe(&mut whole);
    let mut scheduled = whole.clone();
    scheduled["status"] = json!({"phase": "Pending", "qosClass": whole["status"]["qosClass"]});
    store.put(Resource::Pods, scheduled);
    store.put(Resource::Pods, whole);
}

/// First it is to be deleted, then its containers have ended, then it is gone.
fn unpublish_pod(store: &Store, pod: &ListedPod) {
    let mut last = pod_json(pod);
    clothe(&mut last);
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    last["metadata"]["deletionTimestamp"] = now.clone().into();
    last["metadata"]["deletionGracePeriodSeconds"] = 30.into();
    store.put(Resource::Pods, last.clone());
    last["status"]["phase"] = "Succeeded".into();
    let status = &mut last["status"]["containerStatuses"][0];
    let id = status["containerID"].clone();
    status["ready"] = false.into();
    status["state"] = json!({"terminated": {
        "containerID": id, "exitCode": 0, "finishedAt": now, "reason": "Completed", "startedAt": now,
    }});
    store.put(Resource::Pods, last);
    let spec = &pod.spec;
    store.delete(&(Resource::Pods, spec.namespace.clone(), spec.name.clone()));
}

/// An item a line. A reader sees the old file or the new one, never half of it.
fn replace<'a>(
    path: &Path,
    before: &str,
    items: impl Iterator<Item = &'a String>,
    after: &str,
) -> Result<()> {
    let mut text = before.to_owned();
    for (index, item) in items.enumerate() {
        text.push_str(if index == 0 { "\n" } else { ",\n" });
        text.push_str(item);
    }
    text.push_str(after);
    text.push('\n');
    let new = path.with_extension("new");
    fs::write(&new, text).with_context(|| format!("write {}", new.display()))?;
    fs::rename(&new, path).with_context(|| format!("replace {}", path.display()))
}
