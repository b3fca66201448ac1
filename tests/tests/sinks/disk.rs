//! The file system that `--output-file` is on has no room, and then some again.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use lab::patience;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::{
    stage::{Daemon, Stage, count, is_health, lost},
    support::{Tail, is_root},
};

/// A small tmpfs; gone when dropped.
struct Disk(PathBuf);

impl Disk {
    fn new(at: PathBuf) -> Result<Self> {
        fs::create_dir(&at)?;
        mount("tmpfs", &at, "tmpfs", MountFlags::empty(), c"size=32m")?;
        Ok(Self(at))
    }

    /// Takes all its room but `left` bytes.
    fn fill(&self, left: u64) -> Result<PathBuf> {
        let stat = rustix::fs::statvfs(&self.0)?;
        let ballast = self.0.join("ballast");
        let file = File::create(&ballast)?;
        let size = stat.f_bavail * stat.f_frsize - left;
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size)?;
        Ok(ballast)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_holds_up_nobody_and_the_theft_is_written_when_there_is_room() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    const MANY: u32 = 4_000;
    let mut stage = Stage::new()?;
    let disk = Disk::new(stage.lab.dir().join("disk"))?;
    let output = disk.0.join("events.jsonl");
    let mut command = stage.command()?;
    command.arg("--output-file").arg(&output);
    let mut daemon = Daemon::start(&stage, command)?;
    let mut lines = Tail::new(&output);
    let ready = lines.until("ready", |line| line["event"] == "ready")?;
    let ready = ready.last().context("no ready")?.clone();

    let ballast = disk.fill(100_000)?;
    let flood = stage.flood(MANY)?;
    ensure!(
        flood.slowest < Duration::from_secs(1) * patience(),
        "{flood:?}"
    );
    daemon.until_readyz(&ready, 503, "No space left on device")?;
    stage.steal()?;
    is_whole(&output)?;

    fs::remove_file(ballast)?;
    let mut all = lines.until("the theft", |line| stage.is_theft(line))?;
    daemon.until_readyz(&ready, 200, "")?;
    ensure!(daemon.stop()?.success(), "{}", daemon.log());
    all.extend(lines.rest()?);
    ensure!(all.iter().any(|line| is_health(line, "sink", "ok")));
    let noise = count(&all, |line| stage.is_noise(line));
    let gone = lost(&all, "sink") + lost(&all, "ring-full");
    ensure!(
        noise + gone == u64::from(MANY),
        "of {MANY} opens {noise} were written, {gone} lost"
    );
    Ok(())
}

/// All but the last line, which the disk had no room for, are JSON.
fn is_whole(output: &Path) -> Result<()> {
    let text = fs::read_to_string(output)?;
    let (whole, _) = text.rsplit_once('\n').context("no line")?;
    for line in whole.lines() {
        serde_json::from_str::<serde_json::Value>(line).context(line.to_owned())?;
    }
    Ok(())
}
