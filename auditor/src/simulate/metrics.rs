//! An auditor's own metrics, read back: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use super::Labels;

const FINDINGS: &str = "credential_auditor_findings_total";
const PROBES: &str = "credential_auditor_probe_info";

/// Findings above `info` that concern the namespace, with the labels that their alerts carry.
pub fn findings(text: &str, namespace: &str) -> Vec<Labels> {
    let is_of =
        |labels: &Labels, side: &str| labels.get(side).is_some_and(|name| name == namespace);
    let found = series(text, FINDINGS).filter(|labels| {
        let concerns = is_of(labels, "workload_namespace") || is_of(labels, "owner_namespace");
        concerns && labels.get("severity").is_some_and(|word| word != "info")
    });
    found
        .map(|mut labels| {
            let severity = labels.remove("severity").unwrap_or_default();
            labels.insert("finding_severity".to_owned(), severity);
            labels
        })
        .collect()
}

/// How each hook is watched.
pub fn probes(text: &str) -> Vec<Labels> {
    series(text, PROBES).collect()
}

/// Series of the metric whose value is not 0.
fn series<'a>(text: &'a str, metric: &'a str) -> impl Iterator<Item = Labels> + 'a {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(metric)?.strip_prefix('{')?;
        let (labels, rest) = labels(rest)?;
        let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
        (value > 0.0).then_some(labels)
    })
}

/// Up to the closing brace, and what is behind it.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut found = Labels::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((found, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, behind) = text(quoted)?;
        found.insert(name.to_owned(), value);
        rest = behind;
    }
}

/// Up to the closing quote, and what is behind it.
fn text(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_concerns_the_namespace() {
        let text = r#"# HELP credential_auditor_findings_total x
credential_auditor_findings_total{finding="role-drift",severity="high",workload_namespace="sim",workload_service_account="a",owner_namespace="",owner_service_account=""} 1
credential_auditor_findings_total{finding="a\"}b\\",severity="high",workload_namespace="x",owner_namespace="sim"} 2
credential_auditor_findings_total{finding="none",severity="high",workload_namespace="sim"} 0
credential_auditor_findings_total{finding="mild",severity="info",workload_namespace="sim"} 1
credential_auditor_findings_total{finding="other",severity="high",workload_namespace="shop"} 1
credential_auditor_findings_total{finding="broken
credential_auditor_probe_info{hook="socket_create",backend="none"} 1
credential_auditor_probe_info{hook="socket_create",backend="fentry"} 0
"#;
        let found = findings(text, "sim");
        let names: Vec<&str> = found.iter().map(|one| one["finding"].as_str()).collect();
        assert_eq!(names, ["role-drift", "a\"}b\\"]);
        assert_eq!(found[0]["finding_severity"], "high");
        let probes = probes(text);
        assert_eq!(probes.len(), 1);
        assert_eq!(probes[0]["backend"], "none");
    }
}
