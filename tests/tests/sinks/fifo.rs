//! `--output-file` is a FIFO whose reader goes and another comes.

use std::fs::File;

use anyhow::{Result, ensure};
use lab::auditor::Envelope;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::{
    stage::{Daemon, Reader, Stage, is_health, up_to_ready},
    support::is_root,
};

#[test]
fn another_reader_goes_on_where_the_first_left_off() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new()?;
    let path = stage.lab.dir().join("events");
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, &path, FileType::Fifo, mode, 0)?;
    // Its open waits for the auditor's, which without a reader would refuse to start.
    let open = {
        let path = path.clone();
        std::thread::spawn(move || File::open(path))
    };
    let mut command = stage.command()?;
    command.arg("--output-file").arg(&path);
    let mut daemon = Daemon::start(&stage, command)?;
    let mut envelope = Envelope::default();
    let ready = up_to_ready(open.join().expect("a reader")?, &mut envelope)?;
    stage.flood(10)?;
    daemon.until_readyz(&ready, 503, "Broken pipe")?;
    stage.steal()?;

    let mut reader = Reader::after(envelope, File::open(&path)?);
    let mut lines = reader.until("the theft", |line| stage.is_theft(line))?;
    daemon.until_readyz(&ready, 200, "")?;
    ensure!(daemon.stop()?.success(), "{}", daemon.log());
    lines.extend(reader.rest()?);
    ensure!(lines.iter().any(|line| is_health(line, "sink", "ok")));
    Ok(())
}
