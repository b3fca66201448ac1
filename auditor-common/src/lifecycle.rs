use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Header;

/// `/kubepods.slice/…/cri-containerd-<64>.scope` is some 180 bytes; nested ones may be longer.
pub const CGROUP_PATH_LEN: usize = 512;

/// `cgroup_mkdir`, `cgroup_rmdir`, `cgroup_attach_task` on the default (v2) hierarchy.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CgroupRecord {
    pub header: Header,
    /// kernfs id: the inode number of the cgroup's directory.
    pub cgroup_id: u64,
    /// The task that moved in (`cgroup_attach_task`), else 0.
    pub pid: u32,
    pub path_len: u32,
    /// From the hierarchy's root, not from a cgroup namespace's.
    pub path: [u8; CGROUP_PATH_LEN],
}
