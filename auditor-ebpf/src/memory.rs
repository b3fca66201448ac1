//! Other processes' memory: ptrace(2), process_vm_readv(2), /proc/PID/mem, pidfd_getfd(2). What the kernel allows is told
//! to userspace, which knows whose the processes are.

use auditor_common::{
    Counter, MEMORY_FOLD_NS, MemoryKey, MemoryRecord, TakenFrom, backend, kind, ptrace_mode,
};
use aya_ebpf::{
    helpers::{bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_ktime_get_boot_ns},
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};

use crate::{
    kernel::{Address, Probed, Reader, Typed, argument, off, pointer, read, setting},
    log::log_match,
    maps::{MEMORY_SEEN, Slot, TAKEN_FROM, count, header, is_live, record, tell_or_count},
    system_call::system_call,
    task::{cgroup_id, describe, describe_target, is_kernel_thread, own_start},
};

/// The last word of `__ptrace_may_access` (kernel/ptrace.c), once credentials allow it; `current` asks for `child`. A thread
/// of the same process is never asked about.
#[fentry(function = "security_ptrace_access_check")]
pub fn memory_fentry(ctx: FEntryContext) -> i32 {
    let matched = unsafe { inspect::<Typed>(ctx.arg(0), ctx.arg(1), backend::FENTRY) };
    log_match!(&ctx, matched, "another process's memory");
    0
}

/// The same where fentry does not attach (arm64 before 6.4).
#[kprobe]
pub fn memory_kprobe(ctx: ProbeContext) -> u32 {
    let regs: Address = ctx.regs.cast();
    let (child, mode) = unsafe { (pointer(regs, off!(regs_arg0)), argument::<1>(regs)) };
    let matched = unsafe { inspect::<Probed>(child, mode as u32, backend::KPROBE) };
    log_match!(&ctx, matched, "another process's memory");
    0
}

/// Whether it was one to tell of.
#[inline(always)]
unsafe fn inspect<R: Reader>(child: Address, mode: u32, by: u16) -> bool {
    // Reading environ, root, cwd and the like, thousands of times where ps(1) runs, is another mode.
    if mode & ptrace_mode::ATTACH == 0 {
        return false;
    }
    let pid_tgid = bpf_get_current_pid_tgid();
    let actor = (pid_tgid >> 32) as u32;
    let target = unsafe { R::read::<u32>(child, off!(task_tgid)) };
    if target == actor || unsafe { is_kernel_thread(child) } {
        return false;
    }
    unsafe { note_taken_from(pid_tgid as u32, child, target) };
    let key = MemoryKey {
        actor_start: unsafe { own_start() },
        target_start: unsafe { start_of(child) },
        actor_cgroup_id: unsafe { bpf_get_current_cgroup_id() },
        actor_pid: actor,
        target_pid: target,
        mode,
        reserved: 0,
    };
    if actor == setting!(own_tgid) {
        count(Counter::Canary);
    } else {
        if !is_live() {
            return false;
        }
        count(Counter::MemoryMatched);
        let now = unsafe { bpf_ktime_get_boot_ns() };
        if let Some(told) = unsafe { MEMORY_SEEN.get(key) }
            && now.wrapping_sub(*told) < MEMORY_FOLD_NS
        {
            count(Counter::MemoryFolded);
            return false;
        }
    }
    // In one place: the verifier would walk through each.
    let told = unsafe { emit(child, mode, by) };
    if told {
        // Only what is in the ring stands for the next; another CPU may tell of the same meanwhile.
        let _ = MEMORY_SEEN.insert(key, unsafe { bpf_ktime_get_boot_ns() }, 0);
    }
    told
}

#[inline(always)]
unsafe fn start_of(task: Address) -> u64 {
    unsafe { read(pointer(task, off!(task_group_leader)), off!(task_start)) }
}

#[inline(always)]
unsafe fn note_taken_from(tid: u32, child: Address, target: u32) {
    let taken = unsafe {
        TakenFrom {
            time: bpf_ktime_get_boot_ns(),
            start_time: start_of(child),
            cgroup_id: cgroup_id(child),
            pid: target,
            reserved: 0,
            comm: read(pointer(child, off!(task_group_leader)), off!(task_comm)),
        }
    };
    let _ = TAKEN_FROM.insert(tid, taken, 0);
}

/// Whether it is in the ring.
#[inline(always)]
unsafe fn emit(child: Address, mode: u32, by: u16) -> bool {
    let Some(memory) = record::<MemoryRecord>(Slot::Memory) else {
        return false;
    };
    unsafe {
        (*memory).header = header::<MemoryRecord>(kind::MEMORY, by);
        (*memory).mode = mode;
        (*memory).reserved = 0;
        system_call(&raw mut (*memory).syscall, &raw mut (*memory).caller);
        describe_target(&raw mut (*memory).target, child);
        describe(&raw mut (*memory).task);
        tell_or_count(memory)
    }
}
