//! connect through an io_uring whose queue a kernel thread polls.

use std::os::fd::AsFd;

use anyhow::Result;
use lab::sys::ring::By;

use crate::common::{AGENT, ask, ring, tcp};

pub fn run(_: &[String]) -> Result<()> {
    let mut ring = ring(By::Poller)?;
    let socket = tcp()?;
    ring.connect(socket.as_fd(), AGENT)?;
    ask(socket)
}
