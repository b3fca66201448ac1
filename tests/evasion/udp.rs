//! A datagram to the agent's address and port, where TCP is spoken.

use std::net::{Ipv4Addr, UdpSocket};

use anyhow::Result;

use crate::common::AGENT;

pub fn run(_: &[String]) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(AGENT)?;
    socket.send(b"credentials?")?;
    Ok(())
}
