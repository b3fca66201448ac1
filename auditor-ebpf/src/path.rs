//! Walking dentries and mounts up to a root, writing names leaf first, each ended by NUL.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;

use crate::kernel::{Address, off, pointer};

/// A name may start below this byte of a buffer; a power of two, so that a mask can hold it.
const WINDOW: u32 = 256;

/// A buffer in a ring buffer's record, and how much of it is used.
///
/// The length lives in the record, not in a register: what is read back from there is any number to the verifier, so that
/// all ways through an iteration end in one state, and loops cost the sum of their iterations instead of the product (6.1
/// gives up after a million instructions).
pub struct Names<const SIZE: usize> {
    pub buffer: *mut [u8; SIZE],
    pub used: *mut u32,
}

impl<const SIZE: usize> Names<SIZE> {
    /// Appends a dentry's name. False when the window is used up, or the name cannot be read. `NAME`: the longest name that
    /// is copied whole, its NUL included.
    #[inline(always)]
    unsafe fn push<const NAME: usize>(&self, dentry: Address) -> bool {
        const { assert!(WINDOW as usize + NAME <= SIZE) };
        let at = unsafe { core::ptr::read_volatile(self.used) };
        if at >= WINDOW {
            return false;
        }
        // The verifier of 6.1 forgets a comparison once the register is spilled; a mask it does not. The second volatile read
        // keeps the compiler from dropping the mask as already proven.
        let start = unsafe { core::ptr::read_volatile(self.used) } & (WINDOW - 1);
        let copied = unsafe {
            bpf_probe_read_kernel_str(
                self.buffer.cast::<u8>().add(start as usize).cast(),
                NAME as u32,
                pointer(dentry, off!(dentry_name)).cast(),
            )
        };
        if copied <= 0 {
            return false;
        }
        unsafe { core::ptr::write_volatile(self.used, start + copied as u32) };
        true
    }

    #[inline(always)]
    unsafe fn is_empty(&self) -> bool {
        (unsafe { core::ptr::read_volatile(self.used) }) == 0
    }
}

/// Path of `dentry` below its superblock's root, at most `DEPTH` components.
#[inline(always)]
pub unsafe fn within_superblock<const SIZE: usize, const NAME: usize, const DEPTH: usize>(
    names: &Names<SIZE>,
    dentry: Address,
) {
    unsafe { core::ptr::write_volatile(names.used, 0) };
    let mut dentry = dentry;
    for _ in 0..DEPTH {
        let parent = unsafe { pointer(dentry, off!(dentry_parent)) };
        if parent == dentry || parent.is_null() {
            // A memfd's dentry is its own root and has a name all the same.
            if unsafe { names.is_empty() } {
                unsafe { names.push::<NAME>(dentry) };
            }
            return;
        }
        if !unsafe { names.push::<NAME>(dentry) } {
            return;
        }
        dentry = parent;
    }
}

/// Path of (`dentry`, `vfsmount`) up to the root of its mount namespace, crossing mounts: chroot(2) does not change it, or who
/// may call that could choose what his program is called. Returns whether the walk got all the way up.
#[inline(always)]
pub unsafe fn in_mount_namespace<const SIZE: usize, const NAME: usize, const STEPS: usize>(
    names: &Names<SIZE>,
    dentry: Address,
    vfsmount: Address,
) -> bool {
    unsafe { core::ptr::write_volatile(names.used, 0) };
    let mut dentry = dentry;
    let mut vfsmount = vfsmount;
    for _ in 0..STEPS {
        if dentry == unsafe { pointer(vfsmount, off!(vfsmount_root)) } {
            let mount = vfsmount.wrapping_sub(off!(mount_vfsmount) as usize);
            let parent = unsafe { pointer(mount, off!(mount_parent)) };
            if parent == mount || parent.is_null() {
                return true;
            }
            dentry = unsafe { pointer(mount, off!(mount_mountpoint)) };
            vfsmount = parent.wrapping_add(off!(mount_vfsmount) as usize);
            continue;
        }
        let parent = unsafe { pointer(dentry, off!(dentry_parent)) };
        if parent == dentry || parent.is_null() {
            // Unhashed: a memfd, or an executable of a detached tree.
            if unsafe { names.is_empty() } {
                unsafe { names.push::<NAME>(dentry) };
            }
            return true;
        }
        if !unsafe { names.push::<NAME>(dentry) } {
            return false;
        }
        dentry = parent;
    }
    false
}
