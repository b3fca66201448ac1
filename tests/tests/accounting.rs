//! An account that adds up: a real loss in the kernel's ring is announced with its number, and metrics and totals agree. What
//! happens while a ring is full is written or counted, a theft too.

#[path = "support/stage.rs"]
mod stage;
mod support;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use lab::{
    node::PodSpec,
    scene::{host_path_of, with_host_kubelet},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stage::{Daemon, Stage, count, lost, metric, wait_for};
use support::{Tail, is_root};

/// Twice what the ring holds.
const MANY: u32 = 4_000;

/// What `work` does while nobody reads the rings; nobody waits for that either.
fn unread(daemon: &Daemon, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let pid = Pid::from_raw(daemon.child.id().try_into()?).context("no pid")?;
    kill_process(pid, Signal::STOP)?;
    let result = work();
    kill_process(pid, Signal::CONT)?;
    result
}

/// Sum of the counts of `loss` lines of that ring.
fn lost_of(lines: &[Value], ring: &str) -> u64 {
    let losses = lines.iter().filter(|line| line["ring"] == ring);
    losses.filter_map(|line| line["count"].as_u64()).sum()
}

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

    let stopped_at = Timestamp::now();
    unread(&daemon, || {
        stage.flood(MANY)?;
        // While the flood's ring is full; thefts have one of their own.
        stage.steal()
    })?;
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
    if !all.iter().any(|line| stage.is_theft(line)) {
        all.extend(lines.until("the theft in the flood", |line| stage.is_theft(line))?);
    }
    stage.steal()?;
    all.extend(lines.until("the theft", |line| stage.is_theft(line))?);
    // Thefts pass by what was read before them.
    let told = |all: &[Value]| count(all, |line| stage.is_noise(line)) + lost(all, "ring-full");
    while told(&all) < u64::from(MANY) {
        all.extend(lines.until("the rest of the flood", |line| {
            stage.is_noise(line) || line["event"] == "loss"
        })?);
    }
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

#[test]
fn a_theft_while_the_ring_of_thefts_is_full_is_in_the_account() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    // Twice what that ring holds.
    const THEFTS: u64 = 1_600;
    let mut stage = Stage::new()?;
    let second = with_host_kubelet(&mut stage.lab, PodSpec::new("shop", "second"))?;
    let output = stage.lab.dir().join("out.jsonl");
    let mut command = stage.command()?;
    command.arg("--output-file").arg(&output);
    let mut daemon = Daemon::start(&stage, command)?;
    let mut lines = Tail::new(&output);
    lines.until("ready", |line| line["event"] == "ready")?;

    let path = host_path_of(&stage.victim);
    unread(&daemon, || {
        let times = THEFTS.to_string();
        stage
            .lab
            .run(&stage.thief, &["peek", "--times", &times, &path])?;
        // There is no room for these two: neither for another thief's, nor, from here on, for plain opens behind them.
        stage.lab.run(&second, &["peek", &path])?;
        stage.flood(MANY).map(drop)
    })?;
    let is_thefts_loss = |line: &Value| line["event"] == "loss" && line["ring"] == "strangers";
    let mut all = lines.until("the loss", is_thefts_loss)?;
    // As soon as there is room again, there is a line again.
    stage.lab.run(&second, &["peek", &path])?;
    let is_of_second = |line: &Value| {
        line["event"] == "token_open" && line["pod"]["uid"] == *second.spec.uid.as_str()
    };
    all.extend(lines.until("the second thief's", is_of_second)?);
    ensure!(daemon.stop()?.success(), "{}", daemon.log());
    all.extend(lines.rest()?);

    let told = count(&all, |line| stage.is_theft(line));
    let of_second = count(&all, is_of_second);
    let gone = lost_of(&all, "strangers");
    println!("{THEFTS} thefts: {told} lines; of another's 2: {of_second}; {gone} lost");
    ensure!(gone > 0, "the ring was not full");
    ensure!(
        told + of_second + gone == THEFTS + 2,
        "{told} + {of_second} + {gone}"
    );
    let noise = count(&all, |line| stage.is_noise(line));
    ensure!(
        noise + lost_of(&all, "events") == u64::from(MANY),
        "{noise}"
    );
    Ok(())
}
