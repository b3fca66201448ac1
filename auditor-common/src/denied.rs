use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, TaskContext};

/// `/var/lib/kubelet/pods/<uid>/volumes/kubernetes.io~projected/<volume>/<file>` is some 150 bytes.
pub const DENIED_PATH_LEN: usize = 512;

/// An open that the kernel refused with EACCES or EPERM. The path is the caller's word: nothing was opened that could tell.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DeniedRecord {
    pub header: Header,
    /// `O_…` flags.
    pub flags: u64,
    /// Positive.
    pub errno: u32,
    /// What a relative path starts from: a descriptor, or `AT_FDCWD`.
    pub dirfd: i32,
    /// 0 when the path could not be read.
    pub path_len: u32,
    pub reserved: u32,
    pub path: [u8; DENIED_PATH_LEN],
    pub task: TaskContext,
}
