//! Which system call `current` is in.

use core::ptr::{read_volatile, write_volatile};

use auditor_common::{ABSENT, caller};
use aya_ebpf::helpers::{
    bpf_get_current_task,
    generated::{bpf_get_current_task_btf, bpf_task_pt_regs},
};

use crate::{
    file_open::TS_COMPAT,
    kernel::{Address, off, pointer, read},
};

/// include/linux/sched.h
const PF_IO_WORKER: u32 = 0x10;
/// arch/x86/include/asm/page_64_types.h, arch/arm64/include/asm/memory.h: with pages of 4 KiB.
const THREAD_SIZE: u64 = 16 << 10;

/// Writes its number, and what is to be known of that ([`caller`]): into a record, of which the verifier keeps nothing in mind, where
/// registers would have it follow each combination to the program's end.
#[inline(always)]
pub unsafe fn system_call(number: *mut u32, caller: *mut u32) {
    let task = unsafe { bpf_get_current_task() } as Address;
    let regs = if off!(helper_task_pt_regs) != ABSENT {
        (unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) }) as Address
    } else {
        // Before 5.15: what the kernel pushed first, at the top of its stack for this task (no FRED there).
        let stack = unsafe { pointer(task, off!(task_stack)) };
        stack.wrapping_add((THREAD_SIZE - u64::from(off!(regs_size))) as usize)
    };
    unsafe {
        *number = read(regs, off!(regs_syscall));
        write_volatile(caller, 0);
    }
    if unsafe { read::<u32>(task, off!(task_flags)) } & PF_IO_WORKER != 0 {
        unsafe { write_volatile(caller, read_volatile(caller) | caller::IO_WORKER) };
    }
    if off!(task_thread_status) != ABSENT
        && unsafe { read::<u32>(task, off!(task_thread_status)) } & TS_COMPAT != 0
    {
        unsafe { write_volatile(caller, read_volatile(caller) | caller::COMPAT) };
    }
}
