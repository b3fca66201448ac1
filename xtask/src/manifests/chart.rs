//! The Helm chart, by Helm itself: what it renders, what it refuses, and whether API servers would take it.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{
    cases::{cases, expectations, refusals, with},
    check::Tally,
    engines::{Engines, KUBERNETES, NAMESPACE, Rendered},
    objects, read,
};
use crate::process;

/// What [`super::kustomize`] compares, by the names of [`cases`].
pub type All = Vec<(&'static str, Rendered)>;

pub fn directory() -> PathBuf {
    process::workspace().join("manifests/helm/credential-auditor")
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
    tally.note(
        "the chart in another namespace is of that one, its alerts too",
        check_elsewhere(engines),
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

/// Alerts that ask for another namespace's series never fire.
fn check_elsewhere(engines: &Engines) -> Result<()> {
    const ELSEWHERE: &str = "elsewhere";
    let cases = cases();
    let operator = cases.iter().find(|case| case.name == "operator");
    let values = &operator.context("no such case")?.values;
    let answer = engines.render_in(ELSEWHERE, &directory(), &[values])?.pop();
    let rendered = answer
        .context("no answer")?
        .map_err(|error| anyhow::anyhow!(error))?;
    for object in &rendered.objects {
        let (name, namespace) = objects::key(object);
        let is_there = namespace.is_none_or(|namespace| namespace == ELSEWHERE);
        ensure!(is_there, "{name} is in another namespace");
    }
    let rule = |object: &&Value| object["kind"] == "PrometheusRule";
    let rule = rendered.objects.iter().find(rule).context("no alerts")?;
    let groups = objects::list(&rule["spec"]["groups"]);
    let rules = groups.flat_map(|group| objects::list(&group["rules"]));
    let asked: String = rules.filter_map(|rule| rule["expr"].as_str()).collect();
    let ours = |name: &str| {
        asked.contains(&format!(
            r#"namespace="{name}", job="{name}/credential-auditor""#
        ))
    };
    ensure!(ours(ELSEWHERE) && !ours(NAMESPACE), "its alerts are not");
    ensure!(
        !asked.contains(&format!("\"{NAMESPACE}")),
        "an alert asks for {NAMESPACE}"
    );
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
