//! connect through an io_uring, carried out by a worker thread of the kernel.

use std::os::fd::AsFd;

use anyhow::Result;
use lab::sys::ring::By;

use crate::common::{AGENT, ask, ring, tcp};

pub fn run(_: &[String]) -> Result<()> {
    let mut ring = ring(By::Worker)?;
    let socket = tcp()?;
    ring.connect(socket.as_fd(), AGENT)?;
    ask(socket)
}
