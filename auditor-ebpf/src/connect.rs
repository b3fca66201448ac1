//! Connects to the credential endpoints, their outcomes and their ends.

use core::ptr::read_volatile;

use auditor_common::{
    ABSENT, CANARY_ENDPOINT, ConnectKey, ConnectRecord, ConnectState, Counter, EndpointKey,
    OutcomeRecord, Tuple, TupleState, backend, kind,
};
use aya_ebpf::{
    helpers::bpf_get_current_cgroup_id,
    macros::{btf_tracepoint, fentry, kprobe},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext},
};

use crate::{
    attempt::forget_attempt,
    flood,
    kernel::{Address, off, pointer, read},
    maps::{
        CONNECTS, ENDPOINTS, EVENTS, Slot, TUPLES, count, count_full_at, header, record, tell_at,
    },
    task::describe,
    token_file::is_own,
};

/// include/net/tcp_states.h
pub const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
pub const TCP_CLOSE: i32 = 7;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
pub const IPPROTO_TCP: u16 = 6;
/// `tcp_fin` sets it (include/net/sock.h `enum sock_flags`).
const SOCK_DONE: u32 = 1 << 1;

/// Sees TCP Fast Open, io_uring, MPTCP's subflows and SMC; the 4-tuple is final here.
#[fentry(function = "tcp_connect")]
pub fn connect_fentry(ctx: FEntryContext) -> i32 {
    unsafe { on_connect(ctx.arg(0), backend::FENTRY) };
    0
}

#[kprobe]
pub fn connect_kprobe(ctx: ProbeContext) -> u32 {
    let regs: Address = ctx.regs.cast();
    let sk = unsafe { pointer(regs, off!(regs_arg0)) };
    unsafe { on_connect(sk, backend::KPROBE) };
    0
}

/// Last resort: SYN_SENT is set by the connecting task itself, before the source port is chosen.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn connect_syn_sent(ctx: BtfTracePointContext) -> i32 {
    let new: i32 = ctx.arg(2);
    if new == TCP_SYN_SENT {
        unsafe { on_connect(ctx.arg(0), backend::TRACEPOINT) };
    }
    0
}

/// Outcomes and closes, on every backend. It fires in softirq: `current` is anybody.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn sock_state(ctx: BtfTracePointContext) -> i32 {
    let sk: Address = ctx.arg(0);
    let old: i32 = ctx.arg(1);
    let new: i32 = ctx.arg(2);
    if old == TCP_SYN_SENT || new == TCP_CLOSE {
        unsafe { on_change(sk, old, new) };
    }
    0
}

#[inline(always)]
pub fn mapped(v4: u32) -> [u32; 4] {
    [0, 0, u32::from_ne_bytes([0, 0, 0xff, 0xff]), v4]
}

/// The socket's addresses, or `None` when it is neither IPv4 nor IPv6.
#[inline(always)]
pub unsafe fn tuple(sk: Address) -> Option<Tuple> {
    let family = unsafe { read::<u16>(sk, off!(sock_family)) };
    let (src, dst) = if family == AF_INET {
        unsafe {
            (
                mapped(read(sk, off!(sock_rcv_saddr))),
                mapped(read(sk, off!(sock_daddr))),
            )
        }
    } else if family == AF_INET6 && off!(sock_v6_daddr) != ABSENT {
        unsafe {
            (
                read(sk, off!(sock_v6_rcv_saddr)),
                read(sk, off!(sock_v6_daddr)),
            )
        }
    } else {
        return None;
    };
    Some(Tuple {
        src,
        dst,
        src_port: u32::from(unsafe { read::<u16>(sk, off!(sock_num)) }),
        dst_port: u32::from(u16::from_be(unsafe { read::<u16>(sk, off!(sock_dport)) })),
    })
}

#[inline(always)]
pub unsafe fn net_ns(sk: Address) -> u32 {
    unsafe { read(pointer(sk, off!(sock_net)), off!(net_inum)) }
}

#[inline(always)]
pub fn count_at(endpoint: u32, counter: Counter) {
    count(if endpoint == CANARY_ENDPOINT {
        Counter::Canary
    } else {
        counter
    });
}

/// Whether one more connect of `current`'s is folded; never the auditor's own.
#[inline(always)]
pub unsafe fn is_connect_folded(endpoint: u32) -> bool {
    if endpoint == CANARY_ENDPOINT || is_own() {
        return false;
    }
    unsafe { flood::is_folded(kind::CONNECT, u64::from(endpoint), 0, 0) }
}

#[inline(always)]
unsafe fn on_connect(sk: Address, by: u16) {
    // Reading an MPTCP socket as a TCP one yields rubbish.
    if unsafe { read::<u16>(sk, off!(sock_protocol)) } != IPPROTO_TCP {
        return;
    }
    let Some(tuple) = (unsafe { tuple(sk) }) else {
        return;
    };
    let key = EndpointKey {
        addr: tuple.dst,
        port: tuple.dst_port,
    };
    let Some(endpoint) = (unsafe { ENDPOINTS.get(key) }) else {
        return;
    };
    let endpoint = *endpoint;
    forget_attempt();
    count_at(endpoint, Counter::ConnectMatched);
    let header = header::<ConnectRecord>(kind::CONNECT, by);
    let net_ns = unsafe { net_ns(sk) };
    let folded = unsafe { is_connect_folded(endpoint) };
    let state = ConnectState {
        time: header.time,
        cgroup_id: unsafe { bpf_get_current_cgroup_id() },
        tuple,
        net_ns,
        endpoint,
        folded: u32::from(folded),
        reserved: 0,
    };
    // Before anything can drop the event: an unseen connect must not look like a stealthy one.
    let _ = CONNECTS.insert(sk as u64, state, 0);
    if folded {
        count(Counter::ConnectFolded);
        return;
    }
    let Some(connect) = record::<ConnectRecord>(Slot::Connect) else {
        return;
    };
    unsafe {
        (*connect).header = header;
        (*connect).key = ConnectKey {
            socket: sk as u64,
            time: header.time,
        };
        (*connect).tuple = tuple;
        (*connect).endpoint = endpoint;
        (*connect).net_ns = net_ns;
        describe(&raw mut (*connect).task);
        tell_at(connect, read_volatile(&raw const (*connect).endpoint));
    }
}

#[inline(always)]
unsafe fn on_change(sk: Address, old: i32, new: i32) {
    let socket = sk as u64;
    let Some(state) = CONNECTS.get_ptr_mut(socket) else {
        return;
    };
    let state = unsafe { &mut *state };
    let outcome = old == TCP_SYN_SENT;
    if outcome && new == TCP_ESTABLISHED {
        // The last resort came before source address and port were chosen; at the close they are gone (`inet_put_port`).
        if let Some(now) = unsafe { tuple(sk) } {
            state.tuple.src = now.src;
            state.tuple.src_port = now.src_port;
        }
        // Only now: a socket that never gets past SYN_SENT must not explain what a raw socket does on its 4-tuple. The server's
        // side is not ahead: its handshake ends with the ACK that this socket sends next (`tcp_rcv_synsent_state_process`).
        let established = TupleState {
            key: ConnectKey {
                socket,
                time: state.time,
            },
            cgroup_id: state.cgroup_id,
            net_ns: state.net_ns,
            endpoint: state.endpoint,
            folded: state.folded,
            reserved: 0,
        };
        let _ = TUPLES.insert(state.tuple, established, 0);
    }
    count_at(state.endpoint, Counter::OutcomeMatched);
    let kind = if outcome { kind::OUTCOME } else { kind::CLOSED };
    if state.folded != 0 && flood::fold_with_connect(kind, state.cgroup_id) {
        count(Counter::OutcomeFolded);
    } else if let Some(mut entry) = EVENTS.reserve::<OutcomeRecord>(0) {
        let record = entry.as_mut_ptr();
        unsafe {
            (*record).header = header::<OutcomeRecord>(kind, backend::TRACEPOINT);
            (*record).key = ConnectKey {
                socket,
                time: state.time,
            };
            (*record).tuple = state.tuple;
            // The peer's FIN has a sequence number of its own and counts there (net/ipv4/tcp_input.c `tcp_rcv_nxt_update`).
            let fin = u64::from(read::<u32>(sk, off!(sock_flags)) & SOCK_DONE != 0);
            let received: u64 = read(sk, off!(tcp_bytes_received));
            (*record).bytes_received = received.saturating_sub(fin);
            let sent: u64 = read(sk, off!(tcp_bytes_sent));
            (*record).bytes_sent = sent.wrapping_sub(read(sk, off!(tcp_bytes_retrans)));
            (*record).endpoint = state.endpoint;
            (*record).net_ns = state.net_ns;
            (*record).new_state = new as u32;
            (*record).errno = read(sk, off!(sock_err));
        }
        entry.submit(0);
    } else {
        count_full_at(state.endpoint);
    }
    if new != TCP_ESTABLISHED {
        // A refused one put nothing there, and must not take away what another socket did.
        if !outcome {
            let _ = TUPLES.remove(state.tuple);
        }
        let _ = CONNECTS.remove(socket);
    }
}
