//! What exec sessions run: their first process may be gone, with its argv, when a child of it opens a token.

use auditor_common::{Counter, ExecRecord, backend, kind};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    kernel::{Address, Reader, Typed, off, read},
    maps::{LIFECYCLE, count, header, is_live},
    task::{command_line, enters_container},
};

/// Fires once for each successful execve, in the new program's context.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn session_exec(ctx: BtfTracePointContext) -> i32 {
    let task: Address = ctx.arg(0);
    // The host's own processes, most of all that execute something, end here.
    let pid = unsafe { Typed::pointer(task, off!(task_thread_pid)) };
    if unsafe { Typed::read::<u32>(pid, off!(pid_level)) } == 0 {
        return 0;
    }
    if unsafe { enters_container(task) } {
        unsafe { emit(task) };
    }
    0
}

#[inline(always)]
unsafe fn emit(task: Address) {
    if !is_live() {
        return;
    }
    // With what is always read first: an open that is told in either ring is judged by what its session ran.
    let Some(mut entry) = LIFECYCLE.reserve::<ExecRecord>(0) else {
        count(Counter::SessionRingFull);
        return;
    };
    let record = entry.as_mut_ptr();
    unsafe {
        (*record).header = header::<ExecRecord>(kind::EXEC, backend::TRACEPOINT);
        (*record).pid = read(task, off!(task_tgid));
        // The kernel makes the thread that executes its group's leader, and gives it the leader's start (fs/exec.c `de_thread`).
        (*record).start_time = read(task, off!(task_start));
        (*record).cgroup_id = crate::task::cgroup_id(task);
        command_line(task, &raw mut (*record).args, &raw mut (*record).args_len);
    }
    entry.submit(0);
}
