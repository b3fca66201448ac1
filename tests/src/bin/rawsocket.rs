//! Asks for a socket below TCP and UDP, and lets it go.
//!
//! `rawsocket [--refused] packet|packet-dgram|tcp|tcp6|icmp|icmp6|ping`; `--refused`: the kernel must not give it.

use anyhow::{Context, Result, bail, ensure};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with},
};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).peekable();
    let must_be_refused = args.next_if(|arg| arg == "--refused").is_some();
    let kind = args
        .next()
        .context("usage: rawsocket [--refused] packet|packet-dgram|tcp|tcp6|icmp|icmp6|ping")?;
    let (family, socket_type, protocol) = match kind.as_str() {
        "packet" => (AddressFamily::PACKET, SocketType::RAW, None),
        "packet-dgram" => (AddressFamily::PACKET, SocketType::DGRAM, None),
        "tcp" => (AddressFamily::INET, SocketType::RAW, Some(ipproto::TCP)),
        "tcp6" => (AddressFamily::INET6, SocketType::RAW, Some(ipproto::TCP)),
        "icmp" => (AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)),
        "icmp6" => (AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6)),
        "ping" => (AddressFamily::INET, SocketType::DGRAM, Some(ipproto::ICMP)),
        other => bail!("unknown kind {other}"),
    };
    match socket_with(family, socket_type, SocketFlags::CLOEXEC, protocol) {
        Ok(_) => ensure!(!must_be_refused, "the kernel gave it"),
        Err(Errno::PERM) if must_be_refused => {}
        // Only for the groups that net.ipv4.ping_group_range names.
        Err(Errno::ACCESS) if kind == "ping" => {}
        Err(error) => return Err(error).context(kind),
    }
    Ok(())
}
