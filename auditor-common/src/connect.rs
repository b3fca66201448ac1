use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, TaskContext};

/// An IPv6 address as it lies in memory, in network byte order; IPv4 is v4-mapped (`::ffff:a.b.c.d`, RFC 4291 2.5.5.2).
/// Words, not bytes: the BPF back end moves bytes one by one.
pub type Address = [u32; 4];

/// Value in `ENDPOINTS` of the auditor's own canary.
pub const CANARY_ENDPOINT: u32 = u32::MAX;

/// Key of `ENDPOINTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EndpointKey {
    pub addr: Address,
    /// Host byte order.
    pub port: u32,
}

/// The client's side of a connection; as a key of `TUPLES` it is what its server sees, mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tuple {
    pub src: Address,
    pub dst: Address,
    /// Host byte order; 0 while not chosen.
    pub src_port: u32,
    /// Host byte order.
    pub dst_port: u32,
}

/// Names a connect: a socket's address is reused, with the time of the connect it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ConnectKey {
    pub socket: u64,
    /// CLOCK_BOOTTIME, ns.
    pub time: u64,
}

/// Value of `CONNECTS`, keyed by the socket's address: written before anything may drop the event.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ConnectState {
    pub time: u64,
    pub cgroup_id: u64,
    pub tuple: Tuple,
    pub net_ns: u32,
    pub endpoint: u32,
    /// 1 where flood control folded the connect, and so what comes of it.
    pub folded: u32,
    pub reserved: u32,
}

/// Value of `ATTEMPTS`: a connect that has not sent a SYN yet. The source is what the socket is bound to, 0 where it is not.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ConnectAttempt {
    pub time: u64,
    pub socket: u64,
    pub tuple: Tuple,
    pub net_ns: u32,
    pub endpoint: u32,
}

/// Connections that `TUPLES` holds; the least recently used goes first, as in `CONNECTS`.
pub const TUPLES: u32 = 16_384;

/// Value of `TUPLES`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TupleState {
    pub key: ConnectKey,
    /// The connect's.
    pub cgroup_id: u64,
    /// Of the connecting socket.
    pub net_ns: u32,
    pub endpoint: u32,
    /// As in [`ConnectState`].
    pub folded: u32,
    pub reserved: u32,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ConnectRecord {
    pub header: Header,
    pub key: ConnectKey,
    pub tuple: Tuple,
    /// Index that userspace gave the endpoint in `ENDPOINTS`.
    pub endpoint: u32,
    /// Network namespace of the socket; the task's is in `task`.
    pub net_ns: u32,
    pub task: TaskContext,
}

/// An outcome (`kind::OUTCOME`) or a close (`kind::CLOSED`). No task: these run in softirq, where `current` is anybody.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OutcomeRecord {
    pub header: Header,
    pub key: ConnectKey,
    pub tuple: Tuple,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub endpoint: u32,
    pub net_ns: u32,
    /// `include/net/tcp_states.h`.
    pub new_state: u32,
    /// `sk->sk_err`.
    pub errno: u32,
}
