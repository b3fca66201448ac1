//! What no program does here: the scheduler binds pods to nodes, and kubelets say that they run. No container is ever started.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kubernetes::api::Api;

/// Nodes that an auditor belongs on. The second is for pods that tolerate all.
pub const LINUX: [&str; 3] = ["linux-1", "linux-2", "linux-3"];
/// Nodes that it cannot run on.
const OTHERS: [&str; 2] = ["fargate-1", "windows-1"];
const AUDITOR: &str = "credential-auditor";

/// Made before anything is installed.
pub fn make_nodes(api: &Api) -> Result<()> {
    for name in LINUX.into_iter().chain(OTHERS) {
        let os = if name.starts_with("windows") {
            "windows"
        } else {
            "linux"
        };
        let mut node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name,
            "labels": {"kubernetes.io/os": os, "kubernetes.io/hostname": name}}, "spec": {}});
        if name == LINUX[1] {
            node["spec"]["taints"] =
                json!([{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]);
        }
        if name.starts_with("fargate") {
            node["metadata"]["labels"]["eks.amazonaws.com/compute-type"] = "fargate".into();
        }
        api.create("/api/v1/nodes", &node)?;
    }
    Ok(())
}

/// What was seen since it was asked the last time.
#[derive(Clone, Default)]
pub struct Seen {
    /// Pods by UID, as they were last.
    pub pods: BTreeMap<String, Value>,
    /// Of [`LINUX`], the most that had no ready auditor at a time.
    pub most_without: usize,
    /// The last request that failed.
    pub trouble: Option<String>,
}

impl Seen {
    /// Those that were made in the meantime, and bound to a node.
    pub fn on_nodes<'a>(&'a self, made_of: &'a str) -> impl Iterator<Item = &'a Value> {
        self.pods.values().filter(move |pod| {
            pod["metadata"]["labels"]["app.kubernetes.io/name"] == made_of
                && pod["spec"]["nodeName"].is_string()
        })
    }
}

/// A thread that asks ten times a second.
pub struct Kubelet {
    seen: Arc<Mutex<Seen>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Kubelet {
    pub fn start(api: Api) -> Self {
        let (seen, end) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let (its_seen, its_end) = (seen.clone(), end.clone());
        let thread = thread::spawn(move || {
            while !its_end.load(Ordering::Relaxed) {
                let looked = look(&api, &its_seen);
                if let Err(error) = looked {
                    lock(&its_seen).trouble = Some(format!("{error:#}"));
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        Self {
            seen,
            end,
            thread: Some(thread),
        }
    }

    /// Begins anew.
    pub fn forget(&self) {
        drop(self.take());
    }

    pub fn take(&self) -> Seen {
        std::mem::take(&mut *lock(&self.seen))
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look(api: &Api, seen: &Mutex<Seen>) -> Result<()> {
    let listed = api.get("/api/v1/pods")?;
    let pods = listed["items"].as_array().context("no list")?;
    {
        let mut seen = lock(seen);
        seen.most_without = seen.most_without.max(without_auditor(pods));
        for pod in pods {
            let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
            seen.pods.insert(uid.to_owned(), pod.clone());
        }
    }
    for pod in pods {
        let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}",
            text("namespace"),
            text("name")
        );
        match next(pod) {
            Some(Act::End) => api.delete(&path)?,
            Some(Act::Bind(node)) => {
                let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": text("name")},
                    "target": {"apiVersion": "v1", "kind": "Node", "name": node}});
                api.create(&format!("{path}/binding"), &binding).map(drop)?;
            }
            Some(Act::Run) => {
                let status = running(pod);
                api.merge(&format!("{path}/status"), &json!({"status": status}))
                    .map(drop)?;
            }
            None => {}
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Act {
    End,
    Bind(String),
    Run,
}

fn next(pod: &Value) -> Option<Act> {
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return Some(Act::End);
    }
    if !pod["spec"]["nodeName"].is_string() {
        // A DaemonSet's controller says which; any does for others.
        let terms = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0";
        let field = pod.pointer(&format!("{terms}/matchFields/0/values/0"));
        let node = field.and_then(Value::as_str).unwrap_or(LINUX[0]);
        return Some(Act::Bind(node.to_owned()));
    }
    (!is_ready(pod)).then_some(Act::Run)
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn running(pod: &Value) -> Value {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let statuses: Vec<Value> = containers
        .map(|container| {
            json!({"name": container["name"], "image": container["image"], "imageID": "", "ready": true, "started": true,
                "restartCount": 0, "state": {"running": {"startedAt": now}}})
        })
        .collect();
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition);
    json!({"phase": "Running", "startTime": now, "containerStatuses": statuses, "conditions": conditions})
}

fn without_auditor(pods: &[Value]) -> usize {
    let has_one = |node: &&&str| {
        pods.iter().any(|pod| {
            pod["metadata"]["labels"]["app.kubernetes.io/name"] == AUDITOR
                && pod["spec"]["nodeName"] == ***node
                && !pod["metadata"]["deletionTimestamp"].is_string()
                && is_ready(pod)
        })
    };
    LINUX.len() - LINUX.iter().filter(has_one).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_bound_then_runs_then_ends() {
        let mut pod = json!({"metadata": {"labels": {"app.kubernetes.io/name": AUDITOR}}, "spec": {"containers": [{"name": "a"}]}});
        assert_eq!(next(&pod), Some(Act::Bind("linux-1".into())));
        pod["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["linux-2"]}]}]}}});
        assert_eq!(next(&pod), Some(Act::Bind("linux-2".into())));
        pod["spec"]["nodeName"] = "linux-2".into();
        assert_eq!(next(&pod), Some(Act::Run));
        assert_eq!(without_auditor(&[pod.clone()]), 3);
        pod["status"] = running(&pod);
        assert_eq!(next(&pod), None);
        assert_eq!(without_auditor(&[pod.clone()]), 2);
        pod["metadata"]["deletionTimestamp"] = "2026-01-05T08:00:00Z".into();
        assert_eq!(next(&pod), Some(Act::End));
        assert_eq!(without_auditor(&[pod]), 3);
    }
}
