//! The little of route netlink that a node's network needs. Hand-written because the guest has no `ip` program and the
//! netlink crates bring an async runtime for what are five messages.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use anyhow::{Context, Result, bail};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netdevice::name_to_index, recv,
    send, socket_with,
};

// Numbers from linux/rtnetlink.h, if_link.h, if_addr.h and veth.h that libc does not name for every target.
const VETH_INFO_PEER: u16 = 1;
const IFA_F_NODAD: u8 = 2;

/// A route netlink socket in the network namespace of the thread that opened it.
pub struct Netlink(OwnedFd);

impl Netlink {
    pub fn open() -> Result<Self> {
        let fd = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        )
        .context("open a netlink socket")?;
        Ok(Self(fd))
    }

    /// A veth pair: `name` here, `peer` in the namespace of `peer_ns`.
    pub fn add_veth(&self, name: &str, peer: &str, peer_ns: BorrowedFd<'_>) -> Result<()> {
        let mut m = Message::new(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        m.link_header(0, 0);
        m.attribute(libc::IFLA_IFNAME, &c_string(name));
        m.nested(libc::IFLA_LINKINFO, |m| {
            m.attribute(libc::IFLA_INFO_KIND, b"veth");
            m.nested(libc::IFLA_INFO_DATA, |m| {
                m.nested(VETH_INFO_PEER, |m| {
                    m.link_header(0, 0);
                    m.attribute(libc::IFLA_IFNAME, &c_string(peer));
                    m.attribute(libc::IFLA_NET_NS_FD, &peer_ns.as_raw_fd().to_ne_bytes());
                });
            });
        });
        self.request(m).with_context(|| {
            format!("add the veth pair {name}, {peer} (is the module veth there?)")
        })
    }

    pub fn set_up(&self, name: &str) -> Result<()> {
        let up = libc::IFF_UP.unsigned_abs();
        let mut m = Message::new(libc::RTM_NEWLINK, 0);
        m.link_header(self.index(name)?, up);
        self.request(m).with_context(|| format!("set {name} up"))
    }

    /// Without duplicate address detection: the address works at once.
    pub fn add_address(&self, name: &str, address: IpAddr, prefix: u8) -> Result<()> {
        let mut m = Message::new(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
        let (family, bytes) = family_and_bytes(address);
        m.bytes(&[family, prefix, IFA_F_NODAD, 0]);
        m.bytes(&self.index(name)?.to_ne_bytes());
        m.attribute(libc::IFA_LOCAL, &bytes);
        m.attribute(libc::IFA_ADDRESS, &bytes);
        self.request(m)
            .with_context(|| format!("add {address}/{prefix} to {name}"))
    }

    /// A route through a gateway; a prefix length of 0 is the default route.
    pub fn add_route(&self, destination: IpAddr, prefix: u8, gateway: IpAddr) -> Result<()> {
        let mut m = Message::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        let (family, bytes) = family_and_bytes(destination);
        m.bytes(&[family, prefix, 0, 0]);
        m.bytes(&[
            libc::RT_TABLE_MAIN,
            libc::RTPROT_BOOT,
            libc::RT_SCOPE_UNIVERSE,
            libc::RTN_UNICAST,
        ]);
        m.bytes(&0u32.to_ne_bytes());
        if prefix > 0 {
            m.attribute(libc::RTA_DST, &bytes);
        }
        m.attribute(libc::RTA_GATEWAY, &family_and_bytes(gateway).1);
        self.request(m)
            .with_context(|| format!("add the route {destination}/{prefix} via {gateway}"))
    }

    fn index(&self, name: &str) -> Result<u32> {
        // Any socket will do for this ioctl; it names the namespace.
        name_to_index(&self.0, name).with_context(|| format!("no network device {name}"))
    }

    fn request(&self, message: Message) -> Result<()> {
        send(self.0.as_fd(), &message.finish(), SendFlags::empty())?;
        let mut reply = [0u8; 4096];
        let (length, _) = recv(self.0.as_fd(), &mut reply, RecvFlags::empty())?;
        let reply = &reply[..length];
        // nlmsghdr: length, type (u16 at 4); then nlmsgerr: errno (i32 at 16), 0 for an acknowledgement.
        let kind = reply
            .get(4..6)
            .and_then(|b| b.try_into().ok())
            .map(u16::from_ne_bytes);
        let errno = reply
            .get(16..20)
            .and_then(|b| b.try_into().ok())
            .map(i32::from_ne_bytes);
        match (kind.map(i32::from), errno) {
            (Some(libc::NLMSG_ERROR), Some(0)) => Ok(()),
            (Some(libc::NLMSG_ERROR), Some(errno)) => {
                Err(io::Error::from_raw_os_error(-errno).into())
            }
            _ => bail!("the kernel's netlink answer makes no sense: {reply:?}"),
        }
    }
}

fn family_and_bytes(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(a) => (libc::AF_INET as u8, a.octets().to_vec()),
        IpAddr::V6(a) => (libc::AF_INET6 as u8, a.octets().to_vec()),
    }
}

fn c_string(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// A netlink message in the making; every part is padded to 4 bytes.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: i32) -> Self {
        let flags = (flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let mut m = Self(vec![0; 4]);
        m.bytes(&kind.to_ne_bytes());
        m.bytes(&flags.to_ne_bytes());
        m.bytes(&[0; 8]);
        m
    }

    /// `ifinfomsg`; the same flags in value and mask.
    fn link_header(&mut self, index: u32, flags: u32) {
        self.bytes(&[0; 4]);
        self.bytes(&index.to_ne_bytes());
        self.bytes(&flags.to_ne_bytes());
        self.bytes(&flags.to_ne_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nested(kind, |m| m.bytes(value));
    }

    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.bytes(&[0; 2]);
        self.bytes(&kind.to_ne_bytes());
        fill(self);
        let length = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}
