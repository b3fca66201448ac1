//! The control plane's and the kubelet's part with a real API server: namespaces, ServiceAccounts, pods and their statuses.

use std::{collections::BTreeSet, thread, time::Duration};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    api::Api,
    rbac::NAMESPACE,
    server::{Door, Programs, Server},
};
use crate::node::{Lab, Pod, PodSpec, pod_object};

/// There is no controller that makes ServiceAccounts, and the lab stamps what the webhook would.
const FLAGS: &[&str] = &["--disable-admission-plugins=ServiceAccount"];

/// The lab's node and the API server that knows its pods.
pub struct Control {
    // Dropped in this order: the lab takes down what is left.
    pub server: Server,
    pub lab: Lab,
    namespaces: BTreeSet<String>,
    accounts: BTreeSet<(String, String)>,
}

impl Control {
    pub fn new(lab: Lab, programs: Programs) -> Result<Self> {
        let server = Server::start(&lab, programs, FLAGS)?;
        let mut this = Self {
            server,
            lab,
            namespaces: BTreeSet::new(),
            accounts: BTreeSet::new(),
        };
        this.ensure_namespace(&this.api(), NAMESPACE)?;
        super::rbac::apply(&this.api())?;
        Ok(this)
    }

    pub fn api(&self) -> Api {
        self.server.api(Door::Front)
    }

    /// Writes a kubeconfig for a ServiceAccount of [`NAMESPACE`], with a token from the API server.
    pub fn kubeconfig(&self, service_account: &str) -> Result<std::path::PathBuf> {
        let api = self.server.api_of(NAMESPACE, service_account)?;
        self.server.kubeconfig(&api, service_account)
    }

    fn ensure_namespace(&mut self, api: &Api, name: &str) -> Result<()> {
        if self.namespaces.insert(name.to_owned()) {
            let object =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            api.create("/api/v1/namespaces", &object)?;
        }
        Ok(())
    }

    /// Makes a ServiceAccount, or annotates one that there is.
    pub fn service_account(
        &mut self,
        namespace: &str,
        name: &str,
        role: Option<&str>,
    ) -> Result<()> {
        let api = self.api();
        self.service_account_by(&api, namespace, name, role)
    }

    fn service_account_by(
        &mut self,
        api: &Api,
        namespace: &str,
        name: &str,
        role: Option<&str>,
    ) -> Result<()> {
        self.ensure_namespace(api, namespace)?;
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        let annotations = json!({"eks.amazonaws.com/role-arn": role});
        if self.accounts.insert((namespace.into(), name.into())) {
            let mut object = json!({"apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": name}});
            if role.is_some() {
                object["metadata"]["annotations"] = annotations;
            }
            api.create(&path, &object).map(drop)
        } else if role.is_some() {
            let patch = json!({"metadata": {"annotations": annotations}});
            api.merge(&format!("{path}/{name}"), &patch).map(drop)
        } else {
            Ok(())
        }
    }

    /// Creates the pod's object, starts it on the node, and reports its status.
    pub fn start(&mut self, spec: PodSpec) -> Result<Pod> {
        let pod = self.start_unreported(spec)?;
        self.report(&pod)?;
        // A watch brings it within milliseconds; lines name the container only after that.
        thread::sleep(Duration::from_millis(500));
        Ok(pod)
    }

    /// Without its status: no container id, no address.
    pub fn start_unreported(&mut self, spec: PodSpec) -> Result<Pod> {
        let spec = self.create(&self.api(), spec)?;
        self.lab.start_unlisted(spec)
    }

    /// The pod's object; the API server gives it its UID.
    pub fn create(&mut self, api: &Api, mut spec: PodSpec) -> Result<PodSpec> {
        let (namespace, account) = (spec.namespace.clone(), spec.service_account.clone());
        self.service_account_by(api, &namespace, &account, None)?;
        let mut object = pod_object(&spec.clone().into(), "", Timestamp::now());
        let metadata = object["metadata"].as_object_mut().context("no metadata")?;
        for field in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generateName",
        ] {
            metadata.remove(field);
        }
        object["status"] = json!({});
        let created = api.create(&format!("/api/v1/namespaces/{namespace}/pods"), &object)?;
        let uid = created["metadata"]["uid"].as_str().context("no uid")?;
        uid.clone_into(&mut spec.uid);
        Ok(spec)
    }

    /// The kubelet reports the pod's status.
    pub fn report(&mut self, pod: &Pod) -> Result<()> {
        let ip = self.lab.ip_of(pod)?;
        let mut status = pod_object(&pod.spec, &ip, Timestamp::now())["status"].take();
        status["containerStatuses"][0]["containerID"] =
            format!("containerd://{}", pod.container_id).into();
        self.report_status(pod, &status)
    }

    fn report_status(&self, pod: &Pod, status: &Value) -> Result<()> {
        let path = format!("{}/status", path_of(pod));
        self.api()
            .merge(&path, &json!({"status": status}))
            .map(drop)
    }

    /// The object only: its processes live on.
    pub fn delete_object(&self, pod: &Pod) -> Result<()> {
        self.api().delete(&path_of(pod))
    }
}

fn path_of(pod: &Pod) -> String {
    format!(
        "/api/v1/namespaces/{}/pods/{}",
        pod.spec.namespace, pod.spec.name
    )
}
