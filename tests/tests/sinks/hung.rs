//! The other end stands still: a reader that was stopped, and a terminal whose screen takes nothing, where a write(2) hangs.

use std::{
    fs::File,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use lab::{patience, sys::pty};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    stage::{Daemon, Reader, Stage, metric, wait_for},
    support::{Tail, get, is_root},
};

/// At once, as often as it takes to fill the other end's buffer and the queue; the ring holds as many.
const MANY: u32 = 1_000;

fn lost_in_sink(ready: &Value) -> f64 {
    metric(ready, "events_lost_total", r#"reason="sink""#)
}

/// Nobody waits for the sink, and everything but the sink works: the rings are read, metrics are served.
fn goes_on(stage: &mut Stage, ready: &Value) -> Result<()> {
    for _ in 0..2 {
        let before = lost_in_sink(ready);
        // Only what was read from the ring can be lost behind it.
        wait_for("lines to be lost in the sink", || {
            let flood = stage.flood(MANY)?;
            ensure!(
                flood.slowest < Duration::from_secs(1) * patience(),
                "{flood:?}"
            );
            Ok(lost_in_sink(ready) > before)
        })?;
    }
    ensure!(get(ready, "/healthz").0 == 200, "no reason to be restarted");
    Ok(())
}

/// A process that copies its standard input to a file.
struct Copier(Child);

impl Copier {
    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.0.id().try_into()?).context("no pid")?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_reader_that_was_stopped_holds_up_nothing_not_even_the_end() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new()?;
    let output = stage.lab.dir().join("copied.jsonl");
    let mut copier = Copier(
        Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(File::create(&output)?)
            .spawn()?,
    );
    let mut command = stage.command()?;
    command.stdout(copier.0.stdin.take().context("no pipe")?);
    let mut daemon = Daemon::start(&stage, command)?;
    let mut lines = Tail::new(&output);
    let before = lines.until("ready", |line| line["event"] == "ready")?;
    let ready = before.last().context("no ready")?.clone();

    copier.signal(Signal::STOP)?;
    goes_on(&mut stage, &ready)?;
    daemon.until_readyz(&ready, 503, "its reader takes nothing")?;
    stage.steal()?;
    copier.signal(Signal::CONT)?;
    lines.until("the theft", |line| stage.is_theft(line))?;
    daemon.until_readyz(&ready, 200, "")?;

    copier.signal(Signal::STOP)?;
    goes_on(&mut stage, &ready)?;
    daemon.stop_with_lines_lost()
}

#[test]
fn a_write_that_hangs_holds_up_nothing_not_even_the_end() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new()?;
    let (screen, program) = pty::open()?;
    let mut command = stage.command()?;
    command.stdout(program);
    let mut daemon = Daemon::start(&stage, command)?;
    let mut reader = Reader::new(File::from(screen));
    let ready = reader.ready()?;

    reader.stall(true);
    goes_on(&mut stage, &ready)?;
    // Where the screen is full to the last byte, no write is begun.
    daemon.until_readyz(&ready, 503, "events cannot be written")?;
    stage.steal()?;
    reader.stall(false);
    reader.until("the theft", |line| stage.is_theft(line))?;
    daemon.until_readyz(&ready, 200, "")?;

    reader.stall(true);
    goes_on(&mut stage, &ready)?;
    daemon.stop_with_lines_lost()
}
