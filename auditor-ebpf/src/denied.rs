//! Refused opens, only with `--watch-denied`: nothing was opened, so all there is is the path that the caller gave.

use auditor_common::{ABSENT, Counter, DENIED_PATH_LEN, DeniedRecord, backend, kind};
use aya_ebpf::{
    helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_user, bpf_probe_read_user_str},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};

use crate::{
    file_open::TS_COMPAT,
    kernel::{Address, Reader, Typed, off, syscall},
    maps::{DENIED, Slot, count, header, is_live, record, tell},
    task::describe,
    token_file::is_own,
};

/// include/uapi/asm-generic/errno-base.h
const EPERM: i64 = 1;
const EACCES: i64 = 13;
/// include/uapi/linux/fcntl.h
const AT_FDCWD: i32 = -100;

#[btf_tracepoint(function = "sys_exit")]
pub fn open_denied(ctx: BtfTracePointContext) -> i32 {
    let result: i64 = ctx.arg(1);
    if result != -EACCES && result != -EPERM {
        return 0;
    }
    let regs: Address = ctx.arg(0);
    let nr = u64::from(unsafe { Typed::read::<u32>(regs, off!(regs_syscall)) });
    let at = nr == syscall!(openat) || nr == syscall!(openat2);
    if !at && nr != syscall!(open) && nr != syscall!(creat) {
        return 0;
    }
    let task = unsafe { bpf_get_current_task_btf() } as Address;
    if off!(task_thread_status) != ABSENT
        && unsafe { Typed::read::<u32>(task, off!(task_thread_status)) } & TS_COMPAT != 0
    {
        return 0;
    }
    unsafe { emit(regs, nr, at, -result as u32) };
    0
}

/// The second and third argument; on arm64 registers follow each other, on x86 each has a name.
#[inline(always)]
unsafe fn argument<const INDEX: u32>(regs: Address) -> u64 {
    let named = if INDEX == 1 {
        off!(regs_arg1)
    } else {
        off!(regs_arg2)
    };
    if named == ABSENT {
        unsafe { Typed::read(regs, off!(regs_arg0) + 8 * INDEX) }
    } else {
        unsafe { Typed::read(regs, named) }
    }
}

#[inline(always)]
unsafe fn emit(regs: Address, nr: u64, at: bool, errno: u32) {
    if !is_own() && !is_live() {
        return;
    }
    count(if is_own() {
        Counter::Canary
    } else {
        Counter::DeniedMatched
    });
    let first: u64 = unsafe { Typed::read(regs, off!(regs_first_arg)) };
    let second = unsafe { argument::<1>(regs) };
    let third = unsafe { argument::<2>(regs) };
    let path = if at { second } else { first };
    let Some(denied) = record::<DeniedRecord>(Slot::Denied) else {
        return;
    };
    unsafe {
        (*denied).header = header::<DeniedRecord>(kind::DENIED, backend::SYSCALL);
        (*denied).errno = errno;
        (*denied).dirfd = if at { first as i32 } else { AT_FDCWD };
        (*denied).reserved = 0;
        (*denied).flags = if nr == syscall!(openat2) {
            0
        } else if at {
            third
        } else {
            second
        };
        if nr == syscall!(openat2) {
            // `struct open_how` begins with the flags; a fault leaves zeroes.
            bpf_probe_read_user((&raw mut (*denied).flags).cast(), 8, third as *const _);
        }
        let len = bpf_probe_read_user_str(
            (&raw mut (*denied).path).cast(),
            DENIED_PATH_LEN as u32,
            path as *const _,
        );
        (*denied).path_len = if len > 0 { len as u32 - 1 } else { 0 };
        describe(&raw mut (*denied).task);
    }
    if !unsafe { tell(&DENIED, denied) } {
        count(if is_own() {
            Counter::CanaryRingFull
        } else {
            Counter::DeniedRingFull
        });
    }
}
