//! Open and mmap: nothing is ever read.

use std::{fs::File, os::fd::AsFd};

use anyhow::Result;
use lab::sys::raw;

use crate::common::{only, token};

pub fn run(args: &[String]) -> Result<()> {
    let file = File::open(only(args)?)?;
    let length = usize::try_from(file.metadata()?.len())?;
    token(&raw::mapped(file.as_fd(), length)?)
}
