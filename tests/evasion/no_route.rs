//! connect(2) to the agent's addresses from a network namespace without a route.

use std::{io, net::TcpStream};

use anyhow::{Result, bail};
use rustix::{
    io::Errno,
    thread::{UnshareFlags, unshare_unsafe},
};

use crate::common::{AGENT, skip};

/// For IPv6 another function of the kernel stands at the way's beginning.
const AGENT_V6: &str = "[fd00:ec2::23]:80";

pub fn run(_: &[String]) -> Result<()> {
    // SAFETY: no descriptor table is unshared.
    match unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNET) } {
        Err(e @ (Errno::INVAL | Errno::NOSPC)) => {
            return Err(skip(format!("no user namespaces here: {e}")));
        }
        done => done?,
    }
    for agent in [AGENT.to_string(), AGENT_V6.to_owned()] {
        match TcpStream::connect(&agent) {
            // No source address, where there is no interface either.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable
                ) => {}
            other => bail!("connected to {agent} without a route: {other:?}"),
        }
    }
    Ok(())
}
