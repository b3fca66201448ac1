//! connect(2) of an IPv6 socket to the agent's IPv4 address (`::ffff:169.254.170.23`).

use std::net::{Ipv6Addr, SocketAddrV6, TcpStream};

use anyhow::Result;

use crate::common::{AGENT, ask};

pub fn run(_: &[String]) -> Result<()> {
    let mapped: Ipv6Addr = AGENT.ip().to_ipv6_mapped();
    ask(TcpStream::connect(SocketAddrV6::new(
        mapped,
        AGENT.port(),
        0,
        0,
    ))?)
}
