//! openat2(2) with `RESOLVE_IN_ROOT`: a directory stands for the root, and the path begins there.

use std::path::Path;

use anyhow::Result;
use rustix::fs::ResolveFlags;

use crate::{
    common::{apart, only},
    openat2,
};

pub fn run(args: &[String]) -> Result<()> {
    let (dir, name) = apart(only(args)?)?;
    let absolute = Path::new("/").join(name);
    openat2::from(dir, &absolute, ResolveFlags::IN_ROOT)
}
