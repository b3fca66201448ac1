//! What the kernel knows of a tmpfs superblock: its identity beyond a device number that is reused, whether a file lies in
//! an atomic writer's directory, and where the host has it mounted.

use auditor_common::{ABSENT, MOUNT_PATH_LEN, VolumeIdentity};

use crate::{
    kernel::{Address, off, pointer, read},
    path::{Names, within_superblock},
};

/// Mounts of one superblock that are looked at: the kubelet's own, and one a container.
const MOUNTS: usize = 24;
/// `<volume>/kubernetes.io~projected/volumes/<pod uid>/pods/kubelet/lib/var`, and a deeper root.
const MOUNT_DEPTH: usize = 14;

#[inline(always)]
unsafe fn is_plugin_directory(dentry: Address) -> bool {
    let name = unsafe { pointer(dentry, off!(dentry_name)) };
    unsafe { read::<u64>(name, 0) == u64::from_ne_bytes(*b"kubernet") }
}

#[inline(always)]
pub unsafe fn identity(sb: Address) -> VolumeIdentity {
    let uuid = off!(sb_uuid);
    VolumeIdentity {
        fsid: unsafe { read::<u64>(sb, uuid) ^ read::<u64>(sb, uuid + 8) },
        superblock: sb as u64,
    }
}

/// The file's topmost directory below the superblock's root is a timestamp directory (`..2026_11_22_…`) of the kubelet's
/// atomic writer (pkg/volume/util/atomic_writer.go). A token's `path` may have directories of its own below it.
#[inline(always)]
pub unsafe fn in_atomic_writer_directory(dentry: Address) -> bool {
    let mut dentry = dentry;
    for depth in 0..6 {
        let parent = unsafe { pointer(dentry, off!(dentry_parent)) };
        if parent.is_null() || parent == dentry {
            return false;
        }
        let grandparent = unsafe { pointer(parent, off!(dentry_parent)) };
        if grandparent == parent {
            let name = unsafe { pointer(dentry, off!(dentry_name)) };
            return depth > 0 && unsafe { read::<[u8; 2]>(name, 0) } == *b"..";
        }
        dentry = parent;
    }
    false
}

/// Finds the mount of `sb` in the mount namespace `mnt_ns` whose mount point lies in a `kubernetes.io~…` directory (one level
/// deeper for CSI), and writes that mount point's components, leaf first, up to its filesystem's root. Writes nothing when there is no such mount.
///
/// Only root on the host can make mounts in the host's namespace, so what stands there was put by the kubelet. Read without
/// `mount_lock`: a list that changes under the walk costs the answer, never the kernel, and userspace checks the shape.
#[inline(always)]
pub unsafe fn host_mount_path(sb: Address, mnt_ns: u32, names: &Names<MOUNT_PATH_LEN>) {
    if off!(sb_mounts) == ABSENT || mnt_ns == 0 {
        return;
    }
    let head = sb.wrapping_add(off!(sb_mounts) as usize);
    let mut node = unsafe { pointer(head, 0) };
    for _ in 0..MOUNTS {
        if node.is_null() || node == head {
            return;
        }
        // From 6.18 `s_mounts` points at mounts; before, it is a list through `mnt_instance`.
        let (mount, next) = if off!(mount_next_for_sb) != ABSENT {
            (node, unsafe { pointer(node, off!(mount_next_for_sb)) })
        } else {
            (node.wrapping_sub(off!(mount_instance) as usize), unsafe {
                pointer(node, 0)
            })
        };
        let mountpoint = unsafe { pointer(mount, off!(mount_mountpoint)) };
        let parent = unsafe { pointer(mountpoint, off!(dentry_parent)) };
        let grandparent = unsafe { pointer(parent, off!(dentry_parent)) };
        let namespace = unsafe { pointer(mount, off!(mount_ns)) };
        if unsafe { read::<u32>(namespace, off!(mnt_ns_inum)) } == mnt_ns
            && unsafe { is_plugin_directory(parent) || is_plugin_directory(grandparent) }
        {
            unsafe { within_superblock::<MOUNT_PATH_LEN, 128, MOUNT_DEPTH>(names, mountpoint) };
            return;
        }
        node = next;
    }
}
