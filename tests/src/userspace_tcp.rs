//! A TCP client of one's own: as much of RFC 9293 as one request and its answer need.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::sys::deaf::deafen;

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const PATIENCE: Duration = Duration::from_secs(10);

/// Brings segments out and packets in, below the kernel's TCP.
pub trait Wire {
    fn send(&mut self, segment: &[u8]) -> Result<()>;
    /// An IPv4 packet; none where nothing came within a moment.
    fn receive(&mut self, buffer: &mut [u8]) -> Option<usize>;
}

/// The address that packets to `server` leave from.
pub fn source_for(server: SocketAddrV4) -> Result<Ipv4Addr> {
    // A datagram socket's connect sends nothing, and tells which address the route takes.
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    probe.connect(server)?;
    match probe.local_addr()?.ip() {
        IpAddr::V4(own) => Ok(own),
        IpAddr::V6(other) => bail!("{other} is no IPv4 address"),
    }
}

/// A listening socket that hears nothing: it holds the port, so that the kernel does not answer what comes back with a reset.
pub fn hold_port(own: Ipv4Addr) -> Result<(TcpListener, SocketAddrV4)> {
    let holder = TcpListener::bind((own, 0)).context("hold a port")?;
    let address = holder.local_addr()?;
    deafen(&holder, address).context("make it deaf")?;
    Ok((holder, SocketAddrV4::new(own, address.port())))
}

/// Asks for credentials; how many bytes of an answer came. `greet` sends the SYN in one's stead where it is given.
pub fn ask(
    wire: &mut impl Wire,
    client: SocketAddrV4,
    server: SocketAddrV4,
    greet: Option<&mut dyn FnMut() -> Result<()>>,
) -> Result<u32> {
    let mut stack = Stack {
        client,
        server,
        next: 1_000_000,
        expected: 0,
    };
    match greet {
        Some(greet) => greet()?,
        None => wire.send(&stack.segment(SYN, b""))?,
    }
    let greeting = stack.answer(wire)?;
    ensure!(greeting.flags & (SYN | ACK) == SYN | ACK, "no SYN-ACK");
    stack.next = greeting.acknowledged;
    stack.expected = greeting.sequence.wrapping_add(1);
    let request = format!(
        "GET /v1/credentials HTTP/1.1\r\nhost: {}\r\n\r\n",
        server.ip()
    );
    let request = request.as_bytes();
    wire.send(&stack.segment(ACK, b""))?;
    wire.send(&stack.segment(ACK | PSH, request))?;
    stack.next = stack.next.wrapping_add(u32::try_from(request.len())?);
    let answered = loop {
        let segment = stack.answer(wire)?;
        if segment.length > 0 {
            stack.expected = segment.sequence.wrapping_add(segment.length);
            break segment.length;
        }
    };
    wire.send(&stack.segment(RST | ACK, b""))?;
    Ok(answered)
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
    /// The next segment of this connection.
    fn answer(&self, wire: &mut impl Wire) -> Result<Segment> {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0u8; 4096];
        while Instant::now() < deadline {
            let Some(length) = wire.receive(&mut buffer) else {
                continue;
            };
            let packet = buffer.get(..length).unwrap_or_default();
            if let Some(segment) = self.parse(packet) {
                ensure!(segment.flags & RST == 0, "the agent reset the connection");
                return Ok(segment);
            }
        }
        bail!("no answer from {}", self.server)
    }

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

/// An IPv4 header before a segment (RFC 791).
pub fn packet(client: SocketAddrV4, server: SocketAddrV4, segment: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(20 + segment.len());
    packet.extend([0x45, 0]);
    packet.extend(((20 + segment.len()) as u16).to_be_bytes());
    // Not to be fragmented; 64 hops; TCP.
    packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    packet.extend(client.ip().octets());
    packet.extend(server.ip().octets());
    let sum = checksum(&packet).to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    packet.extend(segment);
    packet
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
