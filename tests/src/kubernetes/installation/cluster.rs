//! A control plane with nodes that are objects only, and the place where an admin types.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{
    Options,
    kubelet::{self, Kubelet, LINUX, Seen},
    objects::{Changes, Snapshot},
    place::Place,
};
use crate::{
    kubernetes::{
        api::Api,
        rbac::NAMESPACE,
        server::{Door, Server},
        syncer::Syncer,
    },
    node::Lab,
    patience,
};

/// As every newer server has it: pods are given tokens that are made for them.
const FLAGS: &[&str] = &["--feature-gates=BoundServiceAccountTokenVolume=true"];
/// Those that do something to what is applied here. Not the one that evicts pods of nodes that nobody hears of.
const CONTROLLERS: [&str; 9] = [
    "daemonset",
    "deployment",
    "replicaset",
    "disruption",
    "endpoint",
    "garbagecollector",
    "namespace",
    "root-ca-cert-publisher",
    "serviceaccount",
];

pub struct Cluster {
    // Dropped in this order: the lab takes down what is left.
    pub kubelet: Kubelet,
    server: Server,
    pub lab: Lab,
    pub place: Place,
}

impl Cluster {
    /// Gives also what is left out, since the server is too old for it.
    pub fn start(options: &Options) -> Result<(Self, Vec<&'static str>)> {
        let lab = Lab::new(&options.helpers)?;
        let mut server = Server::start(&lab, options.programs.clone(), FLAGS)?;
        server.start_controllers(&lab, &CONTROLLERS)?;
        let api = server.api(Door::Front);
        let kubeconfig = server.kubeconfig(&api, "admin")?;
        let root = lab.dir().join("place");
        let (place, left_out) = Place::make(&root, &options.workspace, &options.venv, &kubeconfig)?;
        kubelet::make_nodes(&api)?;
        for (kind, plural) in [
            ("PodMonitor", "podmonitors"),
            ("PrometheusRule", "prometheusrules"),
        ] {
            register(&api, kind, plural)?;
        }
        let this = Self {
            kubelet: Kubelet::start(api),
            server,
            lab,
            place,
        };
        this.wait(
            "the controllers give each namespace its ServiceAccount",
            || {
                let account = "/api/v1/namespaces/kube-system/serviceaccounts/default";
                let crd = "/apis/monitoring.coreos.com/v1/podmonitors";
                Ok(this.api().get(account).is_ok() && this.api().get(crd).is_ok())
            },
        )?;
        Ok((this, left_out))
    }

    pub fn api(&self) -> Api {
        self.server.api(Door::Front)
    }

    /// As a ServiceAccount of the installation's namespace.
    pub fn as_account(&self, name: &str) -> Result<Api> {
        self.server.api_of(NAMESPACE, name)
    }

    pub fn syncer(&self, auditor: &Path) -> Result<Syncer> {
        Syncer::start(&self.lab, &self.server, auditor)
    }

    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::take(&self.api())
    }

    /// What has become of it meanwhile, when the controllers have done their part.
    pub fn changes_since(&self, before: &Snapshot) -> Result<Changes> {
        Ok(Changes::between(before, &self.settled()?))
    }

    /// A snapshot that is the same half a second later.
    pub fn settled(&self) -> Result<Snapshot> {
        let mut last = self.snapshot()?;
        for _ in 0..60 {
            thread::sleep(Duration::from_millis(500));
            let now = self.snapshot()?;
            if Changes::between(&last, &now) == Changes::default() {
                return Ok(now);
            }
            last = now;
        }
        bail!("objects change without end")
    }

    pub fn wait(&self, what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60) * patience();
        while !is_so()? {
            ensure!(
                Instant::now() < deadline,
                "not in time: {what}\n{}",
                self.events()
            );
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// What controllers could not do, in the installation's namespace.
    pub fn events(&self) -> String {
        let listed = self
            .api()
            .get(&format!("/api/v1/namespaces/{NAMESPACE}/events"));
        let listed = listed.unwrap_or_default();
        let events = listed["items"].as_array().into_iter().flatten();
        let warnings = events.filter(|event| event["type"] == "Warning");
        let mut told: Vec<String> = warnings
            .map(|event| format!("{}: {}", event["reason"], event["message"]))
            .collect();
        told.sort();
        told.dedup();
        told.join("\n")
    }

    /// As the documents have it, but for a limit: where it does not come to an end, the controllers' complaints are the error.
    pub fn type_in(&self, script: &str) -> Result<String> {
        self.place
            .type_in(script)
            .with_context(|| format!("what the controllers say:\n{}", self.events()))
    }

    /// That each node which may have one has one pod, and no other node any; by what was seen since the last time.
    pub fn ensure_on_each_node(&self, seen: &Seen, account: &str, image: &str) -> Result<()> {
        if let Some(trouble) = &seen.trouble {
            bail!("the kubelets' part failed: {trouble}");
        }
        let pods: Vec<&Value> = seen.on_nodes("credential-auditor").collect();
        let fresh: Vec<&&Value> = pods
            .iter()
            .filter(|pod| pod["spec"]["containers"][0]["image"] == image)
            .collect();
        let mut nodes: Vec<&str> = fresh
            .iter()
            .filter_map(|pod| pod["spec"]["nodeName"].as_str())
            .collect();
        nodes.sort_unstable();
        ensure!(
            nodes == LINUX,
            "pods of {image} were on {nodes:?}, and not once on each of {LINUX:?}\n{}",
            self.events()
        );
        for pod in fresh {
            let spec = &pod["spec"];
            ensure!(
                spec["serviceAccountName"] == account && spec["priority"] == 2_000_001_000,
                "the pod is not {account}'s, or not of the node's own priority: {spec}"
            );
        }
        Ok(())
    }
}

/// Whether the API server gave the pod a token of its account.
pub fn has_token(pod: &Value) -> bool {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let sources = volumes.filter_map(|volume| volume["projected"]["sources"].as_array());
    sources
        .flatten()
        .any(|source| source["serviceAccountToken"].is_object())
}

/// A kind of the Prometheus Operator, with no schema.
fn register(api: &Api, kind: &str, plural: &str) -> Result<()> {
    let group = "monitoring.coreos.com";
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]}});
    api.create(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        &definition,
    )
    .map(drop)
}
