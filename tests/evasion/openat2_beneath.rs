//! openat2(2) with `RESOLVE_BENEATH`: a name below a directory.

use anyhow::Result;
use rustix::fs::ResolveFlags;

use crate::{
    common::{apart, only},
    openat2,
};

pub fn run(args: &[String]) -> Result<()> {
    let (dir, name) = apart(only(args)?)?;
    openat2::from(dir, name, ResolveFlags::BENEATH)
}
