//! The file is rotated while it is written to: by a rename, and by copying and truncating it.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use lab::auditor::Envelope;
use serde_json::Value;

use crate::{
    stage::{Daemon, Stage, count, lost, wait_for},
    support::is_root,
};

fn opens_in(path: &Path, stage: &Stage) -> Result<u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    Ok(lines.filter(|line: &Value| stage.is_noise(line)).count() as u64)
}

#[test]
fn no_line_is_lost_or_torn_by_a_rename_in_a_flood_nor_by_a_truncation() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    const MANY: u32 = 1_500;
    let mut stage = Stage::new()?;
    let output = stage.lab.dir().join("events.jsonl");
    let [renamed, copied] = ["events.jsonl.1", "events.jsonl.2"].map(|n| stage.lab.dir().join(n));
    let mut command = stage.command()?;
    command.arg("--output-file").arg(&output);
    let mut daemon = Daemon::start(&stage, command)?;
    wait_for("ready", || {
        let text = fs::read_to_string(&output).unwrap_or_default();
        Ok(text.contains(r#""event":"ready""#))
    })?;

    // As logrotate does it, in the middle of a flood.
    stage.flood_meanwhile(MANY)?;
    wait_for("the first opens", || Ok(opens_in(&output, &stage)? > 0))?;
    fs::rename(&output, &renamed)?;
    // A look each half second, and lines that go on until then.
    let mut more = 0;
    wait_for("a new file", || {
        stage.flood(1)?;
        more += 1;
        Ok(output.exists())
    })?;
    // Its `copytruncate`, while nothing is written: what comes between the two steps would be lost by whoever rotates.
    let size = || fs::metadata(&output).map(|metadata| metadata.len());
    let mut before = 0;
    wait_for("quiet", || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let now = size()?;
        Ok(std::mem::replace(&mut before, now) == now)
    })?;
    ensure!(
        Command::new("cp")
            .args([&output, &copied])
            .status()?
            .success()
    );
    fs::OpenOptions::new()
        .write(true)
        .open(&output)?
        .set_len(0)?;
    stage.steal()?;
    wait_for("the theft", || {
        let text = fs::read_to_string(&output)?;
        Ok(text.contains("foreign-token-open"))
    })?;
    ensure!(daemon.stop()?.success(), "{}", daemon.log());

    let last = fs::read(&output)?;
    ensure!(last.first() == Some(&b'{'), "it goes on behind a hole");
    let mut envelope = Envelope::default();
    let mut lines = Vec::new();
    for path in [&renamed, &copied, &output] {
        let text = fs::read_to_string(path)?;
        ensure!(text.ends_with('\n'), "{}: torn", path.display());
        for line in text.lines() {
            lines.push(envelope.check(&format!("{line}\n"))?);
        }
    }
    let noise = count(&lines, |line| stage.is_noise(line));
    let gone = lost(&lines, "ring-full") + lost(&lines, "sink");
    ensure!(
        noise + gone == u64::from(MANY) + more,
        "of {MANY} + {more} opens {noise} were written, {gone} lost"
    );
    let stopped = lines.last().context("no line")?;
    ensure!(stopped["event"] == "stopped", "{stopped}");
    Ok(())
}
