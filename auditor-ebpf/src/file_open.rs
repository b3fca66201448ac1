//! Opens of token files.

use auditor_common::{ABSENT, Counter, OpenRecord, backend, class, kind};
use aya_ebpf::{
    helpers::generated::bpf_get_current_task_btf,
    macros::{btf_tracepoint, fentry, kprobe},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext},
};

use crate::{
    kernel::{Address, Probed, Reader, Typed, forget, off, pointer, read, syscall},
    log::log_match,
    maps::{EVENTS, STRANGERS, Slot, count, header, record, tell},
    task::describe,
    token_file::{FMODE_PATH, TokenFile, is_own, token_file},
};

/// arch/x86/include/asm/thread_info.h
pub const TS_COMPAT: u32 = 0x0002;

/// The one choke point of every way to open (`facts/threats.md`): 32-bit, io_uring, handles, overlay's inner file, fanotify.
#[fentry(function = "security_file_open")]
pub fn file_open_fentry(ctx: FEntryContext) -> i32 {
    let matched = unsafe { inspect::<Typed>(ctx.arg(0), backend::FENTRY) };
    log_match!(&ctx, matched, "file of a token volume opened");
    0
}

/// The same where fentry does not attach (arm64 before 6.4).
#[kprobe]
pub fn file_open_kprobe(ctx: ProbeContext) -> u32 {
    let regs: Address = ctx.regs.cast();
    // At an offset from BTF, so that one object serves every architecture; the verifier takes no computed offset into ctx.
    let file = unsafe { pointer(regs, off!(regs_arg0)) };
    let matched = unsafe { inspect::<Probed>(file, backend::KPROBE) };
    log_match!(&ctx, matched, "file of a token volume opened");
    0
}

/// Last resort, where the kernel has neither: the descriptor that an open returned. Misses 32-bit, io_uring, fanotify and
/// overlay's inner file.
#[btf_tracepoint(function = "sys_exit")]
pub fn file_open_syscall(ctx: BtfTracePointContext) -> i32 {
    let regs: Address = ctx.arg(0);
    // arm64 has 32 bits of it, and something else behind.
    let nr = u64::from(unsafe { Typed::read::<u32>(regs, off!(regs_syscall)) });
    if nr != syscall!(openat)
        && nr != syscall!(open)
        && nr != syscall!(openat2)
        && nr != syscall!(creat)
        && nr != syscall!(open_by_handle_at)
    {
        return 0;
    }
    let fd: i64 = ctx.arg(1);
    if fd < 0 {
        return 0;
    }
    let task = unsafe { bpf_get_current_task_btf() } as Address;
    if off!(task_thread_status) != ABSENT
        && unsafe { Typed::read::<u32>(task, off!(task_thread_status)) } & TS_COMPAT != 0
    {
        return 0;
    }
    let matched = unsafe {
        let files = Typed::pointer(task, off!(task_files));
        let fdt = Typed::pointer(files, off!(files_fdt));
        if fd as u64 >= u64::from(Typed::read::<u32>(fdt, off!(fdtable_max_fds))) {
            return 0;
        }
        let table = Typed::pointer(fdt, off!(fdtable_fd));
        // The chain of types ends at this array of pointers.
        let file = pointer(table.wrapping_add(fd as usize * 8), 0);
        // Nothing can be read through it, and the better hooks are not called for it.
        if read::<u32>(file, off!(file_mode)) & FMODE_PATH != 0 {
            return 0;
        }
        inspect::<Probed>(file, backend::SYSCALL)
    };
    log_match!(&ctx, matched, "file of a token volume opened");
    0
}

/// Whether it was one to tell of.
#[inline(always)]
unsafe fn inspect<R: Reader>(file: Address, by: u16) -> bool {
    let Some(file) = (unsafe { token_file::<R>(file) }) else {
        return false;
    };
    if file.class == class::CANARY && !is_own() {
        return false;
    }
    unsafe { emit(&file, by) };
    true
}

#[inline(always)]
unsafe fn emit(file: &TokenFile, by: u16) {
    let stranger = file.stranger();
    if unsafe { file.is_folded(kind::OPEN, stranger) } {
        count(Counter::OpenFolded);
        count(Counter::OpenMatched);
        return;
    }
    let Some(open) = record::<OpenRecord>(Slot::Open) else {
        return;
    };
    let class = unsafe {
        file.note_class(&raw mut (*open).file);
        (*open).header = header::<OpenRecord>(kind::OPEN, by);
        let top_mnt_ns = describe(&raw mut (*open).task);
        file.describe(&raw mut (*open).file, top_mnt_ns);
        core::ptr::read_volatile(&raw const (*open).file.class)
    };
    count(if class == class::CANARY {
        Counter::Canary
    } else {
        Counter::OpenMatched
    });
    // Or the compiler would choose before the description, and the verifier would walk through that for each ring.
    let stranger = forget(stranger);
    let ring = if stranger != 0 { &STRANGERS } else { &EVENTS };
    if !unsafe { tell(ring, open) } {
        count(if class == class::CANARY {
            Counter::CanaryRingFull
        } else if stranger != 0 {
            Counter::StrangerRingFull
        } else {
            Counter::EventRingFull
        });
    }
}
