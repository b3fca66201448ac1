//! A pod as the API server returns it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{lab::NODE_NAME, pod::PodSpec};

/// A pod that the control plane tells of.
pub(super) struct ListedPod {
    pub(super) spec: Arc<PodSpec>,
    /// Empty before its container has started.
    pub(super) container_id: String,
    pub(super) ip: String,
    pub(super) created: Timestamp,
}

/// A pod whose one container has not started yet.
pub fn pod_object(spec: &Arc<PodSpec>, ip: &str, created: Timestamp) -> Value {
    pod_json(&ListedPod {
        spec: Arc::clone(spec),
        container_id: String::new(),
        ip: ip.into(),
        created,
    })
}

/// As the API server returns it.
pub(super) fn pod_json(pod: &ListedPod) -> Value {
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
        json!({"mountPath": h.target, "mountPropagation": "HostToContainer", "name": format!("host-{i}"), "readOnly": h.read_only})
    }));
    let mut container = json!({
        "command": spec.argv, "env": env, "image": "registry.example.com/app:1.4.2", "imagePullPolicy": "IfNotPresent",
        "name": "main", "resources": {}, "volumeMounts": mounts,
    });
    if !spec.caps.is_empty() {
        container["securityContext"] = json!({"capabilities": {"add": spec.caps}});
    }
    if spec.drops_caps {
        container["securityContext"]["capabilities"]["drop"] = json!(["ALL"]);
    }
    for (probe, command) in &spec.exec_probes {
        container[*probe] = json!({
            "exec": {"command": command}, "failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1,
            "timeoutSeconds": 1,
        });
    }
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
        "containers": [container],
        "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "nodeName": NODE_NAME, "restartPolicy": "Always",
        "schedulerName": "default-scheduler", "securityContext": {}, "volumes": volumes_json(spec),
    });
    for (field, set) in [
        ("hostPID", spec.host_pid),
        ("shareProcessNamespace", spec.share_process_namespace),
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
