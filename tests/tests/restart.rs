//! Start, death and restart in the middle of a flood: what was read is written, what was not watched is told, and nothing is left in the
//! kernel.

#[path = "support/stage.rs"]
mod stage;
mod support;

use std::{
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use lab::{auditor, sys::bpf::Objects};
use serde_json::Value;
use stage::{Daemon, Stage, count, lost, wait_for};
use support::{Tail, is_root};

/// So many that none is done before the test is.
const WITHOUT_END: u32 = 200_000;

/// Hooks without a canary.
const MAY_BE_UNPROVEN: [&str; 3] = ["cgroup_lifecycle", "exec_session", "open_before"];

/// Where what flag says is replaced.
fn with(flags: &[String], flag: &str, value: &Path) -> Vec<String> {
    let mut flags = flags.to_vec();
    let at = flags.iter().position(|found| found == flag);
    if let Some(place) = at.and_then(|at| flags.get_mut(at + 1)) {
        *place = value.to_string_lossy().into_owned();
    }
    flags
}

fn start(stage: &Stage, name: &str, flags: &[String]) -> Result<(Daemon, Tail, Vec<Value>)> {
    let output = stage.lab.dir().join(name);
    let mut command = stage.command_with("system.slice/auditor.service", flags)?;
    command.arg("--output-file").arg(&output);
    let daemon = Daemon::start(stage, command)?;
    let mut lines = Tail::new(&output);
    let before = lines
        .until("ready", |line| line["event"] == "ready")
        .with_context(|| daemon.log())?;
    Ok((daemon, lines, before))
}

/// All of it is gone from the kernel; it frees what nobody holds a little later.
fn nothing_left(objects: &Objects) -> Result<()> {
    wait_for("the kernel to have freed all", || {
        Ok(objects.still_there()?.is_empty())
    })
    .with_context(|| format!("left behind: {:?}", objects.still_there()))
}

#[test]
fn a_kill_in_a_flood_leaves_nothing_behind_and_the_next_run_tells_of_the_gap() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new()?;
    let flags = auditor::flags(&stage.lab);
    let (mut first, mut lines, _) = start(&stage, "first.jsonl", &flags)?;
    let objects = Objects::of(first.child.id())?;
    ensure!(
        objects.programs.len() > 3 && objects.maps.len() > 3 && objects.links.len() > 3,
        "{objects:?}"
    );
    ensure!(objects.still_there()? == objects, "the test would see it");
    // A heartbeat a second: the gap's start is known to that.
    thread::sleep(Duration::from_millis(1_200));
    stage.flood_meanwhile(WITHOUT_END)?;
    lines.until("the flood", |line| stage.is_noise(line))?;
    let killed = Timestamp::now();
    first.child.kill()?;
    first.child.wait()?;
    nothing_left(&objects)?;

    let (mut second, mut lines, before) = start(&stage, "second.jsonl", &flags)?;
    let is_gap = |line: &&Value| line["event"] == "health" && line["state"] == "restart-gap";
    let gap = before.iter().find(is_gap).context("no gap is told of")?;
    let message = gap["message"].as_str().unwrap_or_default();
    let times: Vec<Timestamp> = message
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [from, to] = times[..] else {
        anyhow::bail!("no two times: {message}");
    };
    ensure!(
        from <= killed && killed.duration_since(from) < SignedDuration::from_millis(2_500),
        "killed at {killed}: {message}"
    );
    let written: Timestamp = gap["time"].as_str().unwrap_or_default().parse()?;
    ensure!(
        killed < to && to <= written,
        "killed at {killed}, written at {written}: {message}"
    );
    // The flood still goes on.
    stage.steal()?;
    lines.until("the theft", |line| stage.is_theft(line))?;
    ensure!(second.stop()?.success(), "{}", second.log());
    lines.rest().map(drop)
}

#[test]
fn sigterm_in_a_flood_writes_all_that_was_read_and_leaves_nothing_behind() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new()?;
    let (mut daemon, mut lines, _) = start(&stage, "out.jsonl", &auditor::flags(&stage.lab))?;
    let objects = Objects::of(daemon.child.id())?;
    stage.flood_meanwhile(WITHOUT_END)?;
    let mut all = lines.until("the flood", |line| stage.is_noise(line))?;
    let begun = Instant::now();
    let status = daemon.stop()?;
    println!("stopped after {:?}", begun.elapsed());
    ensure!(status.success(), "{status}: {}", daemon.log());
    // That the account is exact, `queued` included, is held line by line.
    all.extend(lines.rest()?);
    ensure!(
        lost(&all, "sink") == 0,
        "the sink was not slow, and lost {}",
        lost(&all, "sink")
    );
    let stopped = all.last().context("no line")?;
    println!("{stopped}");
    ensure!(count(&all, |line| stage.is_noise(line)) > 0);
    nothing_left(&objects)
}

#[test]
fn another_with_the_same_state_leaves_and_one_with_its_own_works_beside_the_first() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new()?;
    let flags = auditor::flags(&stage.lab);
    let (mut first, mut of_first, _) = start(&stage, "first.jsonl", &flags)?;
    let objects = Objects::of(first.child.id())?;

    let mut same: Command = stage.command()?;
    same.arg("--output-file").arg(stage.lab.dir().join("same"));
    support::assert_refused(
        &support::finish(same),
        1,
        &["is in use by another auditor", "--state-dir"],
    );
    ensure!(objects.still_there()? == objects, "it took some along");

    let own = with(&flags, "--state-dir", &stage.lab.dir().join("own-state"));
    let (mut second, mut of_second, _) = start(&stage, "second.jsonl", &own)?;
    let of_the_second = Objects::of(second.child.id())?;
    stage.steal()?;
    of_first.until("the theft", |line| stage.is_theft(line))?;
    of_second.until("the theft, too", |line| stage.is_theft(line))?;
    ensure!(second.stop()?.success(), "{}", second.log());
    of_second.rest()?;
    nothing_left(&of_the_second)?;
    ensure!(objects.still_there()? == objects, "it took some along");
    // The first goes on.
    stage.steal()?;
    of_first.until("another theft", |line| stage.is_theft(line))?;
    ensure!(first.stop()?.success(), "{}", first.log());
    of_first.rest()?;
    nothing_left(&objects)?;
    Ok(())
}

#[test]
fn it_gets_ready_in_a_flood_and_all_that_matched_is_in_its_account() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    for flood_control in [true, false] {
        let mut stage = Stage::new()?;
        stage.flood_control = flood_control;
        let noise = stage.flood_without_end()?;
        let begun = Instant::now();
        let (mut daemon, mut lines, before) =
            start(&stage, "out.jsonl", &auditor::flags(&stage.lab))?;
        println!(
            "flood control {flood_control}: ready after {:?}",
            begun.elapsed()
        );
        let ready = before.last().context("no ready")?;
        let hooks = ready["backends"].as_object().context("no hooks")?;
        for (hook, status) in hooks {
            ensure!(
                status["state"] == "live"
                    || status["state"] == "unavailable"
                    || MAY_BE_UNPROVEN.contains(&hook.as_str()),
                "{hook}: {status}"
            );
        }
        let is_doubt = |line: &Value| line["component"] == "self-test" && line["state"] != "ok";
        let mut all = lines.until("the flood", |line| stage.is_noise(line))?;
        stage.steal()?;
        all.extend(lines.until("the theft", |line| stage.is_theft(line))?);
        daemon.until_readyz(ready, 200, "")?;
        stage.quiet(noise)?;
        ensure!(daemon.stop()?.success(), "{}", daemon.log());
        // That the account is exact is held line by line.
        all.extend(lines.rest()?);
        let doubt = before.iter().chain(&all).find(|line| is_doubt(line));
        ensure!(doubt.is_none(), "{doubt:?}");
        let stopped = all.last().context("no line")?;
        println!("{stopped}");
        ensure!(count(&all, |line| stage.is_theft(line)) == 1);
        let folded = stopped["flooded"].as_u64().unwrap_or_default();
        ensure!((folded > 0) == flood_control, "{stopped}");
    }
    Ok(())
}
