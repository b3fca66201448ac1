//! Sockets that a TCP stack of one's own can be built on: packet sockets, and raw ones for TCP. An attempt, whether or not the
//! kernel then lets it (it asks for CAP_NET_RAW behind this hook).

use auditor_common::{Counter, SOCKET_FOLD_NS, SocketKey, SocketKind, SocketRecord, backend, kind};
use aya_ebpf::{
    helpers::{bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_ktime_get_boot_ns},
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};

use crate::{
    kernel::{Address, argument, forget, setting},
    log::log_match,
    maps::{SOCKETS_SEEN, Slot, count, header, is_live, record, tell_or_count},
    task::{describe, own_executable},
};

/// include/linux/socket.h
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const AF_PACKET: u32 = 17;
/// include/linux/net.h
const SOCK_RAW: u32 = 3;
const SOCK_TYPE_MASK: u32 = 0xf;
/// include/uapi/linux/in.h
const IPPROTO_TCP: u32 = 6;

#[fentry(function = "security_socket_create")]
pub fn socket_fentry(ctx: FEntryContext) -> i32 {
    let (family, socket_type, protocol, kern): (u32, u32, u32, u32) =
        (ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg(3));
    let matched = unsafe { inspect(family, socket_type, protocol, kern, backend::FENTRY) };
    log_match!(&ctx, matched, "raw socket");
    0
}

/// The same where fentry does not attach (arm64 before 6.4).
#[kprobe]
pub fn socket_kprobe(ctx: ProbeContext) -> u32 {
    let regs: Address = ctx.regs.cast();
    let matched = unsafe {
        inspect(
            argument::<0>(regs) as u32,
            argument::<1>(regs) as u32,
            argument::<2>(regs) as u32,
            argument::<3>(regs) as u32,
            backend::KPROBE,
        )
    };
    log_match!(&ctx, matched, "raw socket");
    0
}

/// Whether it was one to tell of.
#[inline(always)]
unsafe fn inspect(family: u32, socket_type: u32, protocol: u32, kern: u32, by: u16) -> bool {
    let socket_type = socket_type & SOCK_TYPE_MASK;
    let is_raw_tcp = (family == AF_INET || family == AF_INET6)
        && socket_type == SOCK_RAW
        && protocol == IPPROTO_TCP;
    if kern != 0 || (family != AF_PACKET && !is_raw_tcp) {
        return false;
    }
    let socket = SocketKind {
        family,
        socket_type,
        protocol,
    };
    let (exe_dev, exe_ino) = unsafe { own_executable() };
    let key = SocketKey {
        cgroup_id: unsafe { bpf_get_current_cgroup_id() },
        kind: SocketKind {
            // Whatever is asked for, all of it can be bound to later; and it must not be a way to be told of without end.
            protocol: if family == AF_PACKET { 0 } else { protocol },
            socket_type: if family == AF_PACKET { 0 } else { socket_type },
            family,
        },
        exe_dev,
        exe_ino,
    };
    let (socket, key) = (forget(socket), forget(key));
    if (bpf_get_current_pid_tgid() >> 32) as u32 == setting!(own_tgid) {
        count(Counter::Canary);
    } else {
        if !is_live() {
            return false;
        }
        count(Counter::SocketMatched);
        let now = unsafe { bpf_ktime_get_boot_ns() };
        if let Some(told) = unsafe { SOCKETS_SEEN.get(key) }
            && now.wrapping_sub(*told) < SOCKET_FOLD_NS
        {
            count(Counter::SocketFolded);
            return false;
        }
    }
    // In one place: the verifier would walk through each.
    let told = unsafe { emit(socket, by) };
    if told {
        // Only what is in the ring stands for the next; another CPU may tell of the same meanwhile.
        let _ = SOCKETS_SEEN.insert(key, unsafe { bpf_ktime_get_boot_ns() }, 0);
    }
    told
}

/// Whether it is in the ring.
#[inline(always)]
unsafe fn emit(socket: SocketKind, by: u16) -> bool {
    let Some(created) = record::<SocketRecord>(Slot::Socket) else {
        return false;
    };
    unsafe {
        (*created).header = header::<SocketRecord>(kind::SOCKET_CREATE, by);
        (*created).kind = socket;
        (*created).reserved = 0;
        describe(&raw mut (*created).task);
        tell_or_count(created)
    }
}
