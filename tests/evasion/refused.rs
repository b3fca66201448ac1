//! connect(2) to another port of the agent's address, where nobody listens.

use std::{
    io::ErrorKind,
    net::{SocketAddrV4, TcpStream},
};

use anyhow::{Result, bail};

use crate::common::AGENT;

pub fn run(_: &[String]) -> Result<()> {
    match TcpStream::connect(SocketAddrV4::new(*AGENT.ip(), 81)) {
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => Ok(()),
        other => bail!("{other:?}, and not ECONNREFUSED"),
    }
}
