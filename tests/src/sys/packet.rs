//! Packet sockets, which send below the kernel's IP.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use super::raw::owned;

/// For IPv4 packets, without their link header.
pub fn socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    let protocol = i32::from((libc::ETH_P_IP as u16).to_be());
    // SAFETY: no pointers.
    owned(unsafe { libc::socket(libc::AF_PACKET, kind, protocol) }.into())
}

/// Sends an IPv4 packet through the device to a neighbour of that link address.
pub fn send(socket: impl AsFd, device: u32, neighbour: [u8; 6], packet: &[u8]) -> io::Result<()> {
    let [a, b, c, d, e, f] = neighbour;
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_IP as u16).to_be(),
        sll_ifindex: device.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [a, b, c, d, e, f, 0, 0],
    };
    // SAFETY: packet and address live, and have these lengths.
    let sent = unsafe {
        libc::sendto(
            socket.as_fd().as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            0,
            (&raw const address).cast(),
            size_of_val(&address) as u32,
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
