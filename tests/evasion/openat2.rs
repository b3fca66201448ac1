//! openat2(2) without any `RESOLVE` flag; and what its variants share.

use std::{fs::File, path::Path};

use anyhow::Result;
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};

use crate::common::{offered, only, read};

pub fn run(args: &[String]) -> Result<()> {
    from_cwd(only(args)?, ResolveFlags::empty())
}

pub fn from_cwd(path: &Path, resolve: ResolveFlags) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = openat2(CWD, path, flags, Mode::empty(), resolve);
    read(offered(opened.map_err(Errno::into), "such openat2(2)")?)
}

pub fn from(dir: &Path, path: &Path, resolve: ResolveFlags) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = openat2(File::open(dir)?, path, flags, Mode::empty(), resolve);
    read(offered(opened.map_err(Errno::into), "such openat2(2)")?)
}
