//! Cgroups of the default (v2) hierarchy: id to path before a container's first process runs, so that even one that lives
//! 5 ms is known.

use auditor_common::{CGROUP_PATH_LEN, CgroupRecord, Counter, backend, kind};
use aya_ebpf::{
    helpers::generated::bpf_probe_read_kernel_str, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};

use crate::{
    kernel::{Address, Reader, Typed, off, read},
    maps::{LIFECYCLE, count, header},
};

#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    unsafe {
        emit(
            kind::CGROUP_MKDIR,
            ctx.arg(0),
            ctx.arg(1),
            core::ptr::null(),
        )
    };
    0
}

#[btf_tracepoint(function = "cgroup_rmdir")]
pub fn cgroup_rmdir(ctx: BtfTracePointContext) -> i32 {
    unsafe {
        emit(
            kind::CGROUP_RMDIR,
            ctx.arg(0),
            ctx.arg(1),
            core::ptr::null(),
        )
    };
    0
}

#[btf_tracepoint(function = "cgroup_attach_task")]
pub fn cgroup_attach_task(ctx: BtfTracePointContext) -> i32 {
    unsafe { emit(kind::CGROUP_ATTACH, ctx.arg(0), ctx.arg(1), ctx.arg(2)) };
    0
}

#[inline(always)]
unsafe fn emit(kind: u16, cgroup: Address, path: Address, task: Address) {
    // The v1 hierarchies of a hybrid node fire here too; the default one has id 0 (kernel/cgroup/cgroup.c).
    let root = unsafe { Typed::pointer(cgroup, off!(cgroup_root)) };
    if unsafe { Typed::read::<u32>(root, off!(cgroup_root_hierarchy_id)) } != 0 {
        return;
    }
    let kn = unsafe { Typed::pointer(cgroup, off!(cgroup_kn)) };
    let id = unsafe { Typed::read::<u64>(kn, off!(kernfs_id)) };
    count(Counter::LifecycleMatched);
    let Some(mut entry) = LIFECYCLE.reserve::<CgroupRecord>(0) else {
        count(Counter::LifecycleRingFull);
        return;
    };
    let record = entry.as_mut_ptr();
    unsafe {
        (*record).header = header::<CgroupRecord>(kind, backend::TRACEPOINT);
        (*record).cgroup_id = id;
        (*record).pid = 0;
        if !task.is_null() {
            (*record).pid = read(task, off!(task_tgid));
        }
        let len = bpf_probe_read_kernel_str(
            (&raw mut (*record).path).cast(),
            CGROUP_PATH_LEN as u32,
            path.cast(),
        );
        (*record).path_len = if len > 0 { len as u32 - 1 } else { 0 };
    }
    entry.submit(0);
}
