//! openat through an io_uring: no system call opens.

use anyhow::Result;
use lab::sys::ring::By;

use crate::common::{c_path, only, read, ring};

pub fn run(args: &[String]) -> Result<()> {
    let path = c_path(only(args)?)?;
    read(ring(By::Submitter)?.open(&path)?)
}
