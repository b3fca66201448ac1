//! `cargo xtask manifests check`: everything of the manifests that a program can hold against something. That each metric and label that
//! is asked for is counted, a test of the auditor holds (`auditor/src/metrics/manifests.rs`).

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{Files, chart, dashboard, kustomize, read, rules, runbooks, values};
use crate::{
    apt, process,
    prometheus::{self, Programs},
    summary::Counts,
};

/// Results, told as they come.
#[derive(Default)]
pub(super) struct Tally(Counts);

impl Tally {
    pub(super) fn note(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => {
                self.0.passed += 1;
                println!("ok   {name}");
            }
            Err(error) => {
                self.0.failed += 1;
                println!("FAIL {name}: {error:#}");
            }
        }
    }

    pub(super) fn skip(&mut self, what: &str, why: &anyhow::Error) {
        println!("skipped: {what}: {why:#}");
        self.0.skipped += 1;
    }
}

/// # Errors
/// When something cannot be read at all. What is wrong in it is counted.
pub fn ci() -> Result<Counts> {
    let files = Files::ours();
    let mut tally = Tally::default();
    let alerts = check_alerts(&files, &mut tally)?;
    let runbooks = runbooks::all(&files)?;
    for runbook in &runbooks {
        let known = alerts.contains(&runbook.name).then_some(());
        let checked = known.context("no alert has its name");
        tally.note(&format!("runbook {}", runbook.name), checked);
    }
    let panels = dashboard::panels(&files.dashboard)?;
    tally.note(&format!("dashboard of {} panels", panels.len()), Ok(()));
    let mut queries: Vec<String> = Vec::new();
    queries.extend(runbooks.iter().flat_map(|runbook| runbook.promql.clone()));
    let asked = dashboard::queries(&panels, "5m", "1h");
    let asked = asked.as_array().into_iter().flatten();
    queries.extend(asked.filter_map(|query| query["expr"].as_str().map(str::to_owned)));
    match prometheus::programs() {
        Ok(Programs { promtool, .. }) => {
            tally.note("promtool check rules", check_rules(&promtool, &files.rules));
            tally.note(
                "promtool test rules",
                test_rules(&promtool, &files.rule_tests),
            );
            tally.note(
                "promtool on the PrometheusRule, which forged series do not reach",
                check_operator(&promtool, &files),
            );
            let name = format!("{} queries are PromQL", queries.len());
            tally.note(&name, check_queries(&promtool, &queries));
        }
        Err(why) => tally.skip("promtool", &why),
    }
    match apt::ensure_program("jq", "jq", "runs the queries of the runbooks") {
        Ok(()) => tally.note(
            "jq in runbooks runs, on fields that there are",
            check_jq(&runbooks),
        ),
        Err(why) => tally.skip("jq", &why),
    }
    tally.note(
        "values.yaml says why, and its schema knows all of it",
        values::check(),
    );
    match super::engines::Engines::open() {
        Ok(engines) => {
            let rendered = chart::check(&engines, &mut tally)?;
            kustomize::check(&engines, &rendered, &mut tally)?;
        }
        Err(why) => tally.skip("the chart and kustomize's base", &why),
    }
    Ok(tally.0)
}

/// The rule files by themselves; gives the alerts' names.
fn check_alerts(files: &Files, tally: &mut Tally) -> Result<BTreeSet<String>> {
    let text = read(&files.rules)?;
    let rules = rules::parse(&text)?;
    let alerts = || rules.iter().filter(|rule| rule.is_alert);
    let names: BTreeSet<&str> = alerts().map(|alert| alert.name.as_str()).collect();
    let count = alerts().count();
    tally.note(
        &format!("{count} alerts have names of their own"),
        ensure_same(count, names.len()),
    );
    let mut bases = BTreeSet::new();
    for alert in alerts() {
        let checked = rules::check_alert(alert, files).map(|base| {
            bases.insert(base);
        });
        tally.note(&format!("alert {}", alert.name), checked);
    }
    tally.note("runbooks have one base", ensure_same(1, bases.len()));
    tally.note(
        "the PrometheusRule is the same",
        check_rendered(files, &text),
    );
    tally.note(
        "rule tests show each alert firing and silent",
        read(&files.rule_tests).and_then(|tests| rules::check_tests(&names, &tests)),
    );
    Ok(names.into_iter().map(str::to_owned).collect())
}

fn ensure_same(wanted: usize, found: usize) -> Result<()> {
    ensure!(wanted == found, "{wanted} are meant, and there are {found}");
    Ok(())
}

fn check_rendered(files: &Files, rules: &str) -> Result<()> {
    rules::check_rendered(rules, &read(&files.prometheus_rule)?)
}

fn check_rules(promtool: &Path, rules: &Path) -> Result<()> {
    let mut command = Command::new(promtool);
    command.args(["check", "rules", "--lint=all", "--lint-fatal"]);
    process::run(command.arg(rules))
}

fn test_rules(promtool: &Path, tests: &Path) -> Result<()> {
    process::run(Command::new(promtool).args(["test", "rules"]).arg(tests))
}

/// The Operator's resource, as the rule file that it makes of it.
fn check_operator(promtool: &Path, files: &Files) -> Result<()> {
    const NAME: &str = "rules.json";
    let directory = process::target_directory().join("manifests-rules");
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let more = process::workspace().join("tests/manifests/forged.test.yaml");
    let [rules, tests] = rules::of_one_namespace(
        &read(&files.prometheus_rule)?,
        &read(&files.rule_tests)?,
        &read(&more)?,
        NAME,
    )?;
    let path = |name: &str| directory.join(name);
    // JSON is YAML.
    fs::write(path(NAME), rules.to_string())?;
    fs::write(path("tests.json"), tests.to_string())?;
    check_rules(promtool, &path(NAME))?;
    test_rules(promtool, &path("tests.json"))
}

/// As rules of their own, which is how promtool takes expressions.
fn check_queries(promtool: &Path, queries: &[String]) -> Result<()> {
    let rules: Vec<Value> = queries
        .iter()
        .enumerate()
        .map(|(at, expr)| json!({"record": format!("check:query:{at}"), "expr": expr}))
        .collect();
    let file = json!({"groups": [{"name": "queries", "rules": rules}]});
    let path = process::target_directory().join("manifests-queries.json");
    // JSON is YAML.
    fs::write(&path, file.to_string()).with_context(|| path.display().to_string())?;
    let mut command = Command::new(promtool);
    command.args(["check", "rules", "--lint=none"]);
    process::run(command.arg(&path))
}

/// That jq takes them, on an event that has nothing, and that the events have the fields.
fn check_jq(runbooks: &[runbooks::Runbook]) -> Result<()> {
    let schema = read(&process::workspace().join("docs/event.schema.json"))?;
    let directory = process::target_directory().join("manifests-jq");
    fs::create_dir_all(&directory)?;
    fs::write(
        directory.join("events.jsonl"),
        "{\"event\":\"token_open\",\"findings\":[]}\n",
    )?;
    for runbook in runbooks {
        for command in &runbook.jq {
            runbooks::check_fields(command, &schema).with_context(|| runbook.name.clone())?;
            runbooks::run_jq(command, &directory).with_context(|| runbook.name.clone())?;
        }
    }
    Ok(())
}
