//! A TCP stack of one's own over a packet socket: the kernel's IP knows nothing of it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    os::fd::OwnedFd,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use lab::{
    sys::packet,
    userspace_tcp::{self, Wire},
};
use rustix::net::{RecvFlags, netdevice::name_to_index, recv, sockopt};

use crate::common::{AGENT, PATIENCE, tcp};

pub fn run(_: &[String]) -> Result<()> {
    let (_holder, client) = userspace_tcp::hold_port(userspace_tcp::source_for(AGENT)?)?;
    let gateway = gateway()?;
    let socket = packet::socket().context("open a packet socket")?;
    let moment = Some(Duration::from_millis(200));
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, moment)?;
    let mut wire = Below {
        device: name_to_index(tcp()?, "eth0")?,
        neighbour: link_address(gateway)?,
        socket,
        client,
    };
    let answered = userspace_tcp::ask(&mut wire, client, AGENT, None)?;
    println!("{answered} bytes of an answer");
    Ok(())
}

struct Below {
    socket: OwnedFd,
    device: u32,
    neighbour: [u8; 6],
    client: SocketAddrV4,
}

impl Wire for Below {
    fn send(&mut self, segment: &[u8]) -> Result<()> {
        let whole = userspace_tcp::packet(self.client, AGENT, segment);
        Ok(packet::send(
            &self.socket,
            self.device,
            self.neighbour,
            &whole,
        )?)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let (length, _) = recv(&self.socket, buffer, RecvFlags::empty()).ok()?;
        Some(length)
    }
}

/// The default route's.
fn gateway() -> Result<Ipv4Addr> {
    let routes = fs::read_to_string("/proc/self/net/route")?;
    let by_default = routes.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (destination, gateway) = (words.next()?, words.next()?);
        (destination == "00000000").then_some(gateway)
    });
    let gateway = u32::from_str_radix(by_default.context("no default route")?, 16)?;
    // As it lies in memory.
    Ok(Ipv4Addr::from(gateway.to_ne_bytes()))
}

/// A datagram to nobody makes the kernel ask for it.
fn link_address(neighbour: Ipv4Addr) -> Result<[u8; 6]> {
    let deadline = Instant::now() + PATIENCE;
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.send_to(b"?", (neighbour, 9))?;
    while Instant::now() < deadline {
        let known = fs::read_to_string("/proc/self/net/arp")?;
        let line = known
            .lines()
            .find(|line| line.starts_with(&format!("{neighbour} ")));
        let address = line.and_then(|line| line.split_whitespace().nth(3));
        let bytes: Vec<u8> = address
            .unwrap_or_default()
            .split(':')
            .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
            .collect();
        match <[u8; 6]>::try_from(bytes) {
            Ok(found) if found != [0; 6] => return Ok(found),
            _ => thread::sleep(Duration::from_millis(5)),
        }
    }
    bail!("{neighbour} does not answer")
}
