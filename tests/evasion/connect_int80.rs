//! connect by a 32-bit `socketcall` of a 64-bit process.

use anyhow::Result;

#[cfg(target_arch = "x86_64")]
pub fn run(_: &[String]) -> Result<()> {
    use std::os::fd::AsFd;

    use crate::common::{AGENT, ask, tcp};

    crate::int80::supported()?;
    let socket = tcp()?;
    lab::sys::compat::connect(socket.as_fd(), AGENT)?;
    ask(socket)
}

#[cfg(not(target_arch = "x86_64"))]
pub fn run(_: &[String]) -> Result<()> {
    crate::int80::supported()
}
