//! An `O_PATH` descriptor alone, which cannot be read.

use std::{os::fd::OwnedFd, path::Path};

use anyhow::{Result, ensure};
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};

use crate::common::only;

pub fn run(args: &[String]) -> Result<()> {
    let located = locate(only(args)?)?;
    let read = rustix::io::read(&located, &mut [0_u8; 1]);
    ensure!(read == Err(Errno::BADF), "it can be read");
    Ok(())
}

pub fn locate(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}
