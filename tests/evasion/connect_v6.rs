//! connect(2) to the agent's IPv6 address.

use std::net::TcpStream;

use anyhow::Result;

use crate::common::ask;

pub fn run(_: &[String]) -> Result<()> {
    ask(TcpStream::connect("[fd00:ec2::23]:80")?)
}
