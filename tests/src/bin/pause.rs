//! A container's init: runs the commands that it is told on stdin as its own children, and reaps what is orphaned to it.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use lab::wire::{Output, RunRequest, serve};
use rustix::process::{WaitOptions, wait};

fn main() -> Result<()> {
    serve(|request: RunRequest| {
        let (program, args) = request
            .argv
            .split_first()
            .context("an empty command line")?;
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("execute {program}"))?;
        let pid = child.id();
        let output = child.wait_with_output()?;
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        Ok(Output {
            pid,
            status: output
                .status
                .code()
                .or(output.status.signal().map(|s| 128 + s))
                .unwrap_or(255),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        })
    })
}
