use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, TaskContext, VolumeIdentity};

/// Path within the volume: components leaf first, each ended by NUL.
pub const VOLUME_PATH_LEN: usize = 512;
/// The volume's mount point in the mount namespace `mount_ns`, leaf first.
pub const MOUNT_PATH_LEN: usize = 384;

/// A file of a token volume, or of a superblock that userspace has not classified yet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FileInfo {
    pub identity: VolumeIdentity,
    pub ino: u64,
    /// The kernel's encoding: major << 20 | minor.
    pub dev: u32,
    /// See [`crate::class`].
    pub class: u32,
    /// `file->f_flags`.
    pub flags: u32,
    /// `file->f_mode`.
    pub mode: u32,
    pub nlink: u32,
    /// Namespace (inode number) of the mount that `mount_path` describes; 0 when none was found.
    pub mount_ns: u32,
    /// Mount namespace of PID 1: the top of the walk up the parents; 0 when it was not reached.
    pub top_mnt_ns: u32,
    pub volume_path_len: u32,
    pub mount_path_len: u32,
    pub reserved: u32,
    pub volume_path: [u8; VOLUME_PATH_LEN],
    pub mount_path: [u8; MOUNT_PATH_LEN],
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OpenRecord {
    pub header: Header,
    pub file: FileInfo,
    pub task: TaskContext,
}
