//! sendmsg with `MSG_FASTOPEN` through an io_uring.

use std::{net::TcpStream, os::fd::AsFd};

use anyhow::Result;
use lab::sys::ring::By;
use rustix::event::{PollFd, PollFlags, poll};

use crate::common::{AGENT, REQUEST, answer, ask, ring, tcp};

pub fn run(_: &[String]) -> Result<()> {
    let mut ring = ring(By::Submitter)?;
    let socket = tcp()?;
    match ring.send_fast(socket.as_fd(), AGENT, REQUEST) {
        // The ring tries without waiting first: the SYN has gone out, and nothing with it.
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {
            poll(&mut [PollFd::new(&socket, PollFlags::OUT)], None)?;
            ask(socket)
        }
        sent => {
            sent?;
            answer(&mut TcpStream::from(socket))
        }
    }
}
