//! Offsets of kernel structure members, resolved from the running kernel's BTF at load: rustc emits no CO-RE relocations.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The member does not exist on this kernel; the verifier removes the code that would have used it.
pub const ABSENT: u32 = u32::MAX;

/// Where a field of [`Offsets`] comes from.
#[derive(Clone, Copy, Debug)]
pub struct FieldSpec {
    pub name: &'static str,
    /// Loading fails without it.
    pub required: bool,
    /// `struct.member.member`, the first that exists wins; `sizeof struct` for a size, `func name` for a function: 0 where it exists.
    pub paths: &'static [&'static str],
}

macro_rules! offsets {
    ($($(#[$doc:meta])* $need:ident $name:ident = $($path:literal)|+;)+) => {
        /// Bytes from the start of the structure that the field's name begins with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct Offsets { $($(#[$doc])* pub $name: u32,)+ }

        /// One entry a field of [`Offsets`], in its order.
        pub const FIELDS: &[FieldSpec] = &[
            $(FieldSpec { name: stringify!($name), required: offsets!(@$need), paths: &[$($path),+] },)+
        ];

        impl Offsets {
            /// All fields [`ABSENT`].
            pub const fn absent() -> Self { Self { $($name: ABSENT,)+ } }
        }
    };
    (@needed) => { true };
    (@wanted) => { false };
}

offsets! {
    needed file_inode = "file.f_inode";
    needed file_flags = "file.f_flags";
    needed file_mode = "file.f_mode";
    needed file_dentry = "file.f_path.dentry" | "file.__f_path.dentry";
    needed file_mnt = "file.f_path.mnt" | "file.__f_path.mnt";
    needed file_private_data = "file.private_data";
    needed inode_sb = "inode.i_sb";
    needed inode_ino = "inode.i_ino";
    needed inode_nlink = "inode.i_nlink" | "inode.__i_nlink";
    needed inode_mode = "inode.i_mode";
    /// The overlay's upper dentry lies right behind its `struct inode` (fs/overlayfs/ovl_entry.h).
    needed inode_size = "sizeof inode";
    needed sb_magic = "super_block.s_magic";
    needed sb_dev = "super_block.s_dev";
    needed sb_uuid = "super_block.s_uuid";
    wanted sb_mounts = "super_block.s_mounts";
    needed dentry_parent = "dentry.d_parent";
    needed dentry_name = "dentry.d_name.name" | "dentry.__d_name.name";
    needed mount_vfsmount = "mount.mnt";
    needed mount_parent = "mount.mnt_parent";
    needed mount_mountpoint = "mount.mnt_mountpoint";
    needed mount_ns = "mount.mnt_ns";
    /// Up to 6.17: `s_mounts` is a list_head through here.
    wanted mount_instance = "mount.mnt_instance";
    /// From 6.18: `s_mounts` points at the first mount, and this at the next.
    wanted mount_next_for_sb = "mount.mnt_next_for_sb";
    needed mnt_ns_inum = "mnt_namespace.ns.inum";
    needed vfsmount_root = "vfsmount.mnt_root";
    needed task_real_parent = "task_struct.real_parent";
    /// `real_parent` may be any thread of the parent.
    needed task_group_leader = "task_struct.group_leader";
    needed task_tgid = "task_struct.tgid";
    needed task_pid = "task_struct.pid";
    needed task_comm = "task_struct.comm";
    needed task_start = "task_struct.start_boottime" | "task_struct.real_start_time";
    needed task_mm = "task_struct.mm";
    needed task_cred = "task_struct.cred";
    needed task_nsproxy = "task_struct.nsproxy";
    needed task_thread_pid = "task_struct.thread_pid";
    needed task_signal = "task_struct.signal";
    needed task_flags = "task_struct.flags";
    needed task_files = "task_struct.files";
    needed task_cgroups = "task_struct.cgroups";
    wanted task_stack = "task_struct.stack";
    wanted task_loginuid = "task_struct.loginuid";
    /// x86: tells 32-bit system calls, whose numbers mean something else.
    wanted task_thread_status = "task_struct.thread_info.status";
    needed mm_exe_file = "mm_struct.exe_file";
    needed mm_arg_start = "mm_struct.arg_start";
    needed mm_arg_end = "mm_struct.arg_end";
    needed cred_uid = "cred.uid";
    needed cred_gid = "cred.gid";
    needed cred_cap_effective = "cred.cap_effective";
    needed nsproxy_mnt_ns = "nsproxy.mnt_ns";
    needed nsproxy_net_ns = "nsproxy.net_ns";
    needed nsproxy_cgroup_ns = "nsproxy.cgroup_ns";
    needed cgroup_ns_root_cset = "cgroup_namespace.root_cset";
    needed net_inum = "net.ns.inum";
    needed pid_level = "pid.level";
    needed pid_numbers = "pid.numbers";
    needed upid_nr = "upid.nr";
    needed upid_ns = "upid.ns";
    needed upid_size = "sizeof upid";
    needed pid_ns_inum = "pid_namespace.ns.inum";
    needed pid_ns_child_reaper = "pid_namespace.child_reaper";
    needed signal_tty = "signal_struct.tty";
    needed tty_name = "tty_struct.name";
    needed css_set_dfl_cgrp = "css_set.dfl_cgrp";
    needed cgroup_kn = "cgroup.kn";
    needed cgroup_root = "cgroup.root";
    needed cgroup_root_hierarchy_id = "cgroup_root.hierarchy_id";
    needed kernfs_id = "kernfs_node.id";
    needed files_fdt = "files_struct.fdt";
    needed fdtable_fd = "fdtable.fd";
    needed fdtable_max_fds = "fdtable.max_fds";
    needed regs_syscall = "pt_regs.orig_ax" | "pt_regs.syscallno";
    needed regs_arg0 = "pt_regs.di" | "pt_regs.regs";
    /// The first argument at a system call's exit: arm64 puts the result where it was.
    wanted regs_first_arg = "pt_regs.orig_x0" | "pt_regs.di";
    wanted regs_arg1 = "pt_regs.si";
    wanted regs_arg2 = "pt_regs.dx";
    wanted regs_arg3 = "pt_regs.cx";
    wanted regs_result = "pt_regs.ax";
    needed regs_size = "sizeof pt_regs";
    /// The helper of that name exists (from 5.15).
    wanted helper_task_pt_regs = "func bpf_task_pt_regs";
    needed vma_file = "vm_area_struct.vm_file";
    needed socket_sk = "socket.sk";
    needed sock_state = "sock.__sk_common.skc_state";
    needed sock_family = "sock.__sk_common.skc_family";
    needed sock_num = "sock.__sk_common.skc_num";
    needed sock_dport = "sock.__sk_common.skc_dport";
    needed sock_daddr = "sock.__sk_common.skc_daddr";
    needed sock_rcv_saddr = "sock.__sk_common.skc_rcv_saddr";
    wanted sock_v6_daddr = "sock.__sk_common.skc_v6_daddr";
    wanted sock_v6_rcv_saddr = "sock.__sk_common.skc_v6_rcv_saddr";
    needed sock_net = "sock.__sk_common.skc_net";
    needed sock_protocol = "sock.sk_protocol";
    wanted sock_cgroup = "sock.sk_cgrp_data.cgroup";
    needed sock_err = "sock.sk_err";
    needed sock_flags = "sock.__sk_common.skc_flags";
    needed tcp_bytes_received = "tcp_sock.bytes_received";
    needed tcp_bytes_sent = "tcp_sock.bytes_sent";
    needed tcp_bytes_retrans = "tcp_sock.bytes_retrans";
}
