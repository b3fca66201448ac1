//! Descriptors that arrive: SCM_RIGHTS, pidfd_getfd, seccomp's ADDFD. `current` is the receiver in each.

use auditor_common::{
    CANARY_ENDPOINT, ConnectKey, ConnectState, Counter, ReceivedRecord, TakenFrom, backend, class,
    kind,
};
use aya_ebpf::{
    EbpfContext as _,
    helpers::bpf_get_current_pid_tgid,
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};

use crate::{
    kernel::{Address, Probed, off, pointer, read},
    log::log_match,
    maps::{CONNECTS, EVENTS, TAKEN_FROM, count, header},
    system_call::system_call,
    task::describe,
    token_file::{FMODE_PATH, S_IFMT, TokenFile, is_own, token_file},
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

/// What arrived.
enum What {
    Token(TokenFile),
    Connection { socket: u64, state: ConnectState },
}

/// Called for each descriptor that the kernel installs on somebody else's behalf (fs/file.c `receive_fd`, net/core/scm.c).
#[fentry(function = "security_file_receive")]
pub fn received_fentry(ctx: FEntryContext) -> i32 {
    // Read as a number: the compiler packs what arrived in ways that the verifier allows with no typed pointer.
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

/// Whether it was one to tell of.
#[inline(always)]
unsafe fn inspect(file: Address, by: u16) -> bool {
    let inode = unsafe { pointer(file, off!(file_inode)) };
    let is_socket = unsafe { read::<u16>(inode, off!(inode_mode)) } & S_IFMT == S_IFSOCK;
    // Nothing can be read through it, and an open of it would not be told either.
    if unsafe { read::<u32>(file, off!(file_mode)) } & FMODE_PATH != 0 {
        return false;
    }
    let found = if is_socket {
        unsafe { connection(file) }
    } else {
        (unsafe { token_file::<Probed>(file) }).map(What::Token)
    };
    let Some(found) = found else {
        return false;
    };
    let is_canary = match &found {
        What::Token(file) => file.class == class::CANARY,
        What::Connection { state, .. } => state.endpoint == CANARY_ENDPOINT,
    };
    if is_canary && !is_own() {
        return false;
    }
    count(if is_canary {
        Counter::Canary
    } else {
        Counter::ReceivedMatched
    });
    unsafe { emit(&found, by) };
    true
}

/// A socket whose connect to a watched endpoint is known.
#[inline(always)]
unsafe fn connection(file: Address) -> Option<What> {
    // `struct socket` (net/socket.c `sock_alloc_file`); untyped from here.
    let socket = unsafe { pointer(file, off!(file_private_data)) };
    let sk = unsafe { pointer(socket, off!(socket_sk)) } as u64;
    let state = *unsafe { CONNECTS.get(sk) }?;
    Some(What::Connection { socket: sk, state })
}

#[inline(always)]
unsafe fn emit(what: &What, by: u16) {
    let Some(mut entry) = EVENTS.reserve::<ReceivedRecord>(0) else {
        count(Counter::EventRingFull);
        return;
    };
    let record = entry.as_mut_ptr();
    unsafe {
        // pidfd_getfd(2) asked `security_ptrace_access_check` just before, in this thread.
        (*record).from = match TAKEN_FROM.get(bpf_get_current_pid_tgid() as u32) {
            Some(from) => *from,
            None => NOBODY,
        };
        let (syscall, caller) = system_call();
        (*record).syscall = syscall;
        (*record).caller = caller;
        let top_mnt_ns = describe(&raw mut (*record).task);
        match what {
            What::Token(file) => {
                (*record).header = header::<ReceivedRecord>(kind::RECEIVED_FILE, by);
                file.describe(&raw mut (*record).file, top_mnt_ns);
            }
            What::Connection { socket, state } => {
                (*record).header = header::<ReceivedRecord>(kind::RECEIVED_SOCKET, by);
                (*record).key = ConnectKey {
                    socket: *socket,
                    time: state.time,
                };
                (*record).connect = *state;
            }
        }
    }
    entry.submit(0);
}
