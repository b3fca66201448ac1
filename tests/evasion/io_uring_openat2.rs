//! openat2 through an io_uring.

use anyhow::Result;
use lab::sys::ring::By;

use crate::common::{c_path, only, read, ring};

pub fn run(args: &[String]) -> Result<()> {
    let path = c_path(only(args)?)?;
    read(ring(By::Submitter)?.open2(&path)?)
}
