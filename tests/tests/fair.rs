//! What waits for knowledge waits in bounded queues: a pod that fills them pushes out its own, and nobody else's.

#[path = "support/stage.rs"]
mod stage;
mod support;

use anyhow::{Context, Result, ensure};
use lab::node::{Lab, Pod, PodSpec, cluster::ROLES, pod::IRSA};
use serde_json::Value;
use stage::{Daemon, Stage};
use support::{Tail, is_root};

/// More than the queue of opens holds, and less than the kernel's ring.
const FLOOD: usize = 1_400;
/// Of the queue, what is not kept for strangers.
const SHARE: usize = 768;

/// A pod with a role that the control plane does not tell of yet.
fn untold(lab: &mut Lab, app: &str) -> Result<(Pod, String)> {
    let role = format!("{ROLES}/shop-{app}");
    lab.cluster.annotate("shop", app, &role)?;
    let pod = lab.start_unlisted(PodSpec::new("shop", app).with_irsa(&role))?;
    let path = pod.spec.token(IRSA).context("no token")?.path();
    Ok((pod, path))
}

#[test]
fn a_pod_that_floods_what_waits_pushes_out_only_its_own() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new()?;
    let (quiet, of_quiet) = untold(&mut stage.lab, "quiet")?;
    let (loud, of_loud) = untold(&mut stage.lab, "loud")?;
    let output = stage.lab.dir().join("out.jsonl");
    let mut command = stage.command()?;
    command.arg("--output-file").arg(&output);
    let mut daemon = Daemon::start(&stage, command)?;
    let mut lines = Tail::new(&output);
    lines
        .until("ready", |line| line["event"] == "ready")
        .with_context(|| daemon.log())?;

    stage.lab.run(&quiet, &["peek", &of_quiet])?;
    let times = FLOOD.to_string();
    stage
        .lab
        .run(&loud, &["peek", "--times", &times, &of_loud])?;
    let is_of = |line: &Value, pod: &Pod| line["token"]["owner"]["uid"] == *pod.spec.uid.as_str();
    let mut out = Vec::new();
    while out.len() < FLOOD - SHARE {
        let line = lines.until("what there is no room for", |line| {
            line["event"] == "token_open"
        })?;
        out.extend(line);
    }
    let undetermined = |line: &Value| is_of(line, &loud) && line["verdict"] == "undetermined";
    ensure!(
        out.iter().all(undetermined),
        "others than the flood's: {:?}",
        out.iter().find(|line| !undetermined(line))
    );
    // The one that waited all the while is judged with what is told now.
    stage.lab.list(&quiet)?;
    let told = lines.until("the quiet pod's open", |line| is_of(line, &quiet))?;
    let line = told.last().context("no line")?;
    ensure!(
        line["verdict"] == "allowed" && line["pod"]["name"] == *quiet.spec.name,
        "{line}"
    );
    ensure!(daemon.stop()?.success(), "{}", daemon.log());
    let rest = lines.rest()?;
    let of_loud = |lines: &[Value]| lines.iter().filter(|line| is_of(line, &loud)).count();
    ensure!(of_loud(&out) + of_loud(&told) + of_loud(&rest) == FLOOD);
    Ok(())
}
