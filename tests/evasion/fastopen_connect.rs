//! connect(2) of a socket with `TCP_FASTOPEN_CONNECT`, which may leave the SYN to the first write.

use std::net::TcpStream;

use anyhow::Result;
use lab::sys::raw;
use rustix::net::connect;

use crate::common::{AGENT, ask, offered, tcp};

pub fn run(_: &[String]) -> Result<()> {
    let socket = tcp()?;
    offered(raw::set_fastopen_connect(&socket), "TCP_FASTOPEN_CONNECT")?;
    connect(&socket, &AGENT)?;
    ask(TcpStream::from(socket))
}
