//! A detached copy of the volume's mount (open_tree), which is mounted nowhere.

use std::{os::fd::OwnedFd, path::Path};

use anyhow::Result;
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
};

use crate::common::{apart, offered, only, read};

pub fn run(args: &[String]) -> Result<()> {
    let (dir, name) = apart(only(args)?)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    read(openat(copy(dir)?, name, flags, Mode::empty())?)
}

pub fn copy(dir: &Path) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    offered(open_tree(CWD, dir, flags).map_err(Errno::into), "open_tree")
}
