//! openat through an io_uring into a slot of the ring: no descriptor ever appears in the process's table.

use anyhow::Result;
use lab::sys::ring::By;

use crate::common::{c_path, offered, only, ring, token};

pub fn run(args: &[String]) -> Result<()> {
    let path = c_path(only(args)?)?;
    let mut ring = ring(By::Submitter)?;
    offered(ring.open_direct(&path), "direct descriptors")?;
    token(&ring.read_direct()?)
}
