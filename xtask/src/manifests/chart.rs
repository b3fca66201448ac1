//! The Helm chart, by Helm itself: what it renders, what it refuses, and whether API servers would take it.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{
    check::Tally,
    engines::{Case, Engines, KUBERNETES, Rendered},
    objects, read,
};
use crate::process;

/// What [`super::kustomize`] compares, by the names of [`cases`].
pub type All = Vec<(&'static str, Rendered)>;

pub fn directory() -> PathBuf {
    process::workspace().join("manifests/helm/credential-auditor")
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
fn cases() -> Vec<Case> {
    let case = |name, more: Value| Case {
        name,
        values: with(&more),
    };
    let operator = json!({"podMonitor": {"enabled": true}, "prometheusRule": {"enabled": true}});
    let sha = format!("sha256:{}", "0123456789abcdef".repeat(4));
    vec![
        case("defaults", json!({})),
        case("operator", operator),
        case("ack", json!({"associations": {"from": "ack"}})),
        case("none", json!({"associations": {"from": "none"}})),
        case("cleanup", json!({"cleanup": true})),
        case("auto-mode", json!({"policy": {"overrides": {"agent": []}}})),
        case(
            "everything",
            json!({
                "region": "eu-central-1", "image": {"digest": sha}, "imagePullSecrets": [{"name": "registry"}],
                "auditor": {"extraArgs": ["--watch-denied"], "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
                    "podAnnotations": {"a": "b"}, "podLabels": {"team": "security"}, "stateDir": "",
                    "securityContext": {"appArmorProfile": null}},
                "sync": {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/auditor"}},
                    "tolerations": [{"operator": "Exists"}], "podAnnotations": {"a": "b"}, "extraArgs": ["--lease-name=x"]},
                "policy": {"text": "version: 1\n"},
                "networkPolicy": {"scrapeFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
                    "apiTo": [{"ipBlock": {"cidr": "10.0.0.0/16"}}, {"ipBlock": {"cidr": "fd00::/8"}}]},
                "podMonitor": {"enabled": true, "labels": {"release": "prometheus"}, "interval": "60s"},
                "prometheusRule": {"enabled": true, "labels": {"release": "prometheus"}, "disabled": ["CredentialAuditorWorkloadsFolded"],
                    "runbookBase": "https://git.test/auditor"},
                "dashboard": {"annotations": {"grafana_folder": "Security"}}
            }),
        ),
    ]
}

/// What must be so in a rendering: case, object, JSON pointer, value (null: must not be there).
fn expectations() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    const DAEMON: &str = "DaemonSet/credential-auditor";
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
            "/spec/template/spec/tolerations",
            json!([{"operator": "Exists"}]),
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
fn refusals() -> Vec<(Value, &'static str)> {
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

/// All that Helm and the schemas can tell; gives what was rendered.
pub fn check(engines: &Engines, tally: &mut Tally) -> Result<All> {
    let chart = directory();
    tally.note(
        "helm lint --strict",
        engines.lint(&chart, &with(&json!({}))),
    );
    tally.note("the chart's version is the workspace's", check_version());
    let cases = cases();
    let refusals = refusals();
    let values: Vec<&Value> = cases
        .iter()
        .map(|case| &case.values)
        .chain(refusals.iter().map(|(values, _)| values))
        .collect();
    let mut answers = engines.render(&chart, &values)?.into_iter();
    let mut all = All::new();
    for case in &cases {
        match answers.next().context("an answer for each case")? {
            Ok(rendered) => all.push((case.name, rendered)),
            Err(error) => tally.note(
                &format!("chart, {}", case.name),
                Err(anyhow::anyhow!(error)),
            ),
        }
    }
    let every: Vec<&Value> = all
        .iter()
        .flat_map(|(_, rendered)| &rendered.objects)
        .collect();
    let valid = engines.validate(&every).map(|checked| {
        println!(
            "     {checked} checks of {} objects by {}",
            every.len(),
            KUBERNETES.join(", ")
        );
    });
    let name = format!(
        "{} renderings are valid in Kubernetes {} to {}",
        all.len(),
        KUBERNETES[0],
        KUBERNETES[KUBERNETES.len() - 1]
    );
    tally.note(&name, valid);
    for (name, rendered) in &all {
        let checked = objects::ensure_resolved(&rendered.objects)
            .and_then(|()| ensure_expected(name, rendered));
        tally.note(
            &format!(
                "chart, {name}: {} objects, and what they name is there",
                rendered.objects.len()
            ),
            checked,
        );
    }
    tally.note(
        "the packaged chart renders the same",
        check_packaged(engines, &all),
    );
    let refused = refusals
        .iter()
        .zip(answers)
        .map(|((values, word), answer)| match answer {
            Ok(_) => bail!("taken: {values}"),
            Err(error) if !error.contains(word) => bail!("`{word}` is not in: {error}"),
            Err(_) => Ok(()),
        });
    let name = format!("{} wrong values are refused by name", refusals.len());
    tally.note(&name, refused.collect());
    Ok(all)
}

fn ensure_expected(case: &str, rendered: &Rendered) -> Result<()> {
    for (_, name, pointer, value) in expectations().iter().filter(|expected| expected.0 == case) {
        let object = rendered
            .objects
            .iter()
            .find(|object| objects::key(object).0 == *name);
        let found = object
            .and_then(|object| object.pointer(pointer))
            .unwrap_or(&Value::Null);
        ensure!(
            found == value,
            "{name}{pointer} is {found}, and not {value}"
        );
    }
    Ok(())
}

/// Its files are links to those of `manifests/`, and must be files in the archive.
fn check_packaged(engines: &Engines, all: &All) -> Result<()> {
    let archive = engines.package(&directory())?;
    for case in cases()
        .iter()
        .filter(|case| case.name == "ack" || case.name == "operator")
    {
        let answer = engines.render(&archive, &[&case.values])?.pop();
        let packaged = match answer.context("no answer")? {
            Ok(rendered) => rendered.objects,
            Err(error) => bail!("{}: {error}", case.name),
        };
        let (_, rendered) = all
            .iter()
            .find(|(name, _)| *name == case.name)
            .context("it does not render unpackaged")?;
        objects::ensure_same(&rendered.objects, &packaged, ["the chart", "its archive"])?;
    }
    Ok(())
}

/// Chart.yaml's two, and Cargo's.
fn check_version() -> Result<()> {
    let chart: Value = serde_saphyr::from_str(&read(&directory().join("Chart.yaml"))?)?;
    for name in ["version", "appVersion"] {
        ensure!(
            chart[name] == env!("CARGO_PKG_VERSION"),
            "{name} is {}, and the workspace's {}",
            chart[name],
            env!("CARGO_PKG_VERSION")
        );
    }
    Ok(())
}
