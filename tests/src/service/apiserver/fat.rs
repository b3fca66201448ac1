//! Pods as fat as real ones: what admission, scheduler and kubelet add to a pod, and two managers' `managedFields`.

use serde_json::{Value, json};

use super::fields;

/// Adds what the lab's own manifest leaves out.
pub fn clothe(pod: &mut Value) {
    let created = pod["metadata"]["creationTimestamp"].clone();
    if let Some(containers) = pod["spec"]["containers"].as_array_mut() {
        for container in containers {
            container["terminationMessagePath"] = "/dev/termination-log".into();
            container["terminationMessagePolicy"] = "File".into();
        }
    }
    pod["spec"]["preemptionPolicy"] = "PreemptLowerPriority".into();
    pod["spec"]["priority"] = 0.into();
    pod["spec"]["terminationGracePeriodSeconds"] = 30.into();
    pod["spec"]["tolerations"] = ["not-ready", "unreachable"]
        .map(|taint| {
            json!({
                "effect": "NoExecute", "key": format!("node.kubernetes.io/{taint}"), "operator": "Exists",
                "tolerationSeconds": 300,
            })
        })
        .to_vec()
        .into();
    let conditions = [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ];
    pod["status"]["conditions"] = conditions
        .map(|kind| {
            json!({"lastProbeTime": null, "lastTransitionTime": created, "observedGeneration": 1, "status": "True", "type": kind})
        })
        .to_vec()
        .into();
    let made = json!({"metadata": pod["metadata"], "spec": pod["spec"]});
    let status = json!({"status": pod["status"]});
    pod["metadata"]["managedFields"] = json!([
        {
            "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields::of(&made),
            "manager": "kube-controller-manager", "operation": "Update", "time": created,
        },
        {
            "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields::of(&status), "manager": "kubelet",
            "operation": "Update", "subresource": "status", "time": created,
        },
    ]);
}

/// `count` pods on `node`, each of three containers with 8 variables, about 22 KB as JSON.
pub fn node_of_pods(node: &str, count: usize) -> impl Iterator<Item = Value> {
    (0..count).map(move |index| pod(node, index))
}

fn pod(node: &str, index: usize) -> Value {
    let namespace = format!("team-{}", index % 12);
    let app = format!("service-{}", index % 40);
    let name = format!("{app}-7d4b9c8f6-{index:05}");
    let created = "2026-11-02T08:15:30Z";
    let containers = ["app", "proxy", "logs"].map(|name| container(name, &app));
    let statuses: Vec<Value> = containers
        .iter()
        .map(|container| {
            json!({
                "containerID": format!("containerd://{index:032x}{}", &uuid::Uuid::new_v4().simple()),
                "image": container["image"],
                "imageID": format!("{}@sha256:{}", "registry.example.com/platform/image", "0f".repeat(32)),
                "lastState": {}, "name": container["name"], "ready": true, "resources": container["resources"],
                "restartCount": 0, "started": true, "state": {"running": {"startedAt": created}},
                "volumeMounts": container["volumeMounts"],
            })
        })
        .collect();
    let ip = format!("10.0.{}.{}", index / 250, index % 250 + 1);
    let mut pod = json!({
        "metadata": {
            "annotations": {
                "checksum/config": "b1946ac92492d2347c6235b4d2611184b1946ac92492d2347c6235b4d2611184",
                "kubectl.kubernetes.io/restartedAt": created, "prometheus.io/port": "9090", "prometheus.io/scrape": "true",
            },
            "creationTimestamp": created, "generateName": format!("{app}-7d4b9c8f6-"), "generation": 1,
            "labels": {
                "app.kubernetes.io/instance": app, "app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/name": app,
                "app.kubernetes.io/part-of": "platform", "app.kubernetes.io/version": "1.4.2",
                "helm.sh/chart": format!("{app}-1.4.2"), "pod-template-hash": "7d4b9c8f6",
            },
            "name": name, "namespace": namespace,
            "ownerReferences": [{
                "apiVersion": "apps/v1", "blockOwnerDeletion": true, "controller": true, "kind": "ReplicaSet",
                "name": format!("{app}-7d4b9c8f6"), "uid": uuid::Uuid::new_v4(),
            }],
            "uid": uuid::Uuid::new_v4(),
        },
        "spec": {
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
                "podAffinityTerm": {
                    "labelSelector": {"matchLabels": {"app.kubernetes.io/name": app}}, "topologyKey": "kubernetes.io/hostname",
                },
                "weight": 100,
            }]}},
            "containers": containers, "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "nodeName": node,
            "restartPolicy": "Always", "schedulerName": "default-scheduler",
            "securityContext": {"fsGroup": 1000, "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "serviceAccount": app, "serviceAccountName": app, "volumes": volumes(),
        },
        "status": {
            "containerStatuses": statuses, "hostIP": "10.0.1.5", "hostIPs": [{"ip": "10.0.1.5"}], "phase": "Running",
            "podIP": ip, "podIPs": [{"ip": ip}], "qosClass": "Burstable", "startTime": created,
        },
    });
    clothe(&mut pod);
    pod
}

fn container(name: &str, app: &str) -> Value {
    let env: Vec<Value> = (0..8)
        .map(|index| {
            json!({"name": format!("SETTING_{index:02}_OF_{}", name.to_uppercase()), "value": format!("value-{index}-of-{app}")})
        })
        .collect();
    let probe = json!({
        "failureThreshold": 3, "httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10,
        "successThreshold": 1, "timeoutSeconds": 1,
    });
    json!({
        "args": ["--config=/etc/app/config.yaml", "--listen=:8080"], "env": env,
        "image": format!("111122223333.dkr.ecr.eu-west-1.amazonaws.com/platform/{name}:1.4.2"),
        "imagePullPolicy": "IfNotPresent", "livenessProbe": probe, "name": name,
        "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}], "readinessProbe": probe,
        "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"mountPath": "/etc/app", "name": "config", "readOnly": true},
            {"mountPath": "/var/run/secrets/eks.amazonaws.com/serviceaccount", "name": "aws-iam-token", "readOnly": true},
            {"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "kube-api-access-x7k2p", "readOnly": true},
        ],
    })
}

fn volumes() -> Value {
    json!([
        {"name": "config", "configMap": {"defaultMode": 420, "name": "config"}},
        {"name": "aws-iam-token", "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {
            "audience": "sts.amazonaws.com", "expirationSeconds": 86400, "path": "token",
        }}]}},
        {"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"items": [{"key": "ca.crt", "path": "ca.crt"}], "name": "kube-root-ca.crt"}},
            {"downwardAPI": {"items": [{"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}, "path": "namespace"}]}},
        ]}},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_as_fat_as_real_ones() {
        let sizes: Vec<usize> = node_of_pods("n", 250)
            .map(|pod| pod.to_string().len())
            .collect();
        assert!(
            sizes.iter().all(|size| (20_000..24_000).contains(size)),
            "{sizes:?}"
        );
    }
}
