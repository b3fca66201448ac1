//! openat2(2) with `RESOLVE_NO_MAGICLINKS`: nothing below `/proc/PID/fd` and the like.

use anyhow::Result;
use rustix::fs::ResolveFlags;

use crate::{common::only, openat2};

pub fn run(args: &[String]) -> Result<()> {
    openat2::from_cwd(only(args)?, ResolveFlags::NO_MAGICLINKS)
}
