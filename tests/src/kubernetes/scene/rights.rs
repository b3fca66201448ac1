//! Each right of `manifests/rbac/node.yaml` is needed: with one taken away, the health line names it.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Health, Scene, annotated, away::restart, own, peek, running};
use crate::kubernetes::play::Stage;

const CLUSTER_ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/credential-auditor";
const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/credential-auditor/roles/credential-auditor-associations";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "no-right-to-pods",
        about: "without the right to list and watch pods the auditor says which is missing, and goes on when it is back",
        health: Health::MayEndOk,
        play: |stage| {
            let known = running(stage, "before-the-right")?;
            let whole = take_away(stage, CLUSTER_ROLE, "pods")?;
            // A watch that is open stays allowed.
            stage.control.server.kill_apiserver()?;
            restart(stage, &[])?;
            let missing = "RBAC must allow list and watch on pods";
            stage.await_health("cluster", "degraded", missing)?;
            peek(stage, &known)?;
            stage.control.api().replace(CLUSTER_ROLE, &whole)?;
            stage.await_health("cluster", "ok", "")?;
            let new = running(stage, "after-the-right")?;
            peek(stage, &new)?;
            Ok(vec![own(&known), own(&new)])
        },
    },
    Scene {
        name: "no-right-to-the-configmap",
        about: "without the right to the one ConfigMap the auditor says which is missing, until it is back",
        health: Health::MayEndOk,
        play: |stage| {
            let whole = take_away(stage, ROLE, "configmaps")?;
            stage.control.server.kill_apiserver()?;
            restart(stage, &[])?;
            let missing = "configmaps in namespace credential-auditor";
            stage.await_health("associations", "degraded", missing)?;
            stage.control.api().replace(ROLE, &whole)?;
            stage.await_health("associations", "ok", "")?;
            Ok(vec![])
        },
    },
    // The last one: what was refused is asked for again after minutes only.
    Scene {
        name: "no-right-to-serviceaccounts",
        about: "without the right to get ServiceAccounts the auditor says which is missing; a role is known from the pod",
        health: Health::Troubled,
        play: |stage| {
            take_away(stage, CLUSTER_ROLE, "serviceaccounts")?;
            let spec = annotated(stage, "unread")?;
            let pod = stage.control.start(spec)?;
            peek(stage, &pod)?;
            let missing = "RBAC must allow get on serviceaccounts";
            stage.await_health("cluster", "degraded", missing)?;
            let lacking = [
                ("verdict", "undetermined"),
                ("undetermined", "serviceaccount"),
            ];
            Ok(vec![own(&pod).with(&lacking)])
        },
    },
];

/// Takes the rule for `resource` out of a role; returns the role as it was.
fn take_away(stage: &mut Stage, path: &str, resource: &str) -> Result<Value> {
    let api = stage.control.api();
    let mut role = api.get(path)?;
    if let Some(metadata) = role["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    let whole = role.clone();
    if let Some(rules) = role["rules"].as_array_mut() {
        rules.retain(|rule| rule["resources"] != json!([resource]));
    }
    api.replace(path, &role)?;
    Ok(whole)
}
