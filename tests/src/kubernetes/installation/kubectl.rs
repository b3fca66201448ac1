//! With kubectl, as docs/install.md has it: installed, upgraded, taken back, and removed; then once more with an overlay.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Deserializer, Value};

use super::{
    Round,
    cluster::{Cluster, has_token},
    objects::{Changes, Snapshot, applied_name, ensure_kept},
    rights,
};
use crate::kubernetes::syncer::Syncer;

pub const REPOSITORY: &str = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/credential-auditor";
const CLUSTER: &str = "manifests/kustomize/cluster";
/// The overlay of docs/install.md.
const MINE: &str = "manifests/kustomize/mine";
const COMPONENTS: &str = "components: [../components/prometheus-operator]";

pub const DAEMON_SET: &str = "daemonsets.apps credential-auditor/credential-auditor";
pub const DEPLOYMENT: &str = "deployments.apps credential-auditor/credential-auditor-sync";
pub const POLICY: &str = "configmaps credential-auditor/credential-auditor-policy";
pub const OPERATORS: [&str; 2] = [
    "podmonitors.monitoring.coreos.com credential-auditor/credential-auditor",
    "prometheusrules.monitoring.coreos.com credential-auditor/credential-auditor",
];
/// What the syncer writes, and only it.
pub const SYNCED: [&str; 2] = [
    "configmaps credential-auditor/pod-identity-associations",
    "leases.coordination.k8s.io credential-auditor/pod-identity-associations",
];
/// What controllers put into each namespace.
const OF_NAMESPACES: [&str; 2] = [
    "configmaps credential-auditor/kube-root-ca.crt",
    "serviceaccounts credential-auditor/default",
];

fn image(tag: &str) -> String {
    format!("{REPOSITORY}:{tag}")
}

/// The commands as they stand, on a cluster that has nothing of ours.
pub fn plain(round: &mut Round, cluster: &Cluster, auditor: &Path) -> Result<()> {
    let before = cluster.settled()?;
    round.step(
        "kubectl-install",
        "each object is made as it was rendered, and nothing else",
        || {
            cluster.kubelet.forget();
            cluster.type_in(
                &cluster
                    .place
                    .documented("With kubectl", "sh", "cluster.env")?,
            )?;
            let after = cluster.settled()?;
            let rendered = rendered(cluster, CLUSTER)?;
            let mut names = Vec::new();
            for object in &rendered {
                let name = applied_name(object)?;
                ensure_kept(&unlisted(object), after.get(&name)?, &name)?;
                names.push(name);
            }
            let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
            names.extend(OF_NAMESPACES);
            Changes::between(&before, &after)
                .applied()
                .ensure(&names, &[], &[])
        },
    )?;
    round.step(
        "kubectl-again",
        "applied once more, nothing changes",
        || {
            let now = cluster.settled()?;
            let said = cluster.type_in(&format!("kubectl apply -k {CLUSTER}"))?;
            let other = said.lines().find(|line| !line.ends_with(" unchanged"));
            ensure!(other.is_none(), "kubectl says {other:?}");
            cluster.changes_since(&now)?.ensure_none()
        },
    )?;
    round.step(
        "kubectl-rollout",
        "a pod on each Linux node but Fargate's, admitted with its account's token",
        || check_rollout(cluster, &image("0.1.0")),
    )?;
    round.step(
        "kubectl-rules",
        "the server knows no rule for the two ServiceAccounts but those of manifests/rbac",
        || rights::check_rules(cluster, false),
    )?;
    round.step("kubectl-syncer", "auditor sync-associations, as its ServiceAccount, writes its ConfigMap and its Lease alone", || {
        check_syncer(cluster, auditor)
    })?;
    round.step(
        "kubectl-requests",
        "with their tokens: what they do is permitted, what they need not is refused",
        || rights::check_requests(cluster).map(|count| println!("     {count} requests")),
    )?;
    let first = cluster.settled()?;
    round.step(
        "kubectl-upgrade",
        "another image: DaemonSet and Deployment change, nothing is made anew, one node at a time",
        || {
            cluster.kubelet.forget();
            cluster.type_in(&cluster.place.documented("Upgrade", "sh", "sed -i")?)?;
            cluster
                .changes_since(&first)?
                .applied()
                .ensure(&[], &[DAEMON_SET, DEPLOYMENT], &[])?;
            check_upgraded(cluster, &image("0.2.0"))
        },
    )?;
    round.step(
        "kubectl-back",
        "the old image again: all objects are as they were",
        || {
            cluster.type_in(&format!(
                "sed -i 's|:0.2.0|:0.1.0|' {CLUSTER}/cluster.env && kubectl apply -k {CLUSTER}"
            ))?;
            cluster.changes_since(&first)?.applied().ensure_none()
        },
    )?;
    round.step(
        "kubectl-remove",
        "cleanup on each node, admitted with no token; then nothing of ours is left",
        || {
            let script = cluster
                .place
                .documented("Remove", "sh", "kustomize/cleanup")?;
            check_removed(cluster, &before, &script, &image("0.1.0"))
        },
    )
}

/// With the documents' overlay, and with ACK.
pub fn overlay(round: &mut Round, cluster: &Cluster) -> Result<()> {
    let before = cluster.settled()?;
    let yaml = cluster
        .place
        .documented("With kubectl", "yaml", "../cluster")?;
    let install = cluster
        .place
        .documented("With kubectl", "sh", "cluster.env")?;
    cluster.type_in(&install)?;
    let plain = cluster.settled()?;
    round.step(
        "kubectl-overlay",
        "alerts and a policy of one's own: two objects more, one other; no pod restarts for it",
        || {
            let policy =
                std::fs::read_to_string(cluster.place.path("manifests/policy/default.yaml"))?;
            cluster.place.write(
                &format!("{MINE}/policy.yaml"),
                &format!("{policy}\n# Ours.\n"),
            )?;
            cluster
                .place
                .write(&format!("{MINE}/kustomization.yaml"), &yaml)?;
            cluster.type_in(&format!("kubectl apply -k {MINE}"))?;
            cluster
                .changes_since(&plain)?
                .applied()
                .ensure(&OPERATORS, &[POLICY], &[])
        },
    )?;
    let alerting = cluster.settled()?;
    round.step(
        "kubectl-ack",
        "the ACK component: its ClusterRole, bound to the syncer alone, and another source",
        || {
            ensure!(
                yaml.contains(COMPONENTS),
                "the overlay has no `{COMPONENTS}`"
            );
            let yaml = yaml.replace(
                COMPONENTS,
                "components: [../components/prometheus-operator, ../components/ack]",
            );
            cluster
                .place
                .write(&format!("{MINE}/kustomization.yaml"), &yaml)?;
            cluster.type_in(&format!("kubectl apply -k {MINE}"))?;
            let created = [
                "clusterrolebindings.rbac.authorization.k8s.io credential-auditor-ack",
                "clusterroles.rbac.authorization.k8s.io credential-auditor-ack",
            ];
            let changed = [
                DEPLOYMENT,
                "networkpolicies.networking.k8s.io credential-auditor/credential-auditor-sync",
            ];
            cluster
                .changes_since(&alerting)?
                .applied()
                .ensure(&created, &changed, &[])?;
            rights::check_rules(cluster, true)
        },
    )?;
    round.step(
        "kubectl-remove-overlay",
        "the overlay removed as it was applied: nothing of ours is left",
        || {
            let script = cluster
                .place
                .documented("Remove", "sh", "kustomize/cleanup")?;
            let deleted = format!("kubectl delete -k {CLUSTER}");
            ensure!(script.contains(&deleted), "it has no `{deleted}`");
            let script = script.replace(&deleted, &format!("kubectl delete -k {MINE}"));
            check_removed(cluster, &before, &script, &image("0.1.0"))
        },
    )
}

/// The objects that `kubectl apply -k` is given.
fn rendered(cluster: &Cluster, directory: &str) -> Result<Vec<Value>> {
    let text = cluster.type_in(&format!(
        "kubectl create --dry-run=client --output=json -k {directory}"
    ))?;
    let mut objects = Vec::new();
    for object in Deserializer::from_str(&text).into_iter::<Value>() {
        let mut object = object.context("kubectl writes no JSON")?;
        match object["items"].take() {
            Value::Array(items) => objects.extend(items),
            _ => objects.push(object),
        }
    }
    ensure!(
        objects.len() > 10,
        "only {} objects are applied",
        objects.len()
    );
    for object in &mut objects {
        if let Some(object) = object.as_object_mut() {
            object.remove("status");
            object.remove("items");
        }
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("creationTimestamp");
        }
    }
    Ok(objects)
}

/// As it stands in a list, whose items are all of one kind.
fn unlisted(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    object
}

/// Of a first installation.
pub fn check_rollout(cluster: &Cluster, image: &str) -> Result<()> {
    for workload in [
        "daemonset/credential-auditor",
        "deployment/credential-auditor-sync",
    ] {
        cluster.type_in(&format!(
            "kubectl -n credential-auditor rollout status {workload} --timeout 2m"
        ))?;
    }
    let seen = cluster.kubelet.take();
    cluster.ensure_on_each_node(&seen, "credential-auditor", image)?;
    let syncers = seen.on_nodes("credential-auditor-sync").count();
    ensure!(syncers == 2, "there are {syncers} syncers");
    let mut pods = seen
        .on_nodes("credential-auditor")
        .chain(seen.on_nodes("credential-auditor-sync"));
    ensure!(pods.all(has_token), "a pod has no token of its account");
    Ok(())
}

/// After `rollout status` has ended: all nodes have the new image, and one node at a time was without an auditor.
pub fn check_upgraded(cluster: &Cluster, image: &str) -> Result<()> {
    let seen = cluster.kubelet.take();
    cluster.ensure_on_each_node(&seen, "credential-auditor", image)?;
    ensure!(
        seen.most_without == 1,
        "{} nodes were without an auditor at a time",
        seen.most_without
    );
    Ok(())
}

pub fn check_syncer(cluster: &Cluster, auditor: &Path) -> Result<()> {
    let before = cluster.settled()?;
    let syncer: Syncer = cluster.syncer(auditor)?;
    drop(syncer);
    cluster
        .changes_since(&before)?
        .applied()
        .ensure(&SYNCED, &[], &[])
}

/// Types what removes all; `before`: what was there before anything was installed.
pub fn check_removed(
    cluster: &Cluster,
    before: &Snapshot,
    script: &str,
    image: &str,
) -> Result<()> {
    cluster.kubelet.forget();
    cluster.type_in(script)?;
    let after = cluster.settled()?;
    let mut seen = cluster.kubelet.take();
    seen.pods
        .retain(|_, pod| pod["spec"]["containers"][0]["name"] == "stay");
    cluster.ensure_on_each_node(&seen, "default", image)?;
    ensure!(
        !seen.pods.values().any(has_token),
        "a cleanup pod has a token"
    );
    Changes::between(before, &after).ensure_none()
}
