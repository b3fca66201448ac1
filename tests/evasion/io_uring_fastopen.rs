//! sendmsg with `MSG_FASTOPEN` through an io_uring.

use std::{net::TcpStream, os::fd::AsFd};

use anyhow::Result;
use lab::sys::ring::By;

use crate::common::{AGENT, REQUEST, answer, ring, tcp};

pub fn run(_: &[String]) -> Result<()> {
    let mut ring = ring(By::Submitter)?;
    let socket = tcp()?;
    ring.send_fast(socket.as_fd(), AGENT, REQUEST)?;
    answer(&mut TcpStream::from(socket))
}
