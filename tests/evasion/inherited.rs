//! One program opens, another inherits the descriptor across fork and exec, and reads.

use std::{env, fs::File, process::Command};

use anyhow::{Result, ensure};

use crate::common::{only, read};

pub fn run(args: &[String]) -> Result<()> {
    let file = File::open(only(args)?)?;
    let status = Command::new(env::current_exe()?)
        .arg("inherited-reader")
        .stdin(file)
        .status()?;
    ensure!(status.success(), "the reader ended with {status}");
    Ok(())
}

/// Reads its standard input.
pub fn reader(_: &[String]) -> Result<()> {
    read(rustix::io::dup(rustix::stdio::stdin())?)
}
