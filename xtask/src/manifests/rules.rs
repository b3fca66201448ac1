//! The rule file: what it must hold, and the PrometheusRule of the same groups.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{Files, read};

const SEVERITIES: [&str; 3] = ["critical", "warning", "info"];
/// What stands between the base and a runbook's name.
const RUNBOOKS: &str = "/manifests/runbooks/";

const HEADER: &str = "\
# Written by `cargo xtask manifests render` from credential-auditor.rules.yaml, which says what the rules mean: edit that one.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: credential-auditor
  namespace: credential-auditor
  labels: {app.kubernetes.io/name: credential-auditor}
spec:
";

/// What every selector of ours says in the rule file, where any job of that name may be meant…
const ANY_JOB: &str = r#"job=~"(.+/)?credential-auditor""#;
/// …and in the PrometheusRule, of the PodMonitor beside it: the Operator makes the job of its namespace and name. The chart puts its own
/// namespace there.
const ONE_JOB: &str =
    r#"namespace="credential-auditor", job="credential-auditor/credential-auditor""#;

/// One rule: its name (alert or record) and all of it.
pub struct Rule {
    pub name: String,
    pub is_alert: bool,
    pub value: Value,
}

/// The rules of all groups.
///
/// # Errors
/// When it is no YAML, or a rule has no name.
pub fn parse(text: &str) -> Result<Vec<Rule>> {
    let file: Value = serde_saphyr::from_str(text).context("the rules are no YAML")?;
    let groups = file["groups"].as_array().context("no groups")?;
    let mut rules = Vec::new();
    for group in groups {
        for value in group["rules"].as_array().context("a group without rules")? {
            let alert = value["alert"].as_str();
            let name = alert.or(value["record"].as_str());
            rules.push(Rule {
                name: name.context("a rule without a name")?.to_owned(),
                is_alert: alert.is_some(),
                value: value.clone(),
            });
        }
    }
    Ok(rules)
}

/// The PrometheusRule: the groups as they stand there, comments and all, two columns further in, and of one namespace.
pub fn render(rules: &str) -> Result<String> {
    let (_, groups) = rules
        .split_once("\ngroups:\n")
        .context("no line `groups:`")?;
    let mut rendered = format!("{HEADER}  groups:\n");
    for line in groups.lines() {
        if !line.is_empty() {
            rendered.push_str("  ");
            rendered.push_str(&line.replace(ANY_JOB, ONE_JOB));
        }
        rendered.push('\n');
    }
    Ok(rendered)
}

/// That both files hold the same groups, and the second one is as it would be written.
pub fn check_rendered(rules: &str, rendered: &str) -> Result<()> {
    let plain: Value = serde_saphyr::from_str(&rules.replace(ANY_JOB, ONE_JOB))?;
    let resource: Value =
        serde_saphyr::from_str(rendered).context("the PrometheusRule is no YAML")?;
    ensure!(
        plain["groups"] == resource["spec"]["groups"],
        "the PrometheusRule has other groups than the rule file; run: cargo xtask manifests render"
    );
    ensure!(
        render(rules)? == rendered,
        "the PrometheusRule is not as it would be written; run: cargo xtask manifests render"
    );
    Ok(())
}

/// The PrometheusRule as promtool takes it, and the tests for it: those of the rule file, and `more`, which only hold where one namespace
/// is meant.
///
/// # Errors
/// When one of them is no YAML.
pub fn of_one_namespace(
    prometheus_rule: &str,
    tests: &str,
    more: &str,
    name: &str,
) -> Result<[Value; 2]> {
    let resource: Value = serde_saphyr::from_str(prometheus_rule)?;
    let mut tests: Value = serde_saphyr::from_str(tests).context("the rule tests are no YAML")?;
    let more: Value = serde_saphyr::from_str(more).context("the tests of forged series")?;
    tests["rule_files"] = json!([name]);
    let cases = tests["tests"].as_array_mut().context("no tests")?;
    // `absent` has the labels that it was asked for.
    let alerts = cases
        .iter_mut()
        .filter_map(|case| case["alert_rule_test"].as_array_mut())
        .flatten()
        .filter(|test| test["alertname"] == "CredentialAuditorAbsent");
    for expected in alerts
        .filter_map(|test| test["exp_alerts"].as_array_mut())
        .flatten()
    {
        expected["exp_labels"]["namespace"] = json!("credential-auditor");
        expected["exp_labels"]["job"] = json!("credential-auditor/credential-auditor");
    }
    let more = more["tests"].as_array().context("no tests")?;
    cases.extend(more.iter().cloned());
    Ok([resource["spec"].clone(), tests])
}

/// That an alert has what the one who is woken by it needs. Gives the base of its runbook's address.
pub fn check_alert(alert: &Rule, files: &Files) -> Result<String> {
    let severity = alert.value["labels"]["severity"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        SEVERITIES.contains(&severity),
        "its severity is `{severity}`"
    );
    let text = |name: &str| {
        alert.value["annotations"][name]
            .as_str()
            .unwrap_or_default()
    };
    for name in ["summary", "description"] {
        ensure!(!text(name).is_empty(), "it has no {name}");
    }
    let url = text("runbook_url");
    let Some((base, file)) = url.split_once(RUNBOOKS) else {
        bail!(
            "its runbook_url is not BASE{RUNBOOKS}{}.md: {url}",
            alert.name
        );
    };
    ensure!(
        base.starts_with("https://"),
        "its runbook_url is no https: {url}"
    );
    ensure!(
        file == format!("{}.md", alert.name),
        "its runbook is another's: {url}"
    );
    ensure!(
        files.runbooks.join(file).is_file(),
        "there is no runbook {file}"
    );
    Ok(base.to_owned())
}

/// That the rule tests show each alert firing and not firing.
pub fn check_tests(alerts: &BTreeSet<&str>, tests: &str) -> Result<()> {
    let tests: Value = serde_saphyr::from_str(tests).context("the rule tests are no YAML")?;
    let cases = tests["tests"].as_array().into_iter().flatten();
    let cases = cases.flat_map(|test| test["alert_rule_test"].as_array().into_iter().flatten());
    let (mut firing, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for case in cases {
        let name = case["alertname"].as_str().unwrap_or_default();
        match case["exp_alerts"].as_array() {
            Some(expected) if !expected.is_empty() => firing.insert(name),
            _ => silent.insert(name),
        };
    }
    let untested = |shown: &BTreeSet<&str>| {
        let names: Vec<_> = alerts.difference(shown).copied().collect();
        names.join(", ")
    };
    ensure!(
        alerts.is_subset(&firing),
        "never shown firing: {}",
        untested(&firing)
    );
    ensure!(
        alerts.is_subset(&silent),
        "never shown silent: {}",
        untested(&silent)
    );
    let known = firing.union(&silent).copied().collect::<BTreeSet<_>>();
    let unknown: Vec<_> = known.difference(alerts).copied().collect();
    ensure!(
        unknown.is_empty(),
        "there are no such alerts: {}",
        unknown.join(", ")
    );
    Ok(())
}

/// Writes another base into the rules and their tests.
pub fn rebase(files: &Files, base: &str) -> Result<()> {
    ensure!(
        base.starts_with("https://") && !base.contains(['\'', '"', ' ']),
        "--runbooks wants an https address, not `{base}`"
    );
    let rules = read(&files.rules)?;
    let urls = parse(&rules)?;
    let url = urls
        .iter()
        .find_map(|rule| rule.value["annotations"]["runbook_url"].as_str())
        .context("no runbook_url")?;
    let (old, _) = url.split_once(RUNBOOKS).context("a strange runbook_url")?;
    let (old, new) = (format!("{old}{RUNBOOKS}"), format!("{base}{RUNBOOKS}"));
    for path in [&files.rules, &files.rule_tests] {
        let text = read(path)?.replace(&old, &new);
        fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "# Of us.\ngroups:\n  - name: g\n    rules:\n      # Why.\n      - alert: A\n        expr: |\n          up == 0\n          or\n          up == 2\n\n      - record: r\n        expr: up\n";

    #[test]
    fn the_rendering_is_the_same_rules() {
        let rendered = render(RULES).unwrap();
        check_rendered(RULES, &rendered).unwrap();
        let other = rendered.replace("up == 2", "up == 3");
        let error = check_rendered(RULES, &other).unwrap_err().to_string();
        assert!(error.contains("other groups"), "{error}");
        let commented = rendered.replace("# Why.", "# Because.");
        assert!(check_rendered(RULES, &commented).is_err());
        let names: Vec<_> = parse(RULES)
            .unwrap()
            .into_iter()
            .map(|r| (r.name, r.is_alert))
            .collect();
        assert_eq!(names, [("A".to_owned(), true), ("r".to_owned(), false)]);
    }

    #[test]
    fn an_alert_that_is_not_shown_both_ways_is_an_error() {
        let case = |name: &str, expected: &str| {
            format!(
                "  - alert_rule_test:\n      - {{eval_time: 1m, alertname: {name}{expected}}}\n"
            )
        };
        let (fires, silent) = (", exp_alerts: [{exp_labels: {a: b}}]", "");
        let alerts = BTreeSet::from(["A"]);
        let of = |cases: &[String]| check_tests(&alerts, &format!("tests:\n{}", cases.concat()));
        of(&[case("A", fires), case("A", silent)]).unwrap();
        assert!(of(&[case("A", fires)]).is_err());
        assert!(of(&[case("A", silent)]).is_err());
        assert!(of(&[case("A", fires), case("A", silent), case("B", silent)]).is_err());
    }
}
