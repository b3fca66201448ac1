//! openat through an io_uring, carried out by a worker thread of the kernel.

use anyhow::Result;
use lab::sys::ring::By;

use crate::common::{c_path, only, read, ring};

pub fn run(args: &[String]) -> Result<()> {
    let path = c_path(only(args)?)?;
    read(ring(By::Worker)?.open(&path)?)
}
