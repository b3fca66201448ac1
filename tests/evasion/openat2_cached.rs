//! openat2(2) with `RESOLVE_CACHED`: only what the kernel has in memory, without waiting for anything.

use std::fs;

use anyhow::Result;
use rustix::fs::ResolveFlags;

use crate::{common::only, openat2};

pub fn run(args: &[String]) -> Result<()> {
    let path = only(args)?;
    // The names are in memory after that, and nothing is opened.
    fs::metadata(path)?;
    openat2::from_cwd(path, ResolveFlags::CACHED)
}
