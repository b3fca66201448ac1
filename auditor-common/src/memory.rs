use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, TaskContext};

/// What the kernel was asked for: bits of `mode` (include/linux/ptrace.h).
pub mod ptrace_mode {
    pub const ATTACH: u32 = 0x02;
    pub const FSCREDS: u32 = 0x08;
    pub const REALCREDS: u32 = 0x10;
}

/// A process that something is done to, at that moment.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OtherTask {
    /// CLOCK_BOOTTIME, ns.
    pub start_time: u64,
    pub cgroup_id: u64,
    /// As in [`TaskContext`].
    pub reaper_cgroup_id: u64,
    pub reaper_origin_cgroup_id: u64,
    pub reaper_start_time: u64,
    /// The thread group's, in the initial pid namespace.
    pub pid: u32,
    /// The outermost below the initial one; 0 in the initial one.
    pub container_pid_ns: u32,
    pub mnt_ns: u32,
    /// Its parent's pid in the initial pid namespace.
    pub parent_pid: u32,
    /// The parent's pid of the init of `container_pid_ns`: the runtime's shim; 0 in the initial namespace.
    pub reaper_parent_pid: u32,
    pub reserved: u32,
    pub comm: [u8; 16],
}

/// A process may look into another's memory: `security_ptrace_access_check` with `PTRACE_MODE_ATTACH`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MemoryRecord {
    pub header: Header,
    pub target: OtherTask,
    /// See [`ptrace_mode`].
    pub mode: u32,
    /// The system call that asked: its number on this architecture, where `caller` says nothing else.
    pub syscall: u32,
    /// See [`crate::caller`].
    pub caller: u32,
    pub reserved: u32,
    pub task: TaskContext,
}

/// How long one access stands for those that follow it, ns.
pub const MEMORY_FOLD_NS: u64 = 10_000_000_000;

/// Key of `MEMORY_SEEN`: who looked into whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MemoryKey {
    pub actor_start: u64,
    pub target_start: u64,
    /// A process that moves is told of again: it may be somebody else's there.
    pub actor_cgroup_id: u64,
    pub actor_pid: u32,
    pub target_pid: u32,
    pub mode: u32,
    pub reserved: u32,
}

/// Value of `TAKEN_FROM`, keyed by the acting thread: whom it was last allowed to look into. `pidfd_getfd(2)` asks right before
/// the descriptor arrives.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TakenFrom {
    /// Of the check, CLOCK_BOOTTIME, ns.
    pub time: u64,
    /// The target's start, CLOCK_BOOTTIME, ns.
    pub start_time: u64,
    pub cgroup_id: u64,
    /// The thread group's, in the initial pid namespace.
    pub pid: u32,
    pub reserved: u32,
    pub comm: [u8; 16],
}
