//! The attack simulation before a real Prometheus: exactly the alerts fire that it announces, by its own `verify`.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::watch::Watch;
use crate::{
    auditor::Auditor,
    play::{Fence, settle},
    scene::Stage,
    simulation,
};

/// Plays it and asks `auditor simulate verify`; what fires for it counts as raised. What was seen, for a human.
pub fn perform(
    stage: &mut Stage,
    program: &Path,
    auditor: &mut Auditor,
    fence: &Fence,
    watch: &mut Watch,
) -> Result<String> {
    let program = &std::path::absolute(program)?;
    let prometheus = watch.api().addr;
    // Of what was not played it must say that it is missing.
    let before = verify(program, prometheus, "0")?;
    let verdict = read(&before)?;
    ensure!(
        before.status.code() == Some(1) && states(&verdict).keys().all(|state| *state != "firing"),
        "before anything was played: {verdict}"
    );
    let played = simulation::play(&mut stage.lab, program)?;
    let after = verify(program, prometheus, "60")?;
    let verdict = read(&after)?;
    let answers = verdict["answers"].as_array().context("no answers")?;
    ensure!(
        after.status.success(),
        "it ended with {}: {verdict:#}",
        after.status
    );
    // What `verify` asks after by itself is what the pods announced.
    let announced = played.announced();
    ensure!(
        answers.len() == announced.len(),
        "{} were asked after, and {} announced",
        answers.len(),
        announced.len()
    );
    for one in &announced {
        let answer = answers
            .iter()
            .find(|answer| answer["labels"] == one["labels"] && answer["alert"] == one["alert"]);
        let answer = answer.with_context(|| format!("it did not ask after {one}"))?;
        let hook = one["hook"].as_str();
        let is_watched =
            hook.is_none_or(|hook| stage.hooks.get(hook).is_some_and(|by| by != "none"));
        let state = if is_watched { "firing" } else { "unwatched" };
        ensure!(answer["state"] == state, "not {state}: {answer}");
        if is_watched {
            watch.count(one["alert"].as_str().context("no alert")?);
        }
    }
    // Which lines it makes, `tests/tests/simulate.rs` holds; here they are read past.
    let mut is_its_own = |line: &Value| {
        let owner = &line["token"]["owner"]["namespace"];
        [&line["pod"]["namespace"], owner]
            .into_iter()
            .any(|namespace| *namespace == played.namespace)
    };
    let (tally, _) = settle(Ok(vec![]), &mut stage.lab, auditor, fence, &mut is_its_own)?;
    ensure!(tally.exact(), "{tally}");
    let states = states(&verdict);
    Ok(format!("{} alerts announced: {states:?}", announced.len()))
}

fn states(verdict: &Value) -> BTreeMap<&str, usize> {
    let mut states = BTreeMap::new();
    for answer in verdict["answers"].as_array().into_iter().flatten() {
        *states
            .entry(answer["state"].as_str().unwrap_or("?"))
            .or_default() += 1;
    }
    states
}

fn verify(program: &Path, prometheus: SocketAddr, timeout: &str) -> Result<Output> {
    let url = format!("http://{prometheus}");
    let mut command = Command::new(program);
    command.args([
        "simulate",
        "verify",
        "--output",
        "json",
        "--timeout",
        timeout,
    ]);
    command.args(["--prometheus", &url]).stdin(Stdio::null());
    // Loopback has no proxy.
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.output().context("start auditor simulate verify")
}

fn read(output: &Output) -> Result<Value> {
    serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}
