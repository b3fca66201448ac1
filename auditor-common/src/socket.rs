use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, TaskContext};

/// How long one attempt stands for those that follow it, ns.
pub const SOCKET_FOLD_NS: u64 = 10_000_000_000;

/// What was asked of socket(2).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SocketKind {
    /// `AF_…`.
    pub family: u32,
    /// `SOCK_…`, without flags.
    pub socket_type: u32,
    /// As given: an EtherType in network byte order for `AF_PACKET`, else an IP protocol.
    pub protocol: u32,
}

/// Key of `SOCKETS_SEEN`. Not the process: anybody may try, without a right, and from a new process each time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SocketKey {
    pub cgroup_id: u64,
    /// Type and protocol are 0 for `AF_PACKET`: whoever asks for one can receive what another receives.
    pub kind: SocketKind,
    /// The executable's, so that one that is exempt does not stand for another.
    pub exe_dev: u32,
    pub exe_ino: u64,
}

/// A packet or raw TCP socket was asked for; whether the kernel then made it is not known here.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SocketRecord {
    pub header: Header,
    pub kind: SocketKind,
    pub reserved: u32,
    pub task: TaskContext,
}
