//! Descriptors that arrive: SCM_RIGHTS, pidfd_getfd, seccomp's ADDFD. `current` is the receiver in each.

use core::ptr::read_volatile;

use auditor_common::{
    CANARY_ENDPOINT, ConnectKey, Counter, ReceivedRecord, TakenFrom, backend, class, kind,
};
use aya_ebpf::{
    EbpfContext as _,
    helpers::bpf_get_current_pid_tgid,
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};

use crate::{
    flood,
    kernel::{Address, Probed, off, pointer, read},
    log::log_match,
    maps::{CONNECTS, STRANGERS, Slot, TAKEN_FROM, count, header, record, tell},
    system_call::system_call,
    task::describe,
    token_file::{FMODE_PATH, S_IFMT, is_own, token_file},
};

const S_IFSOCK: u16 = 0o140_000;

const NOBODY: TakenFrom = TakenFrom {
    time: 0,
    start_time: 0,
    cgroup_id: 0,
    pid: 0,
    reserved: 0,
    comm: [0; 16],
};

/// Called for each descriptor that the kernel installs on somebody else's behalf (fs/file.c `receive_fd`, net/core/scm.c).
#[fentry(function = "security_file_receive")]
pub fn received_fentry(ctx: FEntryContext) -> i32 {
    // Read as a number, not as a typed pointer.
    let file = unsafe { pointer(ctx.as_ptr().cast_const().cast(), 0) };
    let matched = unsafe { inspect(file, backend::FENTRY) };
    log_match!(
        &ctx,
        matched,
        "a token's or a connection's descriptor arrived"
    );
    0
}

/// The same where fentry does not attach (arm64 before 6.4).
#[kprobe]
pub fn received_kprobe(ctx: ProbeContext) -> u32 {
    let regs: Address = ctx.regs.cast();
    let file = unsafe { pointer(regs, off!(regs_arg0)) };
    let matched = unsafe { inspect(file, backend::KPROBE) };
    log_match!(
        &ctx,
        matched,
        "a token's or a connection's descriptor arrived"
    );
    0
}

/// Whether it was one to tell of. The two kinds are kept apart to their ends: where the compiler packs a pointer into what either is,
/// it shifts it, and the verifier allows no arithmetic of that sort.
#[inline(always)]
unsafe fn inspect(file: Address, by: u16) -> bool {
    // Nothing can be read through it, and an open of it would not be told either.
    if unsafe { read::<u32>(file, off!(file_mode)) } & FMODE_PATH != 0 {
        return false;
    }
    let inode = unsafe { pointer(file, off!(file_inode)) };
    if unsafe { read::<u16>(inode, off!(inode_mode)) } & S_IFMT == S_IFSOCK {
        unsafe { connection(file, by) }
    } else {
        unsafe { token(file, by) }
    }
}

#[inline(always)]
unsafe fn token(file: Address, by: u16) -> bool {
    let Some(file) = (unsafe { token_file::<Probed>(file) }) else {
        return false;
    };
    if file.class == class::CANARY && !is_own() {
        return false;
    }
    let stranger = file.stranger();
    if unsafe { file.is_folded(kind::RECEIVED_FILE, stranger) } {
        count(Counter::ReceivedFolded);
        count(Counter::ReceivedMatched);
        return true;
    }
    let Some(received) = record::<ReceivedRecord>(Slot::Received) else {
        return true;
    };
    unsafe {
        file.note_class(&raw mut (*received).file);
        (*received).header = header::<ReceivedRecord>(kind::RECEIVED_FILE, by);
        let top_mnt_ns = describe_receiver(received);
        file.describe(&raw mut (*received).file, top_mnt_ns);
        tell_received(
            received,
            read_volatile(&raw const (*received).file.class) == class::CANARY,
        );
    }
    true
}

/// A socket whose connect to a watched endpoint is known.
#[inline(always)]
unsafe fn connection(file: Address, by: u16) -> bool {
    // `struct socket` (net/socket.c `sock_alloc_file`); untyped from here.
    let socket = unsafe { pointer(file, off!(file_private_data)) };
    let sk = unsafe { pointer(socket, off!(socket_sk)) } as u64;
    let Some(state) = (unsafe { CONNECTS.get(sk) }) else {
        return false;
    };
    let state = *state;
    if state.endpoint == CANARY_ENDPOINT && !is_own() {
        return false;
    }
    // Whoever made it: who may have it is the receiver's pod or a stranger, which userspace tells apart.
    let endpoint = u64::from(state.endpoint);
    if !is_own() && unsafe { flood::is_folded(kind::RECEIVED_SOCKET, endpoint, 0, 0) } {
        count(Counter::ReceivedFolded);
        count(Counter::ReceivedMatched);
        return true;
    }
    let Some(received) = record::<ReceivedRecord>(Slot::Received) else {
        return true;
    };
    unsafe {
        (*received).header = header::<ReceivedRecord>(kind::RECEIVED_SOCKET, by);
        (*received).key = ConnectKey {
            socket: sk,
            time: state.time,
        };
        (*received).connect = state;
        describe_receiver(received);
        tell_received(
            received,
            read_volatile(&raw const (*received).connect.endpoint) == CANARY_ENDPOINT,
        );
    }
    true
}

#[inline(always)]
unsafe fn tell_received(received: *const ReceivedRecord, is_canary: bool) {
    count(if is_canary {
        Counter::Canary
    } else {
        Counter::ReceivedMatched
    });
    if !unsafe { tell(&STRANGERS, received) } {
        count(if is_canary {
            Counter::CanaryRingFull
        } else {
            Counter::StrangerRingFull
        });
    }
}

/// Gives the mount namespace of PID 1, as `describe` does.
#[inline(always)]
unsafe fn describe_receiver(received: *mut ReceivedRecord) -> u32 {
    unsafe {
        // pidfd_getfd(2) asked `security_ptrace_access_check` just before, in this thread.
        (*received).from = NOBODY;
        if let Some(from) = TAKEN_FROM.get(bpf_get_current_pid_tgid() as u32) {
            (*received).from = *from;
        }
        system_call(&raw mut (*received).syscall, &raw mut (*received).caller);
        describe(&raw mut (*received).task)
    }
}
