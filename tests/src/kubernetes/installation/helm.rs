//! With Helm, as docs/install.md has it: in a namespace of its own, and in one that others have objects in.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{
    Round,
    cluster::Cluster,
    kubectl::{
        DAEMON_SET, DEPLOYMENT, OPERATORS, POLICY, REPOSITORY, check_removed, check_rollout,
        check_syncer, check_upgraded,
    },
    rights,
};
use crate::kubernetes::rbac::NAMESPACE;

const RBAC: &str = "rbac.authorization.k8s.io";

/// What the chart makes with its defaults, where the Prometheus Operator is.
fn made() -> Vec<String> {
    let ours = "credential-auditor";
    let names = [
        ("serviceaccounts", ours),
        ("serviceaccounts", "credential-auditor-sync"),
        ("configmaps", "credential-auditor-policy"),
        ("configmaps", "credential-auditor-dashboard"),
        ("daemonsets.apps", ours),
        ("deployments.apps", "credential-auditor-sync"),
        ("poddisruptionbudgets.policy", "credential-auditor-sync"),
        ("networkpolicies.networking.k8s.io", ours),
        (
            "networkpolicies.networking.k8s.io",
            "credential-auditor-sync",
        ),
        ("secrets", "sh.helm.release.v1.credential-auditor.v1"),
    ];
    let mut made: Vec<String> = names
        .into_iter()
        .map(|(resource, name)| format!("{resource} {NAMESPACE}/{name}"))
        .collect();
    for name in ["credential-auditor-associations", "credential-auditor-sync"] {
        for resource in ["roles", "rolebindings"] {
            made.push(format!("{resource}.{RBAC} {NAMESPACE}/{name}"));
        }
    }
    for resource in ["clusterroles", "clusterrolebindings"] {
        made.push(format!("{resource}.{RBAC} {ours}"));
    }
    made.extend(OPERATORS.map(str::to_owned));
    made
}

/// The commands as they stand, on a cluster that has nothing of ours.
pub fn plain(round: &mut Round, cluster: &Cluster) -> Result<()> {
    let before = cluster.settled()?;
    let install = cluster
        .place
        .documented("With Helm", "sh", "helm install")?;
    let remove = cluster.place.documented("Remove", "sh", "helm uninstall")?;
    round.step(
        "helm-plain",
        "installed and removed by the commands as they stand: nothing of ours is left",
        || {
            cluster.type_in(&install)?;
            check_removed(cluster, &before, &remove, &image())
        },
    )
}

fn image() -> String {
    format!("{REPOSITORY}:{}", env!("CARGO_PKG_VERSION"))
}

/// Where others have objects, and what is upgraded and taken back must leave the rest as it is.
pub fn shared(round: &mut Round, cluster: &Cluster, auditor: &Path) -> Result<()> {
    let api = cluster.api();
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    api.create("/api/v1/namespaces", &namespace)?;
    let others = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "others"}, "data": {"a": "b"}});
    api.create(
        &format!("/api/v1/namespaces/{NAMESPACE}/configmaps"),
        &others,
    )?;
    let before = cluster.settled()?;
    let install = cluster
        .place
        .documented("With Helm", "sh", "helm install")?;
    let upgrade = cluster.place.documented("Upgrade", "sh", "helm upgrade")?;
    let remove = cluster.place.documented("Remove", "sh", "helm uninstall")?;
    round.step(
        "helm-install",
        "the objects of the chart are made, and nothing else; alerts, since the Operator is there",
        || {
            cluster.kubelet.forget();
            let flag = " --create-namespace";
            ensure!(install.contains(flag), "it has no `{flag}`");
            // The namespace is there, and Helm 4 would label it.
            cluster.type_in(&install.replace(flag, ""))?;
            let made = made();
            let made: Vec<&str> = made.iter().map(String::as_str).collect();
            cluster
                .changes_since(&before)?
                .applied()
                .ensure(&made, &[], &[])
        },
    )?;
    round.step(
        "helm-rollout",
        "a pod on each Linux node but Fargate's, admitted with its account's token",
        || check_rollout(cluster, &image()),
    )?;
    round.step(
        "helm-rules",
        "the server knows no rule for the two ServiceAccounts but those of manifests/rbac",
        || rights::check_rules(cluster, false),
    )?;
    round.step("helm-syncer", "auditor sync-associations, as its ServiceAccount, writes its ConfigMap and its Lease alone", || {
        check_syncer(cluster, auditor)
    })?;
    let synced = cluster.settled()?;
    let digest = format!("{REPOSITORY}@sha256:{}", "0".repeat(64));
    round.step(
        "helm-upgrade",
        "another image: DaemonSet and Deployment change, nothing is made anew, one node at a time",
        || {
            cluster.kubelet.forget();
            cluster.type_in(&upgrade)?;
            let release = release(2);
            cluster.changes_since(&synced)?.applied().ensure(
                &[&release],
                &[DAEMON_SET, DEPLOYMENT, &previous(1)],
                &[],
            )?;
            check_upgraded(cluster, &digest)
        },
    )?;
    let upgraded = cluster.settled()?;
    round.step("helm-policy", "a changed policy: one ConfigMap changes; no pod restarts for it", || {
        cluster.type_in(&format!(
            "helm upgrade credential-auditor manifests/helm/credential-auditor -n {NAMESPACE} --reset-then-reuse-values \
             --set-json 'policy.overrides={{\"agent\":[]}}'"
        ))?;
        cluster.changes_since(&upgraded)?.applied().ensure(&[&release(3)], &[POLICY, &previous(2)], &[])
    })?;
    round.step(
        "helm-rollback",
        "the policy of before; all else stays",
        || {
            cluster.type_in("helm rollback credential-auditor -n credential-auditor")?;
            let changes = cluster.changes_since(&upgraded)?.applied();
            changes.ensure(&[&release(3), &release(4)], &[&previous(2)], &[])
        },
    )?;
    round.step(
        "helm-remove",
        "cleanup on each node, under an account that is still there; then what others had is left",
        || {
            let rest = "&& kubectl delete namespace credential-auditor";
            ensure!(remove.contains(rest), "it has no `{rest}`");
            // As the text has it for a namespace that others share.
            let text = std::fs::read_to_string(cluster.place.path("docs/install.md"))?;
            let two = [
                "configmap/pod-identity-associations",
                "lease/pod-identity-associations",
            ];
            for name in two {
                text.find(&format!("`{name}`"))
                    .with_context(|| format!("it does not say to delete `{name}`"))?;
            }
            let script = remove.replace(
                rest,
                &format!("&& kubectl -n {NAMESPACE} delete {}", two.join(" ")),
            );
            check_removed(cluster, &before, &script, &digest)
        },
    )?;
    api.delete(&format!("/api/v1/namespaces/{NAMESPACE}"))
}

/// The Secret in which Helm keeps a release.
fn release(version: u32) -> String {
    format!("secrets {NAMESPACE}/sh.helm.release.v1.credential-auditor.v{version}")
}

/// It is marked as superseded when there is a newer one.
fn previous(version: u32) -> String {
    release(version)
}
