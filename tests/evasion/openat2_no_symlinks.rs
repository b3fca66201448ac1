//! openat2(2) with `RESOLVE_NO_SYMLINKS`: by the name that the links of the volume lead to.

use anyhow::Result;
use rustix::fs::ResolveFlags;

use crate::{common::only, openat2};

pub fn run(args: &[String]) -> Result<()> {
    let path = only(args)?.canonicalize()?;
    openat2::from_cwd(&path, ResolveFlags::NO_SYMLINKS)
}
