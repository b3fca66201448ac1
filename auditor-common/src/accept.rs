use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Address, ConnectKey, Header, TaskContext, Tuple};

/// A connection that was accepted on a watched address. No task: this runs in softirq, where `current` is anybody.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AcceptRecord {
    pub header: Header,
    /// The connect that made it: its socket is itself established. Zeroes where there is none.
    pub connect: ConnectKey,
    /// Cgroup of whoever made the listening socket (`sk->sk_cgrp_data`, which an accepted one inherits); 0 where the kernel
    /// does not keep it.
    pub listener_cgroup_id: u64,
    /// `src` is the local end, `dst` the peer.
    pub tuple: Tuple,
    pub endpoint: u32,
    /// Of the accepting socket.
    pub net_ns: u32,
    /// Of the connecting one, where it is matched.
    pub connect_net_ns: u32,
    /// 1 where a socket of this node has that connect, established.
    pub matched: u32,
}

/// A socket began to listen on a watched address, in the context of the task that asked for it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ListenRecord {
    pub header: Header,
    pub addr: Address,
    /// Host byte order.
    pub port: u32,
    pub endpoint: u32,
    /// Of the socket; the task's is in `task`.
    pub net_ns: u32,
    pub reserved: u32,
    pub task: TaskContext,
}
