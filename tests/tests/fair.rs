//! What waits for knowledge waits in bounded queues: a pod that fills them pushes out its own, and nobody else's. What needs no
//! knowledge, a theft, passes by.

#[path = "support/stage.rs"]
mod stage;
mod support;

use std::path::Path;

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

/// Ready, with its lines in a file.
fn started(stage: &Stage) -> Result<(Daemon, Tail)> {
    let output = stage.lab.dir().join("out.jsonl");
    let mut command = stage.command()?;
    command.arg("--output-file").arg(&output);
    let daemon = Daemon::start(stage, command)?;
    let mut lines = Tail::new(&output);
    lines
        .until("ready", |line| line["event"] == "ready")
        .with_context(|| daemon.log())?;
    Ok((daemon, lines))
}

#[test]
fn a_pod_that_floods_what_waits_pushes_out_only_its_own() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new()?;
    let (quiet, of_quiet) = untold(&mut stage.lab, "quiet")?;
    let (loud, of_loud) = untold(&mut stage.lab, "loud")?;
    let (mut daemon, mut lines) = started(&stage)?;

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

#[test]
fn thefts_pass_a_full_queue_and_take_nobodys_place_in_it() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    /// Less than the strangers' ring holds.
    const THEFTS: usize = 300;
    let mut stage = Stage::new()?;
    let (quiet, of_quiet) = untold(&mut stage.lab, "quiet")?;
    let (loud, of_loud) = untold(&mut stage.lab, "loud")?;
    let root = stage.lab.kubelet_root();
    // Nothing is told of the thief either.
    let spec = PodSpec::new("shop", "thief").with_host_path(&root, "/host/kubelet");
    let thief = stage.lab.start_unlisted(spec)?;
    let stolen = quiet.token_below(Path::new("/host/kubelet"), IRSA);
    let (mut daemon, mut lines) = started(&stage)?;

    stage.lab.run(&quiet, &["peek", &of_quiet])?;
    let times = FLOOD.to_string();
    stage
        .lab
        .run(&loud, &["peek", "--times", &times, &of_loud])?;
    let times = THEFTS.to_string();
    stage.lab.run(
        &thief,
        &["peek", "--times", &times, &stolen.to_string_lossy()],
    )?;
    let is_theft = |line: &Value| {
        line["verdict"] == "violation"
            && line["relation"] == "other-pod"
            && line["token"]["owner"]["uid"] == *quiet.spec.uid.as_str()
    };
    let mut all = Vec::new();
    for _ in 0..THEFTS {
        all.extend(lines.until("a theft", is_theft)?);
    }
    // Of the flood no more went out than had to.
    let is_of = |line: &Value, pod: &Pod| {
        line["token"]["owner"]["uid"] == *pod.spec.uid.as_str() && !is_theft(line)
    };
    ensure!(!all.iter().any(|line| is_of(line, &quiet)), "it waits");
    stage.lab.list(&quiet)?;
    all.extend(lines.until("the quiet pod's open", |line| is_of(line, &quiet))?);
    let own = all.last().context("no line")?;
    ensure!(own["verdict"] == "allowed", "{own}");
    let out = all.iter().filter(|line| is_of(line, &loud)).count();
    // The quiet pod has one place.
    ensure!(out <= FLOOD - (SHARE - 1), "{out} of the flood made room");
    ensure!(daemon.stop()?.success(), "{}", daemon.log());
    all.extend(lines.rest()?);
    ensure!(all.iter().filter(|line| is_theft(line)).count() == THEFTS);
    ensure!(all.iter().filter(|line| is_of(line, &loud)).count() == FLOOD);
    Ok(())
}
