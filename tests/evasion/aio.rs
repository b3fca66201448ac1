//! Open and read through an asynchronous I/O context (io_submit).

use std::{fs::File, os::fd::AsFd};

use anyhow::Result;
use lab::sys::raw;

use crate::common::{offered, only, token};

pub fn run(args: &[String]) -> Result<()> {
    let file = File::open(only(args)?)?;
    token(&offered(
        raw::read_by_aio(file.as_fd()),
        "asynchronous I/O",
    )?)
}
