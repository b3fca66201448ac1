//! Describing the acting task.

use auditor_common::{
    ABSENT, ARGS_LEN, EXE_PATH_LEN, OtherTask, PARENTS, TaskContext, task_flags as flags,
};
use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_task,
    bpf_get_current_uid_gid, generated::bpf_probe_read_user,
};

use crate::{
    kernel::{Address, off, pointer, read},
    path::{Names, in_mount_namespace},
};

/// include/linux/sched.h
const PF_KTHREAD: u32 = 0x0020_0000;
/// include/uapi/linux/magic.h
const OVERLAYFS_SUPER_MAGIC: u64 = 0x794c_7630;
/// Ancestors that are looked at for the process's place in its pid namespace.
const ANCESTORS: usize = 48;
/// Components and mounts between an executable and its process's root.
const EXE_STEPS: usize = 24;

#[inline(always)]
unsafe fn leader(task: Address) -> Address {
    unsafe { pointer(task, off!(task_group_leader)) }
}

/// The task's pid namespace at `level` of nesting, 0 being the initial one, and its pid there.
#[inline(always)]
unsafe fn pid_at(pid: Address, level: u32) -> (Address, u32) {
    let upid = pid.wrapping_add((off!(pid_numbers) + level * off!(upid_size)) as usize);
    unsafe { (pointer(upid, off!(upid_ns)), read(upid, off!(upid_nr))) }
}

#[inline(always)]
unsafe fn level(pid: Address) -> u32 {
    // include/linux/pid_namespace.h MAX_PID_NS_LEVEL
    (unsafe { read::<u32>(pid, off!(pid_level)) }) & 0x1f
}

/// The task's container, as the kernel has it: the outermost pid namespace below the initial one. What is made inside says
/// nothing, since whoever is inside can make it.
struct Container {
    /// `struct pid_namespace`; the initial one outside containers.
    ns: Address,
    /// The task's thread group's pid there.
    nr: u32,
    is_initial: bool,
}

#[inline(always)]
unsafe fn container(leader: Address) -> Container {
    let pid = unsafe { pointer(leader, off!(task_thread_pid)) };
    let is_initial = unsafe { level(pid) } == 0;
    let (ns, nr) = unsafe { pid_at(pid, if is_initial { 0 } else { 1 }) };
    Container { ns, nr, is_initial }
}

impl Container {
    /// Inode number; 0 for the initial namespace.
    #[inline(always)]
    unsafe fn inum(&self) -> u32 {
        if self.is_initial {
            0
        } else {
            unsafe { read(self.ns, off!(pid_ns_inum)) }
        }
    }

    /// The namespace's init.
    #[inline(always)]
    unsafe fn reaper(&self) -> Address {
        unsafe { pointer(self.ns, off!(pid_ns_child_reaper)) }
    }
}

#[inline(always)]
unsafe fn mnt_ns(task: Address) -> u32 {
    let nsproxy = unsafe { pointer(task, off!(task_nsproxy)) };
    let ns = unsafe { pointer(nsproxy, off!(nsproxy_mnt_ns)) };
    unsafe { read(ns, off!(mnt_ns_inum)) }
}

/// The root of the task's cgroup namespace: where it was when the runtime made that namespace, wherever it went since.
#[inline(always)]
unsafe fn origin_cgroup_id(task: Address) -> u64 {
    let nsproxy = unsafe { pointer(task, off!(task_nsproxy)) };
    let ns = unsafe { pointer(nsproxy, off!(nsproxy_cgroup_ns)) };
    let css_set = unsafe { pointer(ns, off!(cgroup_ns_root_cset)) };
    unsafe { kernfs_id(css_set) }
}

#[inline(always)]
pub unsafe fn cgroup_id(task: Address) -> u64 {
    unsafe { kernfs_id(pointer(task, off!(task_cgroups))) }
}

#[inline(always)]
unsafe fn kernfs_id(css_set: Address) -> u64 {
    let cgroup = unsafe { pointer(css_set, off!(css_set_dfl_cgrp)) };
    let kn = unsafe { pointer(cgroup, off!(cgroup_kn)) };
    unsafe { read(kn, off!(kernfs_id)) }
}

/// When `current`'s thread group began.
#[inline(always)]
pub unsafe fn own_start() -> u64 {
    let task = unsafe { bpf_get_current_task() } as Address;
    unsafe { read(leader(task), off!(task_start)) }
}

#[inline(always)]
pub unsafe fn is_kernel_thread(task: Address) -> bool {
    (unsafe { read::<u32>(task, off!(task_flags)) }) & PF_KTHREAD != 0
}

#[inline(always)]
unsafe fn parent_pid(task: Address) -> u32 {
    unsafe { read(pointer(task, off!(task_real_parent)), off!(task_tgid)) }
}

/// Fills `out` for another task than `current`.
#[inline(always)]
pub unsafe fn describe_target(out: *mut OtherTask, task: Address) {
    unsafe {
        let leader = leader(task);
        let container = container(leader);
        let reaper = container.reaper();
        (*out).start_time = read(leader, off!(task_start));
        (*out).cgroup_id = cgroup_id(task);
        (*out).reaper_cgroup_id = cgroup_id(reaper);
        (*out).reaper_origin_cgroup_id = origin_cgroup_id(reaper);
        (*out).reaper_start_time = read(reaper, off!(task_start));
        (*out).pid = read(task, off!(task_tgid));
        (*out).container_pid_ns = container.inum();
        (*out).mnt_ns = mnt_ns(task);
        (*out).parent_pid = parent_pid(leader);
        (*out).reaper_parent_pid = parent_pid(reaper);
        (*out).reserved = 0;
        (*out).comm = read(leader, off!(task_comm));
    }
}

/// Fills `out` for `current` and returns the mount namespace of PID 1, or 0 when the walk up did not reach it.
#[inline(always)]
pub unsafe fn describe(out: *mut TaskContext) -> u32 {
    let task = unsafe { bpf_get_current_task() } as Address;
    let pid_tgid = bpf_get_current_pid_tgid();
    let uid_gid = bpf_get_current_uid_gid();
    unsafe {
        (*out).pid = (pid_tgid >> 32) as u32;
        (*out).tid = pid_tgid as u32;
        (*out).uid = uid_gid as u32;
        (*out).gid = (uid_gid >> 32) as u32;
        (*out).cgroup_id = bpf_get_current_cgroup_id();
    }
    unsafe {
        let top_mnt_ns = common(task, out);
        arguments(task, out);
        top_mnt_ns
    }
}

/// The same for a task that is not `current`, and without its arguments: its memory is out of reach.
#[inline(always)]
pub unsafe fn describe_other(task: Address, out: *mut TaskContext) -> u32 {
    unsafe {
        (*out).pid = read(task, off!(task_tgid));
        (*out).tid = read(task, off!(task_pid));
        let cred = pointer(task, off!(task_cred));
        (*out).uid = read(cred, off!(cred_uid));
        (*out).gid = read(cred, off!(cred_gid));
        (*out).cgroup_id = cgroup_id(task);
        (*out).args_len = 0;
    }
    unsafe { common(task, out) }
}

/// What is read the same way of any task: flags, and the mount namespace of PID 1 or 0.
#[inline(always)]
unsafe fn common(task: Address, out: *mut TaskContext) -> u32 {
    unsafe {
        (*out).comm = read(task, off!(task_comm));
        (*out).cap_effective = read(pointer(task, off!(task_cred)), off!(cred_cap_effective));
        (*out).login_uid = if off!(task_loginuid) == ABSENT {
            u32::MAX
        } else {
            read(task, off!(task_loginuid))
        };
        (*out).tty = terminal(task);
        (*out).mnt_ns = mnt_ns(task);
        let nsproxy = pointer(task, off!(task_nsproxy));
        (*out).net_ns = read(pointer(nsproxy, off!(nsproxy_net_ns)), off!(net_inum));
    }
    unsafe { core::ptr::write_volatile(&raw mut (*out).flags, 0) };
    if unsafe { is_kernel_thread(task) } {
        unsafe { mark(out, flags::KERNEL_THREAD) };
    }
    unsafe {
        executable(task, out);
        ancestors(task, out)
    }
}

/// Sets a flag. The flags live in the record, not in a register, as [`Names`]' lengths do: 6.1 would walk up the ancestors
/// once for each combination of them, a quarter of its million instructions a time.
#[inline(always)]
unsafe fn mark(out: *mut TaskContext, flag: u32) {
    unsafe {
        let flags = &raw mut (*out).flags;
        core::ptr::write_volatile(flags, core::ptr::read_volatile(flags) | flag);
    }
}

/// Parents, the container and the process's highest ancestor in it; returns the mount namespace of PID 1, or 0.
#[inline(always)]
unsafe fn ancestors(task: Address, out: *mut TaskContext) -> u32 {
    let mut at = unsafe { leader(task) };
    let own = unsafe { container(at) };
    let mut root_nspid = own.nr;
    unsafe {
        (*out).start_time = read(at, off!(task_start));
        let pid = pointer(at, off!(task_thread_pid));
        (*out).pid_ns = read(pid_at(pid, level(pid)).0, off!(pid_ns_inum));
        (*out).container_pid_ns = own.inum();
        let reaper = own.reaper();
        (*out).reaper_cgroup_id = cgroup_id(reaper);
        (*out).reaper_origin_cgroup_id = origin_cgroup_id(reaper);
        (*out).reaper_start_time = read(reaper, off!(task_start));
        (*out).reaper_mnt_ns = mnt_ns(reaper);
    }
    unsafe {
        (*out).root_pid = 0;
        (*out).reserved = 0;
        (*out).root_start_time = 0;
    }
    let mut known = false;
    let mut top_mnt_ns = 0;
    let mut parents = 0;
    for step in 0..ANCESTORS {
        let parent = unsafe { leader(pointer(at, off!(task_real_parent))) };
        if parent.is_null() || parent == at {
            break;
        }
        let pid = unsafe { read::<u32>(parent, off!(task_tgid)) };
        if pid == 0 {
            break;
        }
        if step < PARENTS {
            unsafe {
                (*out).parents[step].pid = pid;
                (*out).parents[step].comm = read(parent, off!(task_comm));
            }
            parents = step as u32 + 1;
        }
        if !known {
            let above = unsafe { container(parent) };
            if above.ns == own.ns {
                root_nspid = above.nr;
            } else {
                known = true;
                unsafe {
                    mark(out, flags::ROOT_KNOWN);
                    (*out).root_pid = read(at, off!(task_tgid));
                    (*out).root_start_time = read(at, off!(task_start));
                }
            }
        }
        if pid == 1 {
            top_mnt_ns = unsafe { mnt_ns(parent) };
            break;
        }
        at = parent;
    }
    unsafe {
        (*out).parents_len = parents;
        (*out).root_nspid = root_nspid;
    }
    top_mnt_ns
}

/// Pid, in `current`'s container, of its highest ancestor there, where that is not the container's init but came in from outside. 0 for
/// the init's descendants, outside of containers, and where the way up is too long. As [`ancestors`] tells it, and cheaper.
#[inline(always)]
pub unsafe fn session() -> u32 {
    let mut at = unsafe { bpf_get_current_task() } as Address;
    if unsafe { level(pointer(at, off!(task_thread_pid))) } == 0 {
        return 0;
    }
    for _ in 0..ANCESTORS {
        // A thread's level is its process's, and so is its parent.
        let parent = unsafe { pointer(at, off!(task_real_parent)) };
        if unsafe { level(pointer(parent, off!(task_thread_pid))) } == 0 {
            let (_, nr) = unsafe { pid_at(pointer(leader(at), off!(task_thread_pid)), 1) };
            return if nr == 1 { 0 } else { nr };
        }
        at = parent;
    }
    0
}

#[inline(always)]
unsafe fn terminal(task: Address) -> [u8; 16] {
    let signal = unsafe { pointer(task, off!(task_signal)) };
    let tty = unsafe { pointer(signal, off!(signal_tty)) };
    if tty.is_null() {
        return [0; 16];
    }
    unsafe { read(tty, off!(tty_name)) }
}

/// Device and inode of the executable of `current`, 0 where it has none.
#[inline(always)]
pub unsafe fn own_executable() -> (u32, u64) {
    let mm = unsafe { pointer(bpf_get_current_task() as Address, off!(task_mm)) };
    let inode = unsafe { pointer(pointer(mm, off!(mm_exe_file)), off!(file_inode)) };
    let sb = unsafe { pointer(inode, off!(inode_sb)) };
    unsafe { (read(sb, off!(sb_dev)), read(inode, off!(inode_ino))) }
}

#[inline(always)]
unsafe fn executable(task: Address, out: *mut TaskContext) {
    let mm = unsafe { pointer(task, off!(task_mm)) };
    let file = unsafe { pointer(mm, off!(mm_exe_file)) };
    if file.is_null() {
        unsafe {
            (*out).exe_path_len = 0;
            (*out).exe_ino = 0;
            (*out).exe_dev = 0;
        }
        return;
    }
    unsafe { mark(out, flags::HAS_EXE) };
    let inode = unsafe { pointer(file, off!(file_inode)) };
    let sb = unsafe { pointer(inode, off!(inode_sb)) };
    unsafe {
        (*out).exe_ino = read(inode, off!(inode_ino));
        (*out).exe_dev = read(sb, off!(sb_dev));
    }
    if unsafe { read::<u32>(inode, off!(inode_nlink)) } == 0 {
        unsafe { mark(out, flags::EXE_UNLINKED) };
    }
    if unsafe { read::<u64>(sb, off!(sb_magic)) } == OVERLAYFS_SUPER_MAGIC {
        unsafe { mark(out, flags::EXE_OVERLAY) };
        if !unsafe { pointer(inode, off!(inode_size)) }.is_null() {
            unsafe { mark(out, flags::EXE_UPPER) };
        }
    }
    let names = unsafe {
        Names {
            buffer: &raw mut (*out).exe_path,
            used: &raw mut (*out).exe_path_len,
        }
    };
    let whole = unsafe {
        in_mount_namespace::<EXE_PATH_LEN, 128, EXE_STEPS>(
            &names,
            pointer(file, off!(file_dentry)),
            pointer(file, off!(file_mnt)),
        )
    };
    if !whole {
        unsafe { mark(out, flags::EXE_PATH_CUT) };
    }
}

#[inline(always)]
unsafe fn arguments(task: Address, out: *mut TaskContext) {
    if unsafe { command_line(task, &raw mut (*out).args, &raw mut (*out).args_len) } {
        unsafe { mark(out, flags::ARGS_CUT) };
    }
}

/// argv of `current`; whether it was cut off.
#[inline(always)]
pub unsafe fn command_line(task: Address, out: *mut [u8; ARGS_LEN], used: *mut u32) -> bool {
    unsafe { *used = 0 };
    let mm = unsafe { pointer(task, off!(task_mm)) };
    if mm.is_null() {
        return false;
    }
    let start = unsafe { read::<u64>(mm, off!(mm_arg_start)) };
    let end = unsafe { read::<u64>(mm, off!(mm_arg_end)) };
    let len = end.wrapping_sub(start);
    let (len, cut) = if len > ARGS_LEN as u64 {
        (ARGS_LEN as u64, true)
    } else {
        (len, false)
    };
    if unsafe { bpf_probe_read_user(out.cast(), len as u32, start as *const _) } != 0 {
        return false;
    }
    unsafe { *used = len as u32 };
    cut
}

/// The task is in a container (the first pid namespace below the initial one), its parent is outside of it, and it is not
/// the container's init. Nobody inside can bring that about: orphans go to the init.
#[inline(always)]
pub unsafe fn enters_container(task: Address) -> bool {
    let leader = unsafe { leader(task) };
    let pid = unsafe { pointer(leader, off!(task_thread_pid)) };
    if unsafe { level(pid) } != 1 {
        return false;
    }
    let parent = unsafe { self::leader(pointer(leader, off!(task_real_parent))) };
    if unsafe { level(pointer(parent, off!(task_thread_pid))) } != 0 {
        return false;
    }
    let (_, nr) = unsafe { pid_at(pid, 1) };
    nr != 1
}
