//! Connects to the credential endpoints that end before a SYN is sent: no route, no source port, an address that is not one's own.
//! Written as a connect and its outcome, as of those that got further (connect.rs), which takes them out of here.

use core::ptr::read_volatile;

use auditor_common::{
    ConnectAttempt, ConnectKey, ConnectRecord, Counter, EndpointKey, OutcomeRecord, Tuple, backend,
    kind,
};
use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_boot_ns},
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};

use crate::{
    connect::{TCP_CLOSE, count_at, is_connect_folded, mapped, net_ns, tuple},
    kernel::{Address, argument, read, result},
    maps::{ATTEMPTS, ENDPOINTS, EVENTS, Slot, count, count_full_at, header, record, tell},
    task::describe,
};

/// Neither function waits: what is older was left by an exit that nobody saw.
const LONGEST_NS: u64 = 1_000_000_000;

#[fentry(function = "tcp_v4_connect")]
pub fn attempt_v4_fentry(ctx: FEntryContext) -> i32 {
    unsafe { begin_v4(ctx.arg(0), ctx.arg(1)) };
    0
}

#[fentry(function = "tcp_v6_connect")]
pub fn attempt_v6_fentry(ctx: FEntryContext) -> i32 {
    unsafe { begin_v6(ctx.arg(0), ctx.arg(1)) };
    0
}

#[fexit(function = "tcp_v4_connect")]
pub fn attempted_v4_fexit(ctx: FExitContext) -> i32 {
    unsafe { end(ctx.arg(3), backend::FENTRY, Slot::AttemptV4) };
    0
}

#[fexit(function = "tcp_v6_connect")]
pub fn attempted_v6_fexit(ctx: FExitContext) -> i32 {
    unsafe { end(ctx.arg(3), backend::FENTRY, Slot::AttemptV6) };
    0
}

#[kprobe]
pub fn attempt_v4_kprobe(ctx: ProbeContext) -> u32 {
    let regs: Address = ctx.regs.cast();
    unsafe {
        begin_v4(
            argument::<0>(regs) as Address,
            argument::<1>(regs) as Address,
        )
    };
    0
}

#[kprobe]
pub fn attempt_v6_kprobe(ctx: ProbeContext) -> u32 {
    let regs: Address = ctx.regs.cast();
    unsafe {
        begin_v6(
            argument::<0>(regs) as Address,
            argument::<1>(regs) as Address,
        )
    };
    0
}

#[kretprobe]
pub fn attempted_v4_kretprobe(ctx: RetProbeContext) -> u32 {
    let result = unsafe { result(ctx.regs.cast()) } as i32;
    unsafe { end(result, backend::KPROBE, Slot::AttemptV4) };
    0
}

#[kretprobe]
pub fn attempted_v6_kretprobe(ctx: RetProbeContext) -> u32 {
    let result = unsafe { result(ctx.regs.cast()) } as i32;
    unsafe { end(result, backend::KPROBE, Slot::AttemptV6) };
    0
}

/// `address`: the kernel's copy of a `struct sockaddr_in` (include/uapi/linux/in.h).
#[inline(always)]
unsafe fn begin_v4(sk: Address, address: Address) {
    let key = EndpointKey {
        addr: mapped(unsafe { read(address, 4) }),
        port: u32::from(u16::from_be(unsafe { read(address, 2) })),
    };
    unsafe { begin(sk, &key) };
}

/// `address`: `struct sockaddr_in6` (include/uapi/linux/in6.h). A mapped one goes on to `tcp_v4_connect`.
#[inline(always)]
unsafe fn begin_v6(sk: Address, address: Address) {
    let addr: [u32; 4] = unsafe { read(address, 8) };
    if addr == mapped(addr[3]) {
        forget_attempt();
        return;
    }
    let key = EndpointKey {
        addr,
        port: u32::from(u16::from_be(unsafe { read(address, 2) })),
    };
    unsafe { begin(sk, &key) };
}

#[inline(always)]
unsafe fn begin(sk: Address, key: &EndpointKey) {
    let Some(endpoint) = (unsafe { ENDPOINTS.get(key) }) else {
        // One whose exit nobody saw must not be taken for this one's.
        forget_attempt();
        return;
    };
    let Some(bound) = (unsafe { tuple(sk) }) else {
        return;
    };
    let attempt = ConnectAttempt {
        time: unsafe { bpf_ktime_get_boot_ns() },
        socket: sk as u64,
        tuple: Tuple {
            dst: key.addr,
            dst_port: key.port,
            ..bound
        },
        net_ns: unsafe { net_ns(sk) },
        endpoint: *endpoint,
    };
    let _ = ATTEMPTS.insert(thread(), attempt, 0);
}

/// What the thread was in is over, or a SYN goes out, and from here on the socket's states tell.
#[inline(always)]
pub fn forget_attempt() {
    let _ = ATTEMPTS.remove(thread());
}

#[inline(always)]
fn thread() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

#[inline(always)]
unsafe fn end(result: i32, by: u16, slot: Slot) {
    let thread = thread();
    let Some(attempt) = (unsafe { ATTEMPTS.get(thread) }) else {
        return;
    };
    let attempt = *attempt;
    let _ = ATTEMPTS.remove(thread);
    let outcome = header::<OutcomeRecord>(kind::OUTCOME, by);
    // 0: TCP_FASTOPEN_CONNECT, which waits for the first data.
    if result >= 0 || outcome.time.wrapping_sub(attempt.time) > LONGEST_NS {
        return;
    }
    let key = ConnectKey {
        socket: attempt.socket,
        time: attempt.time,
    };
    if unsafe { is_connect_folded(attempt.endpoint) } {
        count(Counter::ConnectAttempted);
        count(Counter::ConnectFolded);
        return;
    }
    let Some(connect) = record::<ConnectRecord>(slot) else {
        return;
    };
    let (told, endpoint) = unsafe {
        (*connect).header = header::<ConnectRecord>(kind::CONNECT, by);
        (*connect).header.time = attempt.time;
        (*connect).key = key;
        (*connect).tuple = attempt.tuple;
        (*connect).endpoint = attempt.endpoint;
        (*connect).net_ns = attempt.net_ns;
        describe(&raw mut (*connect).task);
        // As the record says it: of its own copy the verifier knows from above whether it is a canary's.
        let endpoint = read_volatile(&raw const (*connect).endpoint);
        (tell(&EVENTS, connect), endpoint)
    };
    count_at(endpoint, Counter::ConnectAttempted);
    if !told {
        count_full_at(endpoint);
        return;
    }
    count_at(endpoint, Counter::OutcomeMatched);
    let Some(mut entry) = EVENTS.reserve::<OutcomeRecord>(0) else {
        count_full_at(endpoint);
        return;
    };
    let record = entry.as_mut_ptr();
    unsafe {
        (*record).header = outcome;
        (*record).key = key;
        (*record).tuple = attempt.tuple;
        (*record).bytes_received = 0;
        (*record).bytes_sent = 0;
        (*record).endpoint = endpoint;
        (*record).net_ns = attempt.net_ns;
        (*record).new_state = TCP_CLOSE as u32;
        (*record).errno = result.wrapping_neg() as _;
    }
    entry.submit(0);
}
