use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a superblock is, in `VOLUMES`.
pub mod class {
    /// Not in the map: only the structural test speaks for it.
    pub const UNCLASSIFIED: u32 = 0;
    /// A projected volume with a token source.
    pub const TOKEN: u32 = 1;
    /// A volume without a token (ConfigMap, Secret, emptyDir).
    pub const IGNORE: u32 = 2;
    /// The kernel's own tmpfs, which memfds live on: own opens only.
    pub const CANARY: u32 = 3;
}

/// Tells one superblock from a later one with the same device number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct VolumeIdentity {
    /// Both halves of `s_uuid` xor-ed, as `statfs(2)` tells in `f_fsid` (lib/uuid.c `uuid_to_fsid`). 0 where tmpfs sets none (< 5.13).
    pub fsid: u64,
    /// The superblock's address; 0 when it was learnt from userspace, which cannot see it.
    pub superblock: u64,
}

impl VolumeIdentity {
    /// The fsid decides where both have one; else the address.
    pub const fn same_as(&self, other: &Self) -> bool {
        if self.fsid != 0 && other.fsid != 0 {
            return self.fsid == other.fsid;
        }
        self.superblock != 0 && self.superblock == other.superblock
    }
}

/// Value of `VOLUMES`; the key is the superblock's `s_dev`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VolumeEntry {
    pub identity: VolumeIdentity,
    /// The id that userspace gave the pod whose volume it is, as in `CGROUP_PODS`; 0 unknown.
    pub owner: u64,
    /// See [`class`].
    pub class: u32,
    pub reserved: u32,
}
