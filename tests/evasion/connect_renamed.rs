//! A process that calls itself `eks-pod-identit` connects, as the agent's own probes do.

use std::net::TcpStream;

use anyhow::Result;

use crate::common::{AGENT, ask};

pub fn run(_: &[String]) -> Result<()> {
    rustix::thread::set_name(c"eks-pod-identit")?;
    ask(TcpStream::connect(AGENT)?)
}
