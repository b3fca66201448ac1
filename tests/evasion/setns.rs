//! A process enters the victim's mount namespace, as nsenter does.

use std::fs::File;

use anyhow::{Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::AsFd;

use crate::common::read;

pub fn run(args: &[String]) -> Result<()> {
    let [pid, path] = args else {
        bail!("usage: setns PID PATH");
    };
    let mounts = File::open(format!("/proc/{pid}/ns/mnt"))?;
    move_into_link_name_space(mounts.as_fd(), Some(LinkNameSpaceType::Mount))?;
    read(File::open(path)?)
}
