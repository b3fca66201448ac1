//! A process that shares the descriptor table (`CLONE_FILES`) opens, this one reads.

use std::fs::File;

use anyhow::Result;
use lab::sys::{fork::SingleThreaded, raw};

use crate::common::{only, read};

pub fn run(args: &[String]) -> Result<()> {
    let path = only(args)?;
    let single = SingleThreaded::check()?;
    read(raw::opened_by_sharer(single, || {
        File::open(path).ok().map(Into::into)
    })?)
}
