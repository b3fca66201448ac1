//! An account that adds up: a real loss in the kernel's ring is announced with its number, and metrics and totals agree.

#[path = "support/stage.rs"]
mod stage;
mod support;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stage::{Daemon, Stage, count, lost, metric, wait_for};
use support::{Tail, is_root};

/// Twice what the ring holds.
const MANY: u32 = 4_000;

#[test]
fn what_a_full_ring_loses_is_told_and_counted_exactly() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new()?;
    let output = stage.lab.dir().join("out.jsonl");
    let mut command = stage.command()?;
    command.arg("--output-file").arg(&output);
    let mut daemon = Daemon::start(&stage, command)?;
    let mut lines = Tail::new(&output);
    let before = lines.until("ready", |line| line["event"] == "ready")?;
    let ready = before.last().context("no ready")?.clone();

    let pid = Pid::from_raw(daemon.child.id().try_into()?).context("no pid")?;
    let stopped_at = Timestamp::now();
    kill_process(pid, Signal::STOP)?;
    // Nobody reads the ring, and the opener does not wait.
    let flood = stage.flood(MANY);
    kill_process(pid, Signal::CONT)?;
    flood?;
    let continued_at = Timestamp::now();
    let mut all = lines.until("the loss", |line| line["event"] == "loss")?;
    let loss = all.last().context("no loss")?.clone();
    ensure!(
        loss["reason"] == "ring-full" && loss["ring"] == "events",
        "{loss}"
    );
    let time =
        |name: &str| -> Result<Timestamp> { Ok(loss[name].as_str().unwrap_or_default().parse()?) };
    ensure!(
        time("from")? <= stopped_at && time("to")? >= continued_at,
        "from {stopped_at} to {continued_at} nobody read: {loss}"
    );
    stage.steal()?;
    all.extend(lines.until("the theft", |line| stage.is_theft(line))?);
    wait_for("an empty queue", || {
        Ok(metric(&ready, "queue_depth", "") == 0.0)
    })?;
    let of_metrics = [
        ("lost", metric(&ready, "events_lost_total", "")),
        ("folded", metric(&ready, "events_folded_total", "")),
        (
            "counted_only",
            metric(&ready, "events_counted_only_total", ""),
        ),
        (
            "lines",
            metric(&ready, "events_total", r#"event="token_open""#),
        ),
        ("queued", metric(&ready, "queue_depth", "")),
    ];
    ensure!(daemon.stop()?.success(), "{}", daemon.log());
    all.extend(lines.rest()?);

    let noise = count(&all, |line: &Value| stage.is_noise(line));
    let gone = lost(&all, "ring-full");
    println!("{MANY} opens: {noise} lines, {gone} lost");
    ensure!(
        gone > 0 && noise + gone == u64::from(MANY),
        "{noise} {gone}"
    );
    let stopped = all.last().context("no line")?;
    for (total, found) in of_metrics {
        ensure!(
            stopped[total].as_u64().map(|total| total as f64) == Some(found),
            "{total}: {found} by its metric: {stopped}"
        );
    }
    Ok(())
}
