//! The token below the root of a process of the victim's (`/proc/PID/root`).

use std::fs::File;

use anyhow::{Result, bail};

use crate::common::read;

pub fn run(args: &[String]) -> Result<()> {
    let [pid, path] = args else {
        bail!("usage: proc-root PID PATH");
    };
    read(File::open(format!("/proc/{pid}/root{path}"))?)
}
