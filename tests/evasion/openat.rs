//! openat(2), as every C library opens.

use anyhow::Result;
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::common::{only, read};

pub fn run(args: &[String]) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    read(openat(CWD, only(args)?, flags, Mode::empty())?)
}
