//! A symbolic link elsewhere, with a harmless name.

use std::{fs::File, os::unix::fs::symlink};

use anyhow::Result;

use crate::common::{only, read};

pub fn run(args: &[String]) -> Result<()> {
    symlink(only(args)?, "/tmp/readme.txt")?;
    read(File::open("/tmp/readme.txt")?)
}
