//! Stdout is a pipe that nobody reads for a while, or whose reader is gone for good.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use lab::{auditor::Envelope, patience};
use serde_json::Value;

use crate::{
    stage::{Daemon, Reader, Stage, count, is_health, lost, metric, up_to_ready, wait_for},
    support::{get, is_root},
};

/// More lines than a pipe and the queue hold.
const MANY: u32 = 6_000;

/// An auditor that writes to a pipe, and who reads it.
fn start(stage: &Stage) -> Result<(Daemon, Reader, Value)> {
    let mut command = stage.command()?;
    command.stdout(Stdio::piped());
    let mut daemon = Daemon::start(stage, command)?;
    let mut reader = Reader::new(daemon.child.stdout.take().context("no pipe")?);
    let ready = reader.ready()?;
    Ok((daemon, reader, ready))
}

#[test]
fn a_reader_who_stalls_holds_up_nobody_and_gets_the_theft_when_it_is_back() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new()?;
    let (mut daemon, mut reader, ready) = start(&stage)?;
    reader.stall(true);
    // It ends while nobody reads: no open waits for the sink.
    let flood = stage.flood(MANY)?;
    ensure!(
        flood.slowest < Duration::from_secs(1) * patience(),
        "{flood:?}"
    );
    let lost_in_sink = || metric(&ready, "events_lost_total", r#"reason="sink""#);
    wait_for("plain lines to be lost", || Ok(lost_in_sink() > 0.0))?;
    // The queue is full of plain lines; this is the last that happens before it is emptied.
    stage.steal()?;
    daemon.until_readyz(&ready, 503, "its reader takes nothing")?;
    ensure!(
        get(&ready, "/healthz").0 == 200,
        "no reason to be restarted"
    );
    ensure!(metric(&ready, "queue_depth", "") > 1_000.0);

    reader.stall(false);
    let theft = reader.until("the theft", |line| stage.is_theft(line))?;
    daemon.until_readyz(&ready, 200, "")?;
    // Nothing needs a restart.
    stage.steal()?;
    let again = reader.until("another theft", |line| stage.is_theft(line))?;
    let in_metrics = metric(&ready, "events_lost_total", "");
    ensure!(daemon.stop()?.success(), "{}", daemon.log());
    let lines: Vec<Value> = [theft, again, reader.rest()?].concat();

    let noise = count(&lines, |line| stage.is_noise(line));
    let (in_sink, in_ring) = (lost(&lines, "sink"), lost(&lines, "ring-full"));
    ensure!(in_sink > 0, "nothing was lost");
    ensure!(
        noise + in_sink + in_ring == u64::from(MANY),
        "of {MANY} opens {noise} were written, {in_sink} + {in_ring} lost"
    );
    ensure!(in_metrics == (in_sink + in_ring) as f64, "{in_metrics}");
    let recovered = lines.iter().find(|line| is_health(line, "sink", "ok"));
    let message = recovered.context("nothing tells of the recovery")?["message"].to_string();
    ensure!(message.contains("takes nothing"), "{message}");
    Ok(())
}

#[test]
fn without_a_reader_it_goes_on_says_so_and_ends_in_time() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new()?;
    let mut command = stage.command()?;
    command.stdout(Stdio::piped());
    let mut daemon = Daemon::start(&stage, command)?;
    let pipe = daemon.child.stdout.take().context("no pipe")?;
    let ready = up_to_ready(pipe, &mut Envelope::default())?;
    stage.flood(10)?;
    daemon.until_readyz(&ready, 503, "Broken pipe")?;
    stage.flood(1_000)?;
    ensure!(get(&ready, "/healthz").0 == 200);
    daemon.stop_with_lines_lost()
}
