//! openat2(2) with `RESOLVE_NO_XDEV`: within the volume, from a directory of it.

use anyhow::Result;
use rustix::fs::ResolveFlags;

use crate::{
    common::{apart, only},
    openat2,
};

pub fn run(args: &[String]) -> Result<()> {
    let (dir, name) = apart(only(args)?)?;
    openat2::from(dir, name, ResolveFlags::NO_XDEV)
}
