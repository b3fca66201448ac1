//! The server's side of the credential endpoints: who listens there, and what is accepted.

use core::ptr::read_volatile;

use auditor_common::{
    ABSENT, AcceptRecord, CANARY_ENDPOINT, ConnectKey, Counter, EndpointKey, ListenRecord, Tuple,
    backend, kind,
};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    connect::{IPPROTO_TCP, TCP_ESTABLISHED, net_ns, tuple},
    flood,
    kernel::{Address, off, pointer, read},
    maps::{ENDPOINTS, EVENTS, Slot, TUPLES, count, count_full_at, header, record, tell_at},
    task::describe,
};

/// include/net/tcp_states.h
const TCP_SYN_RECV: i32 = 3;
const TCP_LISTEN: i32 = 10;

/// Every connection to a watched address ends its handshake here, whoever's stack began it. In softirq: `current` is anybody.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn sock_accept(ctx: BtfTracePointContext) -> i32 {
    let old: i32 = ctx.arg(1);
    let new: i32 = ctx.arg(2);
    if old == TCP_SYN_RECV && new == TCP_ESTABLISHED {
        unsafe { on_accept(ctx.arg(0)) };
    }
    0
}

/// `listen(2)`, in the context of its caller; the local address is final.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn sock_listen(ctx: BtfTracePointContext) -> i32 {
    let new: i32 = ctx.arg(2);
    if new == TCP_LISTEN {
        unsafe { on_listen(ctx.arg(0)) };
    }
    0
}

#[inline(always)]
unsafe fn watched(sk: Address) -> Option<(Tuple, u32)> {
    // Reading an MPTCP socket as a TCP one yields rubbish.
    if unsafe { read::<u16>(sk, off!(sock_protocol)) } != IPPROTO_TCP {
        return None;
    }
    let tuple = unsafe { tuple(sk) }?;
    let key = EndpointKey {
        addr: tuple.src,
        port: tuple.src_port,
    };
    let endpoint = unsafe { ENDPOINTS.get(key) }?;
    Some((tuple, *endpoint))
}

#[inline(always)]
unsafe fn on_accept(sk: Address) {
    let Some((tuple, endpoint)) = (unsafe { watched(sk) }) else {
        return;
    };
    count(if endpoint == CANARY_ENDPOINT {
        Counter::Canary
    } else {
        Counter::AcceptMatched
    });
    let mirrored = Tuple {
        src: tuple.dst,
        dst: tuple.src,
        src_port: tuple.dst_port,
        dst_port: tuple.src_port,
    };
    let found = unsafe { TUPLES.get(mirrored) };
    // Its connect is only counted: it must not look like one that none was seen of.
    if let Some(found) = found
        && found.folded != 0
        && flood::fold_with_connect(kind::ACCEPT, found.cgroup_id)
    {
        count(Counter::AcceptFolded);
        return;
    }
    let Some(mut entry) = EVENTS.reserve::<AcceptRecord>(0) else {
        count_full_at(endpoint);
        return;
    };
    let record = entry.as_mut_ptr();
    unsafe {
        (*record).header = header::<AcceptRecord>(kind::ACCEPT, backend::TRACEPOINT);
        (*record).tuple = tuple;
        (*record).endpoint = endpoint;
        (*record).net_ns = net_ns(sk);
        (*record).listener_cgroup_id = cgroup_id(sk);
        if let Some(found) = found {
            (*record).connect = found.key;
            (*record).connect_net_ns = found.net_ns;
            (*record).matched = 1;
        } else {
            (*record).connect = ConnectKey { socket: 0, time: 0 };
            (*record).connect_net_ns = 0;
            (*record).matched = 0;
        }
    }
    entry.submit(0);
}

/// The cgroup that the socket was made in; 0 where the kernel does not keep it.
#[inline(always)]
pub unsafe fn cgroup_id(sk: Address) -> u64 {
    if off!(sock_cgroup) == ABSENT {
        return 0;
    }
    let cgroup = unsafe { pointer(sk, off!(sock_cgroup)) };
    // Before 5.15 the word may hold net_cls' class instead, marked by its lowest bit (include/linux/cgroup-defs.h).
    if cgroup as u64 & 1 != 0 {
        return 0;
    }
    let kn = unsafe { pointer(cgroup, off!(cgroup_kn)) };
    unsafe { read(kn, off!(kernfs_id)) }
}

#[inline(always)]
unsafe fn on_listen(sk: Address) {
    let Some((tuple, endpoint)) = (unsafe { watched(sk) }) else {
        return;
    };
    count(if endpoint == CANARY_ENDPOINT {
        Counter::Canary
    } else {
        Counter::ListenMatched
    });
    let Some(listen) = record::<ListenRecord>(Slot::Listen) else {
        return;
    };
    unsafe {
        (*listen).header = header::<ListenRecord>(kind::LISTEN, backend::TRACEPOINT);
        (*listen).addr = tuple.src;
        (*listen).port = tuple.src_port;
        (*listen).endpoint = endpoint;
        (*listen).net_ns = net_ns(sk);
        (*listen).reserved = 0;
        describe(&raw mut (*listen).task);
        tell_at(listen, read_volatile(&raw const (*listen).endpoint));
    }
}
