//! Values that the chart is tried with: what must come of them, and what must be refused.

use serde_json::{Value, json};

/// A rendering that is asked for.
pub struct Case {
    pub name: &'static str,
    pub values: Value,
}

/// `more` beside what every installation must say.
pub fn with(more: &Value) -> Value {
    let mut values =
        json!({"clusterName": "prod", "image": {"repository": "registry.test/credential-auditor"}});
    merge(&mut values, more);
    values
}

fn merge(values: &mut Value, more: &Value) {
    match (values, more) {
        (Value::Object(values), Value::Object(more)) => {
            for (key, value) in more {
                merge(values.entry(key).or_insert(Value::Null), value);
            }
        }
        (value, more) => *value = more.clone(),
    }
}

/// Renderings that must be right.
pub fn cases() -> Vec<Case> {
    let case = |name, more: Value| Case {
        name,
        values: with(&more),
    };
    let operator = json!({"podMonitor": {"enabled": true}, "prometheusRule": {"enabled": true}});
    let sha = format!("sha256:{}", "0123456789abcdef".repeat(4));
    vec![
        case("defaults", json!({})),
        case("operator", operator),
        case("priority-class", json!({"priorityClass": {"create": true}})),
        case(
            "cleanup, priority-class",
            json!({"cleanup": true, "priorityClass": {"create": true}}),
        ),
        case("ack", json!({"associations": {"from": "ack"}})),
        case("none", json!({"associations": {"from": "none"}})),
        case("cleanup", json!({"cleanup": true})),
        case(
            "on-delete",
            json!({"auditor": {"updateStrategy": {"type": "OnDelete"}}}),
        ),
        case("auto-mode", json!({"policy": {"overrides": {"agent": []}}})),
        case(
            "everything",
            json!({
                "region": "eu-central-1", "image": {"digest": sha}, "imagePullSecrets": [{"name": "registry"}],
                "auditor": {"extraArgs": ["--watch-denied"], "extraEnv": [{"name": "RUST_BACKTRACE", "value": "1"}],
                    "podAnnotations": {"a": "b"}, "podLabels": {"team": "security"}, "stateDir": "",
                    "securityContext": {"appArmorProfile": null}},
                "sync": {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/auditor"}},
                    "tolerations": [{"operator": "Exists"}], "podAnnotations": {"a": "b"},
                    "extraArgs": ["--metrics-listen", "127.0.0.1:9757"],
                    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://10.0.9.1:3128"},
                        {"name": "NO_PROXY", "value": "172.20.0.1,169.254.170.23,fd00:ec2::23"}]},
                "policy": {"text": "version: 1\n"},
                "networkPolicy": {"scrapeFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
                    "apiTo": [{"ipBlock": {"cidr": "172.20.0.0/16"}}, {"ipBlock": {"cidr": "10.0.0.0/16"}}],
                    "syncTo": [{"ipBlock": {"cidr": "10.0.0.0/8"}}, {"ipBlock": {"cidr": "fd00::/8"}}],
                    "extraEgress": [{"ports": [{"port": 53, "protocol": "UDP"}]}],
                    "syncExtraEgress": [{"ports": [{"port": 3128}], "to": [{"ipBlock": {"cidr": "10.0.9.1/32"}}]}]},
                "podMonitor": {"enabled": true, "labels": {"release": "prometheus"}, "interval": "60s"},
                "prometheusRule": {"enabled": true, "labels": {"release": "prometheus"}, "disabled": ["CredentialAuditorWorkloadsFolded"],
                    "runbookBase": "https://git.test/auditor"},
                "dashboard": {"annotations": {"grafana_folder": "Security"}}
            }),
        ),
    ]
}

/// What must be so in a rendering: case, object, JSON pointer, value (null: must not be there).
pub fn expectations() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    const DAEMON: &str = "DaemonSet/credential-auditor";
    const POLICY: &str = "NetworkPolicy/credential-auditor";
    const SYNC_POLICY: &str = "NetworkPolicy/credential-auditor-sync";
    const CONTAINER_ARGS: &str = "/spec/template/spec/containers/0/args";
    let image = format!(
        "registry.test/credential-auditor@sha256:{}",
        "0123456789abcdef".repeat(4)
    );
    vec![
        (
            "defaults",
            DAEMON,
            "/spec/template/spec/containers/0/env/0/value",
            json!("prod"),
        ),
        (
            "defaults",
            DAEMON,
            "/spec/updateStrategy",
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}),
        ),
        (
            "on-delete",
            DAEMON,
            "/spec/updateStrategy",
            json!({"type": "OnDelete"}),
        ),
        (
            "defaults",
            POLICY,
            "/spec/egress",
            json!([{"ports": [{"port": 443, "protocol": "TCP"}]}]),
        ),
        (
            "everything",
            POLICY,
            "/spec/egress",
            json!([
                {"ports": [{"port": 443, "protocol": "TCP"}],
                    "to": [{"ipBlock": {"cidr": "172.20.0.0/16"}}, {"ipBlock": {"cidr": "10.0.0.0/16"}}]},
                {"ports": [{"port": 53, "protocol": "UDP"}]}
            ]),
        ),
        (
            "everything",
            SYNC_POLICY,
            "/spec/egress/0/to",
            json!([{"ipBlock": {"cidr": "10.0.0.0/8"}}, {"ipBlock": {"cidr": "fd00::/8"}}]),
        ),
        (
            "everything",
            SYNC_POLICY,
            "/spec/egress/3",
            json!({"ports": [{"port": 3128}], "to": [{"ipBlock": {"cidr": "10.0.9.1/32"}}]}),
        ),
        (
            "everything",
            "Deployment/credential-auditor-sync",
            "/spec/template/spec/containers/0/args/6",
            json!("127.0.0.1:9757"),
        ),
        (
            "defaults",
            DAEMON,
            "/spec/template/spec/tolerations",
            json!([{"operator": "Exists"}]),
        ),
        (
            "defaults",
            "PriorityClass/credential-auditor",
            "/kind",
            Value::Null,
        ),
        (
            "priority-class",
            "PriorityClass/credential-auditor",
            "/value",
            json!(1_000_000_000),
        ),
        (
            "priority-class",
            DAEMON,
            "/spec/template/spec/priorityClassName",
            json!("credential-auditor"),
        ),
        (
            "priority-class",
            "Deployment/credential-auditor-sync",
            "/spec/template/spec/priorityClassName",
            json!("credential-auditor"),
        ),
        (
            "defaults",
            "PodMonitor/credential-auditor",
            "/kind",
            Value::Null,
        ),
        (
            "operator",
            "PodMonitor/credential-auditor",
            "/kind",
            json!("PodMonitor"),
        ),
        (
            "none",
            "Deployment/credential-auditor-sync",
            "/kind",
            Value::Null,
        ),
        (
            "none",
            "ServiceAccount/credential-auditor-sync",
            "/kind",
            Value::Null,
        ),
        (
            "ack",
            "ClusterRoleBinding/credential-auditor-ack",
            "/subjects/0/name",
            json!("credential-auditor-sync"),
        ),
        (
            "ack",
            "ClusterRoleBinding/credential-auditor-ack",
            "/subjects/1",
            Value::Null,
        ),
        (
            "everything",
            DAEMON,
            "/spec/template/spec/containers/0/image",
            json!(image),
        ),
        (
            "everything",
            DAEMON,
            "/spec/template/spec/volumes/4",
            Value::Null,
        ),
        (
            "everything",
            DAEMON,
            "/spec/template/spec/containers/0/securityContext/appArmorProfile",
            Value::Null,
        ),
        (
            "everything",
            "ConfigMap/credential-auditor-policy",
            "/data/policy.yaml",
            json!("version: 1\n"),
        ),
        (
            "everything",
            "ServiceAccount/credential-auditor-sync",
            "/metadata/annotations/eks.amazonaws.com~1role-arn",
            json!("arn:aws:iam::111122223333:role/auditor"),
        ),
        (
            "cleanup",
            DAEMON,
            "/spec/template/spec/serviceAccountName",
            json!("default"),
        ),
        (
            "cleanup",
            DAEMON,
            "/spec/template/spec/automountServiceAccountToken",
            json!(false),
        ),
        (
            "cleanup",
            DAEMON,
            CONTAINER_ARGS,
            json!([
                "remove-state",
                "--state-dir=/host/var/lib/credential-auditor",
                "--stay"
            ]),
        ),
    ]
}

/// Values that must be refused, and a word of the refusal.
pub fn refusals() -> Vec<(Value, &'static str)> {
    let bad = |more: Value| with(&more);
    vec![
        (json!({}), "clusterName is required"),
        (json!({"clusterName": "prod"}), "no image is published yet"),
        (bad(json!({"clutserName": "prod"})), "clutserName"),
        (bad(json!({"clusterName": "-prod"})), "/clusterName"),
        (
            bad(json!({"image": {"digest": "sha256:abc"}})),
            "/image/digest",
        ),
        (
            bad(json!({"associations": {"from": "kube"}})),
            "/associations/from",
        ),
        (
            bad(json!({"auditor": {"securityContext": {"privilegd": true}}})),
            "privilegd",
        ),
        (
            bad(json!({"auditor": {"securityContext": {"capabilities": {"add": ["bpf"]}}}})),
            "/capabilities/add",
        ),
        (
            bad(json!({"auditor": {"stateDir": "/state"}})),
            "/auditor/stateDir",
        ),
        (
            bad(json!({"auditor": {"stateDir": "/var/../etc"}})),
            "/auditor/stateDir",
        ),
        (
            bad(json!({"auditor": {"terminationGracePeriodSeconds": 1}})),
            "/terminationGracePeriodSeconds",
        ),
        (
            bad(json!({"auditor": {"resources": {"limits": {"memory": "256MB"}}}})),
            "/limits/memory",
        ),
        (
            bad(json!({"auditor": {"extraArgs": "--watch-denied"}})),
            "/auditor/extraArgs",
        ),
        (
            bad(json!({"auditor": {"extraArgs": ["--watch-denied", "--args=full"]}})),
            "auditor.extraArgs: --args is the chart's own",
        ),
        (
            bad(json!({"auditor": {"extraArgs": ["--metrics-listen", "[::]:1"]}})),
            "auditor.extraArgs: --metrics-listen is the chart's own",
        ),
        (
            bad(json!({"sync": {"extraArgs": ["--lease-name=x"]}})),
            "sync.extraArgs: --lease-name is the chart's own",
        ),
        // They would win over the environment, and nodes and syncer name two clusters.
        (
            bad(json!({"auditor": {"extraArgs": ["--cluster-name=foo"]}})),
            "auditor.extraArgs: --cluster-name is the chart's own",
        ),
        (
            bad(json!({"auditor": {"extraArgs": ["--node-name", "foo"]}})),
            "auditor.extraArgs: --node-name is the chart's own",
        ),
        (
            bad(json!({"sync": {"extraArgs": ["--cluster-name=foo"]}})),
            "sync.extraArgs: --cluster-name is the chart's own",
        ),
        (
            bad(json!({"priorityClass": {"create": true, "name": "system-mine"}})),
            "/priorityClass/name",
        ),
        (
            bad(json!({"priorityClass": {"create": true, "value": 2_000_000_000}})),
            "/priorityClass/value",
        ),
        // The last of a name wins: pods that no selector finds, lines of another cluster.
        (
            bad(json!({"auditor": {"podLabels": {"app.kubernetes.io/name": "x"}}})),
            "/auditor/podLabels",
        ),
        (
            bad(json!({"sync": {"podLabels": {"app.kubernetes.io/name": "x"}}})),
            "/sync/podLabels",
        ),
        (
            bad(json!({"auditor": {"extraEnv": [{"name": "NODE_NAME", "value": "x"}]}})),
            "/auditor/extraEnv",
        ),
        (
            bad(json!({"sync": {"extraEnv": [{"name": "CLUSTER_NAME", "value": "x"}]}})),
            "/sync/extraEnv",
        ),
        (
            bad(json!({"podMonitor": {"interval": "5m"}})),
            "/podMonitor/interval",
        ),
        (
            bad(json!({"networkPolicy": {"extraEgress": [{"port": 443}]}})),
            "/networkPolicy/extraEgress",
        ),
        (
            bad(json!({"policy": {"overrides": {"node_roles": []}}})),
            "node_roles",
        ),
        (
            bad(json!({"podMonitor": {"enabled": "yes"}})),
            "/podMonitor/enabled",
        ),
        (
            bad(json!({"cleanup": true, "auditor": {"stateDir": ""}})),
            "nothing is left on the nodes",
        ),
    ]
}
