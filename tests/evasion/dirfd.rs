//! openat(2) of a bare name in a directory that was opened before.

use std::fs::File;

use anyhow::Result;
use rustix::fs::{Mode, OFlags, openat};

use crate::common::{apart, only, read};

pub fn run(args: &[String]) -> Result<()> {
    let (dir, name) = apart(only(args)?)?;
    let dir = File::open(dir)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    read(openat(dir, name, flags, Mode::empty())?)
}
