//! An `O_PATH` descriptor, opened again through `/proc/self/fd`.

use std::{fs::File, os::fd::AsRawFd};

use anyhow::Result;

use crate::{
    common::{only, read},
    opath_only::locate,
};

pub fn run(args: &[String]) -> Result<()> {
    let located = locate(only(args)?)?;
    let again = format!("/proc/self/fd/{}", located.as_raw_fd());
    read(File::open(again)?)
}
