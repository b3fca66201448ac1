//! connect(2) to the agent.

use std::net::TcpStream;

use anyhow::Result;

use crate::common::{AGENT, ask};

pub fn run(_: &[String]) -> Result<()> {
    ask(TcpStream::connect(AGENT)?)
}
