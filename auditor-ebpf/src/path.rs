//! Walking dentries and mounts up to a root, writing names leaf first, each ended by NUL.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;

use crate::kernel::{Address, off, pointer};

/// Appends the name of `dentry` at `at` and returns the new end, or `None` when there is no room for `NAME` bytes more.
///
/// `SIZE` is the buffer's, `NAME` the longest name that is copied whole, its NUL included.
#[inline(always)]
pub unsafe fn push<const SIZE: usize, const NAME: usize>(
    buffer: *mut [u8; SIZE],
    at: usize,
    dentry: Address,
) -> Option<usize> {
    if at > SIZE - NAME {
        return None;
    }
    let name = unsafe { pointer(dentry, off!(dentry_name)) };
    let copied = unsafe {
        bpf_probe_read_kernel_str(buffer.cast::<u8>().add(at).cast(), NAME as u32, name.cast())
    };
    if copied <= 0 || copied > NAME as i64 {
        return None;
    }
    Some(at + copied as usize)
}

/// Path of `dentry` below its superblock's root, at most `DEPTH` components. Returns the bytes written.
#[inline(always)]
pub unsafe fn within_superblock<const SIZE: usize, const NAME: usize, const DEPTH: usize>(
    buffer: *mut [u8; SIZE],
    dentry: Address,
) -> u32 {
    let mut at = 0;
    let mut dentry = dentry;
    for _ in 0..DEPTH {
        let parent = unsafe { pointer(dentry, off!(dentry_parent)) };
        if parent == dentry || parent.is_null() {
            // A memfd's dentry is its own root and has a name all the same.
            if at == 0 {
                at = unsafe { push::<SIZE, NAME>(buffer, at, dentry) }.unwrap_or(0);
            }
            break;
        }
        match unsafe { push::<SIZE, NAME>(buffer, at, dentry) } {
            Some(end) => at = end,
            None => break,
        }
        dentry = parent;
    }
    at as u32
}

/// Path of (`dentry`, `vfsmount`) up to (`root_dentry`, `root_vfsmount`), crossing mounts. Returns the bytes written and
/// whether the walk got all the way up.
#[inline(always)]
pub unsafe fn within_root<const SIZE: usize, const NAME: usize, const STEPS: usize>(
    buffer: *mut [u8; SIZE],
    dentry: Address,
    vfsmount: Address,
    root_dentry: Address,
    root_vfsmount: Address,
) -> (u32, bool) {
    let mut at = 0;
    let mut dentry = dentry;
    let mut vfsmount = vfsmount;
    let mut whole = false;
    for _ in 0..STEPS {
        if dentry == root_dentry && vfsmount == root_vfsmount {
            whole = true;
            break;
        }
        if dentry == unsafe { pointer(vfsmount, off!(vfsmount_root)) } {
            let mount = vfsmount.wrapping_sub(off!(mount_vfsmount) as usize);
            let parent = unsafe { pointer(mount, off!(mount_parent)) };
            if parent == mount || parent.is_null() {
                whole = true;
                break;
            }
            dentry = unsafe { pointer(mount, off!(mount_mountpoint)) };
            vfsmount = parent.wrapping_add(off!(mount_vfsmount) as usize);
            continue;
        }
        let parent = unsafe { pointer(dentry, off!(dentry_parent)) };
        if parent.is_null() {
            break;
        }
        if parent == dentry {
            // Unhashed: a memfd, or an executable of a detached tree.
            if at == 0 {
                at = unsafe { push::<SIZE, NAME>(buffer, at, dentry) }.unwrap_or(0);
            }
            whole = true;
            break;
        }
        match unsafe { push::<SIZE, NAME>(buffer, at, dentry) } {
            Some(end) => at = end,
            None => break,
        }
        dentry = parent;
    }
    (at as u32, whole)
}
