//! The simulation before an auditor that runs: exactly what it announces is found, by its own `verify`.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::play::play;
use crate::{
    auditor::Auditor,
    patience,
    play::{Fence, settle},
    scene::Stage,
};

/// Whom `auditor simulate verify` asks.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// Which alerts fire.
    Prometheus(SocketAddr),
    /// What its metrics have counted.
    Auditor(SocketAddr),
}

impl Asked {
    fn flags(self) -> [String; 2] {
        match self {
            Self::Prometheus(address) => ["--prometheus".to_owned(), format!("http://{address}")],
            Self::Auditor(address) => ["--auditor".to_owned(), format!("http://{address}/metrics")],
        }
    }
}

/// What the pods announced.
pub struct Verified {
    /// What is told of here, as `auditor simulate run` announces it.
    pub watched: Vec<Value>,
    /// What nothing watches on this machine.
    pub unwatched: Vec<Value>,
    pub namespace: String,
    /// How often which state was answered, for a human.
    pub states: BTreeMap<String, usize>,
}

/// Plays it and asks `auditor simulate verify`.
///
/// # Errors
/// With what is missing, or too much, or found before anything was played.
pub fn verified(
    stage: &mut Stage,
    program: &Path,
    auditor: &mut Auditor,
    fence: &Fence,
    asked: Asked,
) -> Result<Verified> {
    let program = &std::path::absolute(program)?;
    // Of what was not played it must say that it is missing.
    let before = ask(program, asked, 0)?;
    let verdict = read(&before)?;
    ensure!(
        before.status.code() == Some(1) && !states(&verdict).contains_key("firing"),
        "before anything was played: {verdict}"
    );
    let played = play(&mut stage.lab, program)?;
    let after = ask(program, asked, 60 * patience().min(4))?;
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
    let is_watched = |one: &Value| {
        let hook = one["hook"].as_str();
        hook.is_none_or(|hook| stage.hooks.get(hook).is_some_and(|by| by != "none"))
    };
    for one in &announced {
        let answer = answers
            .iter()
            .find(|answer| answer["labels"] == one["labels"] && answer["alert"] == one["alert"]);
        let answer = answer.with_context(|| format!("it did not ask after {one}"))?;
        let state = if is_watched(one) {
            "firing"
        } else {
            "unwatched"
        };
        ensure!(answer["state"] == state, "not {state}: {answer}");
    }
    let (watched, unwatched) = announced.into_iter().partition(is_watched);
    // Which lines it makes, `tests/tests/simulate.rs` holds; here they are read past.
    let mut is_its_own = |line: &Value| {
        let owner = &line["token"]["owner"]["namespace"];
        [&line["pod"]["namespace"], owner]
            .into_iter()
            .any(|namespace| *namespace == played.namespace)
    };
    let (tally, _) = settle(Ok(vec![]), &mut stage.lab, auditor, fence, &mut is_its_own)?;
    ensure!(tally.exact(), "{tally}");
    Ok(Verified {
        watched,
        unwatched,
        namespace: played.namespace,
        states: states(&verdict),
    })
}

fn states(verdict: &Value) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::new();
    for answer in verdict["answers"].as_array().into_iter().flatten() {
        let state = answer["state"].as_str().unwrap_or("?");
        *states.entry(state.to_owned()).or_default() += 1;
    }
    states
}

/// `seconds`: how long it may ask.
fn ask(program: &Path, asked: Asked, seconds: u32) -> Result<Output> {
    let mut command = Command::new(program);
    command.args(["simulate", "verify", "--output", "json", "--timeout"]);
    command.arg(seconds.to_string());
    command.args(asked.flags()).stdin(Stdio::null());
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
