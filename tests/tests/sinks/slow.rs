//! The reader takes lines, and fewer of them than a pod makes: what is grave waits in line for a few seconds, and is never lost.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lab::patience;
use serde_json::Value;

use crate::{
    stage::{Daemon, Reader, Stage, count, lost, metric, wait_for},
    support::{get, is_root},
};

/// Lines a second that the reader takes.
const TAKEN: u32 = 200;
/// Of them, what waits in front of a theft: the queue (`report::QUEUE_CAPACITY`), and what a pipe of 64 KiB and a line's buffer
/// hold of lines of a kilobyte.
const IN_FRONT: u32 = 2_048 + 64 + 8;

#[test]
fn a_slow_reader_gets_each_theft_soon_while_a_pod_floods_without_end() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    const THEFTS: u64 = 3;
    let mut stage = Stage::new()?;
    let mut command = stage.command()?;
    command.stdout(Stdio::piped());
    let mut daemon = Daemon::start(&stage, command)?;
    let mut reader = Reader::new(daemon.child.stdout.take().context("no pipe")?);
    let ready = reader.ready()?;
    reader.pace(Duration::from_secs(1) / TAKEN);
    let noise = stage.flood_without_end()?;
    // As crowded as it gets.
    wait_for("plain lines to be lost", || {
        Ok(metric(&ready, "events_lost_total", r#"reason="sink""#) > 0.0)
    })?;

    let mut lines = Vec::new();
    let limit = Duration::from_secs(1) * IN_FRONT / TAKEN * 3 / 2 * patience();
    for _ in 0..THEFTS {
        let begun = Instant::now();
        stage.steal()?;
        lines.extend(reader.until("the theft", |line| stage.is_theft(line))?);
        let took = begun.elapsed();
        println!("a theft's line after {took:?}");
        ensure!(took < limit, "{took:?}");
        is_complete(&stage, lines.last().context("no line")?)?;
        // Slow is not out of order.
        let (status, text) = get(&ready, "/readyz");
        ensure!(status == 200, "{status}: {text}");
    }

    stage.quiet(noise)?;
    reader.pace(Duration::ZERO);
    wait_for("an empty queue", || {
        Ok(metric(&ready, "queue_depth", "") == 0.0)
    })?;
    ensure!(daemon.stop()?.success(), "{}", daemon.log());
    // That the account is exact is held line by line.
    lines.extend(reader.rest()?);
    ensure!(count(&lines, |line| stage.is_theft(line)) == THEFTS);
    ensure!(lost(&lines, "sink") > 0, "the reader was not slow");
    let degraded = |line: &Value| line["event"] == "health" && line["state"] == "degraded";
    ensure!(
        !lines.iter().any(degraded),
        "{:?}",
        lines.iter().find(|line| degraded(line))
    );
    Ok(())
}

/// All that a responder asks first: who, by what, whose, under which binding.
fn is_complete(stage: &Stage, theft: &Value) -> Result<()> {
    let thief = &stage.thief.spec;
    ensure!(
        theft["relation"] == "other-pod"
            && theft["pod"]["name"] == *thief.name
            && theft["pod"]["service_account"].is_string()
            && theft["container"]["id"] == *stage.thief.container_id
            && theft["process"]["comm"] == "peek"
            && theft["process"]["exe"].is_string()
            && theft["process"]["args"]
                .as_array()
                .is_some_and(|args| args.len() == 2)
            && theft["token"]["kind"] == "pod-identity"
            && theft["token"]["owner"]["name"] == *stage.victim.spec.name
            && theft["binding"]["role_arn"].is_string()
            && theft["attribution"]["process"] == "cgroup"
            && theft["attribution"]["owner"] == "mountinfo",
        "{theft}"
    );
    Ok(())
}
