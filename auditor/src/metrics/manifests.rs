//! Alert rules, dashboard and runbooks against the metrics that there are: a query of a name that nobody counts is silent for ever.

mod promql;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use super::Metrics;
use crate::{
    event::{BindingKind, Body, Severity, word},
    report::{Observer, fixture},
};

/// What the Prometheus Operator gives each series of a PodMonitor's target, `node` by a relabeling of ours, and the labels of
/// `kube_node_info` that are asked for.
const TARGET: [&str; 8] = [
    "namespace",
    "pod",
    "container",
    "job",
    "instance",
    "node",
    "cluster",
    "os_image",
];
const OURS: [&str; 3] = ["credential_auditor_", "credential_auditor:", "process_"];
const NEW_FINDINGS: &str = "credential_auditor:findings:new5m";
/// What each selector of the rules asks of the label `job`; the PrometheusRule has one namespace's instead.
const JOB: &str = "(.+/)?credential-auditor";

fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Each metric's labels, by a registry in which everything has happened.
fn counted() -> BTreeMap<String, BTreeSet<String>> {
    let metrics = Metrics::default();
    for mut body in fixture::bodies("x", 1) {
        if let Body::TokenOpen(open) = &mut body {
            open.findings[0].exempted_by = None;
        }
        metrics.emitted(&body);
        metrics.written(&body, Duration::from_millis(1));
        if let Body::Ready(ready) = &body {
            metrics.set_probes(&ready.backends);
            metrics.set_coverage(&BTreeMap::from([("open", true)]));
        }
    }
    metrics.add_unattributed("x");
    metrics.set_self_test("file_open", true);
    metrics.set_bindings("eks", BindingKind::PodIdentity, 1);
    metrics.set_policy(Some("x"));
    metrics.set_source("policy", true);
    metrics.api().add_request("list", "pods", Some(200));
    metrics.api().add_received("pods", 1);
    let text = metrics.encode().unwrap();
    let mut counted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let labels = rest.strip_prefix('{').unwrap_or_default();
        let labels = labels.rsplit_once('}').map_or("", |(labels, _)| labels);
        let labels = labels
            .split("\",")
            .filter_map(|label| label.split_once('='));
        let of_metric = counted.entry(name.to_owned()).or_default();
        of_metric.extend(labels.map(|(name, _)| name.to_owned()));
    }
    let findings = counted["credential_auditor_findings_total"].clone();
    counted.insert(NEW_FINDINGS.to_owned(), findings);
    counted
}

fn rules() -> Vec<Value> {
    let text = read(&manifests().join("alerts/credential-auditor.rules.yaml"));
    let rules: Value = serde_saphyr::from_str(&text).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

/// Every query that is written down, and where.
fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for rule in rules() {
        let name = rule["alert"].as_str().or(rule["record"].as_str()).unwrap();
        queries.push((name.to_owned(), rule["expr"].as_str().unwrap().to_owned()));
    }
    let dashboard: Value = serde_json::from_str(&read(
        &manifests().join("dashboards/credential-auditor.json"),
    ))
    .unwrap();
    in_dashboard(&dashboard, &mut queries);
    for runbook in fs::read_dir(manifests().join("runbooks")).unwrap() {
        let path = runbook.unwrap().path();
        let text = read(&path);
        for block in text.split("```promql\n").skip(1) {
            let query = block.split("```").next().unwrap();
            queries.push((path.display().to_string(), query.to_owned()));
        }
    }
    queries
}

/// Of panels, and of variables (`label_values(METRIC, LABEL)`).
fn in_dashboard(value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str() {
                    Some(text) if name == "expr" || name == "definition" => {
                        found.push(("dashboard".to_owned(), text.to_owned()));
                    }
                    _ => in_dashboard(field, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| in_dashboard(item, found)),
        _ => {}
    }
}

#[test]
fn every_metric_and_label_that_is_asked_for_is_counted() {
    let counted = counted();
    let queries = queries();
    assert!(queries.len() > 60, "only {} queries", queries.len());
    let all: BTreeSet<&str> = counted.values().flatten().map(String::as_str).collect();
    for (place, query) in &queries {
        for selector in promql::selectors(query, &OURS) {
            let metric = &selector.metric;
            let Some(labels) = counted.get(metric) else {
                panic!("{place}: nobody counts {metric}: {query}");
            };
            for (label, _, _) in &selector.matchers {
                let known = labels.contains(label) || TARGET.contains(&label.as_str());
                assert!(known, "{place}: {metric} has no label {label}: {query}");
            }
        }
        for label in promql::grouped_by(query) {
            let known = all.contains(label.as_str())
                || TARGET.contains(&label.as_str())
                || matches!(label.as_str(), "le" | "version" | "name");
            assert!(known, "{place}: no metric has a label {label}: {query}");
        }
    }
}

/// Whoever may have a target scraped may name his series like ours.
#[test]
fn the_rules_listen_to_the_auditors_job_alone() {
    let mut listened = 0;
    for rule in rules() {
        let expr = rule["expr"].as_str().unwrap();
        let [ours, up] = [&OURS[..], &["up"]].map(|names| promql::selectors(expr, names));
        for selector in ours.iter().chain(&up) {
            let job = ("job".to_owned(), "=~".to_owned(), JOB.to_owned());
            assert!(selector.matchers.contains(&job), "{selector:?}");
            listened += 1;
        }
    }
    assert!(listened > 40, "only {listened} selectors");
}

/// Every metric is of use to somebody: what no query asks for was forgotten, or need not be there.
#[test]
fn every_metric_that_is_counted_is_asked_for() {
    let queries = queries();
    let asked: BTreeSet<String> = queries
        .iter()
        .flat_map(|(_, query)| promql::selectors(query, &OURS))
        .map(|selector| selector.metric)
        .collect();
    let ours = counted()
        .into_keys()
        .filter(|name| name.starts_with("credential_auditor"));
    let forgotten: Vec<String> = ours
        .filter(|name| !asked.contains(name))
        .filter(|name| !name.ends_with("_sum") && !name.ends_with("_count"))
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}

#[test]
fn the_docs_name_every_metric() {
    let docs = read(&manifests().join("../docs/metrics.md"));
    let mut counted = counted();
    // Prometheus counts that one.
    counted.remove(NEW_FINDINGS);
    for (name, labels) in counted {
        let of_histogram = ["_bucket", "_sum", "_count"];
        let plain = of_histogram.iter().find_map(|end| name.strip_suffix(end));
        let plain = plain.unwrap_or(&name);
        let mut rows = docs.lines().filter(|line| line.starts_with('|'));
        let line = rows.find(|line| line.contains(&format!("`{plain}`")));
        let line = line.unwrap_or_else(|| panic!("docs/metrics.md does not name {plain}"));
        for label in labels.iter().filter(|label| *label != "le") {
            assert!(line.contains(&format!("`{label}`")), "{plain}: {label}");
        }
    }
}

/// All findings there are, by the schema's word for each.
fn findings() -> Vec<String> {
    let schema = serde_json::to_value(schemars::schema_for!(crate::event::FindingId)).unwrap();
    let names = schema["enum"].as_array().expect("an enumeration").iter();
    names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

/// The alerts that a finding of this severity raises.
fn raised_by<'a>(rules: &'a [Value], finding: &str, severity: Severity) -> Vec<&'a str> {
    let alerts = rules.iter().filter(|rule| rule["alert"].is_string());
    alerts
        .filter(|rule| {
            let expr = rule["expr"].as_str().unwrap();
            promql::selectors(expr, &[NEW_FINDINGS])
                .iter()
                .any(|selector| {
                    selector.takes(|label| match label {
                        "finding" => finding.to_owned(),
                        "severity" => word(&severity),
                        "job" => JOB.to_owned(),
                        other => panic!("alerts ask for {other}"),
                    })
                })
        })
        .filter_map(|rule| rule["alert"].as_str())
        .collect()
}

#[test]
fn each_finding_above_info_raises_one_alert() {
    let rules = rules();
    let alerts = || rules.iter().filter(|rule| rule["alert"].is_string());
    let findings = findings();
    assert!(findings.len() > 20);
    for finding in &findings {
        for severity in [
            Severity::Info,
            Severity::Medium,
            Severity::High,
            Severity::Critical,
        ] {
            let raised = raised_by(&rules, finding, severity);
            let wanted = usize::from(severity != Severity::Info);
            assert_eq!(
                raised.len(),
                wanted,
                "{finding} of {severity:?} raises {raised:?}"
            );
        }
    }
    // A name with a slip in it selects nothing.
    for rule in alerts() {
        for selector in promql::selectors(rule["expr"].as_str().unwrap(), &[NEW_FINDINGS]) {
            for (label, _, value) in &selector.matchers {
                let unknown: Vec<&str> = value
                    .split('|')
                    .filter(|name| label == "finding" && !findings.contains(&(*name).to_owned()))
                    .collect();
                assert!(unknown.is_empty(), "no such finding: {unknown:?}");
            }
        }
    }
}

/// By the rules, for each finding that a scene of the simulation announces: its alert, and no other.
#[test]
fn the_simulation_announces_the_alerts_that_its_findings_raise() {
    use crate::simulate::{NOT_SIMULATED, SCENES};
    let rules = rules();
    let mut covered: BTreeSet<&str> = NOT_SIMULATED.iter().map(|(alert, _)| *alert).collect();
    for expected in SCENES.iter().flat_map(|scene| scene.expects) {
        let raised = raised_by(&rules, &word(&expected.finding), expected.severity);
        assert_eq!(raised, [expected.alert], "{expected:?}");
        assert!(
            NOT_SIMULATED
                .iter()
                .all(|(alert, _)| *alert != expected.alert)
        );
        covered.insert(expected.alert);
    }
    let of_findings: BTreeSet<&str> = rules
        .iter()
        .filter(|rule| {
            let expr = rule["expr"].as_str().unwrap();
            !promql::selectors(expr, &[NEW_FINDINGS]).is_empty()
        })
        .filter_map(|rule| rule["alert"].as_str())
        .collect();
    assert_eq!(
        covered, of_findings,
        "each alert of a finding is simulated, or it is told why not"
    );
}
