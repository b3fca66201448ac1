//! connect(2) of a Multipath TCP socket.

use anyhow::Result;
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, connect, ipproto, socket_with},
};

use crate::common::{AGENT, ask, offered};

pub fn run(_: &[String]) -> Result<()> {
    let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(ipproto::MPTCP));
    let socket = offered(socket.map_err(Errno::into), "Multipath TCP")?;
    connect(&socket, &AGENT)?;
    ask(socket)
}
