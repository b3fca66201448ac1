//! TCP sockets that hear nothing: nobody's packets have as many hops left as they ask for (`IP_MINTTL`, `IPV6_MINHOPCOUNT`).
//!
//! A filter would do the same, but kernels of 2026 give one to a TCP socket only with CAP_NET_ADMIN.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd},
};

// linux/in.h, linux/in6.h
const IP_MINTTL: i32 = 21;
const IPV6_MINHOPCOUNT: i32 = 73;
/// More than a packet has that was routed once, or that was sent with the usual 64.
const MOST: i32 = 255;

/// `address`: one of the socket's family.
pub fn deafen(socket: impl AsFd, address: SocketAddr) -> io::Result<()> {
    ask_for_hops(socket, address, MOST)
}

pub fn undeafen(socket: impl AsFd, address: SocketAddr) -> io::Result<()> {
    ask_for_hops(socket, address, 0)
}

fn ask_for_hops(socket: impl AsFd, address: SocketAddr, hops: i32) -> io::Result<()> {
    let (level, option) = match address {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, IP_MINTTL),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, IPV6_MINHOPCOUNT),
    };
    // SAFETY: the value is an int, as both options' are.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const hops).cast(),
            size_of_val(&hops) as u32,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
