use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub const PARENTS: usize = 6;
pub const EXE_PATH_LEN: usize = 384;
pub const ARGS_LEN: usize = 512;

/// [`TaskContext::flags`].
pub mod flags {
    pub const HAS_EXE: u32 = 1;
    /// nlink 0: a memfd, or deleted since.
    pub const EXE_UNLINKED: u32 = 1 << 1;
    /// On an overlay.
    pub const EXE_OVERLAY: u32 = 1 << 2;
    /// On the overlay's upper layer.
    pub const EXE_UPPER: u32 = 1 << 3;
    /// PF_KTHREAD: not a pod, whatever its cgroup.
    pub const KERNEL_THREAD: u32 = 1 << 4;
    /// The path had more components, or longer ones, than fit.
    pub const EXE_PATH_CUT: u32 = 1 << 5;
    pub const ARGS_CUT: u32 = 1 << 6;
    /// The walk up the parents reached another pid namespace: `root_nspid` holds.
    pub const ROOT_KNOWN: u32 = 1 << 7;
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ParentTask {
    pub pid: u32,
    pub comm: [u8; 16],
}

/// The acting process at the moment of the event: `/proc` is too late for one that lives 1 ms.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TaskContext {
    /// CLOCK_BOOTTIME, ns.
    pub start_time: u64,
    pub cgroup_id: u64,
    /// Cgroup of the init (`pid_namespace.child_reaper`) of the outermost pid namespace below the initial one: whose
    /// container it is, without guessing, and however many namespaces were made inside.
    pub reaper_cgroup_id: u64,
    /// Root of that init's cgroup namespace, which the runtime makes in the container's cgroup: it stays when the init moves.
    pub reaper_origin_cgroup_id: u64,
    /// That init's start, CLOCK_BOOTTIME, ns: with `container_pid_ns` it names the namespace for good.
    pub reaper_start_time: u64,
    /// Start of the highest ancestor in `container_pid_ns`, the process itself included. Holds only with `ROOT_KNOWN`.
    pub root_start_time: u64,
    pub cap_effective: u64,
    pub exe_ino: u64,
    pub pid: u32,
    pub tid: u32,
    pub uid: u32,
    pub gid: u32,
    /// `u32::MAX`: unset.
    pub login_uid: u32,
    /// The innermost, as in `/proc/PID/ns/pid`.
    pub pid_ns: u32,
    /// The outermost below the initial one; 0 in the initial one.
    pub container_pid_ns: u32,
    pub mnt_ns: u32,
    pub net_ns: u32,
    /// Mount namespace of the container's init.
    pub reaper_mnt_ns: u32,
    pub exe_dev: u32,
    /// Pid, within `container_pid_ns`, of the process's highest ancestor there: 1 for a descendant of the container's
    /// init, another for what was exec'd in from outside. Holds only with `ROOT_KNOWN`.
    pub root_nspid: u32,
    /// That ancestor's pid in the initial namespace.
    pub root_pid: u32,
    pub reserved: u32,
    /// See [`flags`].
    pub flags: u32,
    pub parents_len: u32,
    pub exe_path_len: u32,
    pub args_len: u32,
    pub comm: [u8; 16],
    /// Controlling terminal's name, NUL-ended; empty when none.
    pub tty: [u8; 16],
    pub parents: [ParentTask; PARENTS],
    /// Components leaf first, each ended by NUL, within the process's root.
    pub exe_path: [u8; EXE_PATH_LEN],
    /// As in `/proc/PID/cmdline`.
    pub args: [u8; ARGS_LEN],
}
