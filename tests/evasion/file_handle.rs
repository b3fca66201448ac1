//! open_by_handle_at(2): the call that opens names no path.

use std::{fs::File, os::fd::AsFd};

use anyhow::{Context, Result};
use lab::sys::raw;

use crate::common::{apart, c_path, only, read};

pub fn run(args: &[String]) -> Result<()> {
    let path = only(args)?;
    let mount = File::open(apart(path)?.0)?;
    read(raw::open_by_handle(mount.as_fd(), &c_path(path)?).context("open_by_handle_at")?)
}
