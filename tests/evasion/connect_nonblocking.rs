//! connect(2) of a non-blocking socket, as SDKs do it.

use std::net::TcpStream;

use anyhow::{Result, ensure};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, ioctl_fionbio},
    net::connect,
};

use crate::common::{AGENT, ask, tcp};

pub fn run(_: &[String]) -> Result<()> {
    let socket = tcp()?;
    ioctl_fionbio(&socket, true)?;
    let connected = connect(&socket, &AGENT);
    ensure!(
        connected == Err(Errno::INPROGRESS),
        "it did not go on by itself: {connected:?}"
    );
    poll(&mut [PollFd::new(&socket, PollFlags::OUT)], None)?;
    ioctl_fionbio(&socket, false)?;
    ask(TcpStream::from(socket))
}
