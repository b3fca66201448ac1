//! Which files are told of. Order of the tests, cheapest first: tmpfs, regular file, superblock known, structure.

use auditor_common::{FileInfo, VOLUME_PATH_LEN, class};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;

use crate::{
    flood,
    kernel::{Address, Reader, off, read, setting},
    maps::{VOLUMES, is_live},
    path::{Names, within_superblock},
    superblock::{host_mount_path, identity, in_atomic_writer_directory},
};

/// include/uapi/linux/magic.h; devtmpfs, rootfs and memfds share it.
const TMPFS_MAGIC: u64 = 0x0102_1994;
pub const S_IFMT: u16 = 0o170_000;
const S_IFREG: u16 = 0o100_000;
/// include/linux/fs.h
pub const FMODE_PATH: u32 = 0x4000;

/// A file of a token volume, or of one that userspace has to look at.
pub struct TokenFile {
    file: Address,
    inode: Address,
    sb: Address,
    dentry: Address,
    dev: u32,
    /// See [`class`].
    pub class: u32,
    /// See [`VolumeEntry::owner`](auditor_common::VolumeEntry).
    owner: u64,
}

/// `None` for what is not to be told of. A canary counts whoever has it: see [`is_own`].
#[inline(always)]
pub unsafe fn token_file<R: Reader>(file: Address) -> Option<TokenFile> {
    let inode = unsafe { R::pointer(file, off!(file_inode)) };
    let sb = unsafe { R::pointer(inode, off!(inode_sb)) };
    if unsafe { R::read::<u64>(sb, off!(sb_magic)) } != TMPFS_MAGIC {
        return None;
    }
    if unsafe { R::read::<u16>(inode, off!(inode_mode)) } & S_IFMT != S_IFREG {
        return None;
    }
    let dev = unsafe { R::read::<u32>(sb, off!(sb_dev)) };
    let dentry = unsafe { R::pointer(file, off!(file_dentry)) };
    // A device number that went to another volume since is as good as unknown.
    let (class, owner) = match unsafe { VOLUMES.get(dev) } {
        Some(entry) if entry.identity.same_as(&unsafe { identity(sb) }) => {
            (entry.class, entry.owner)
        }
        // The kernel's own tmpfs is never unmounted, so its device number is never another's; and statfs(2) tells no fsid of
        // it before 5.13.
        Some(entry) if entry.class == class::CANARY => (class::CANARY, 0),
        _ => (class::UNCLASSIFIED, 0),
    };
    match class {
        class::IGNORE => return None,
        class::TOKEN | class::CANARY => {}
        _ => {
            if !unsafe { in_atomic_writer_directory(dentry) } {
                return None;
            }
        }
    }
    if class != class::CANARY && !is_live() {
        return None;
    }
    Some(TokenFile {
        file,
        inode,
        sb,
        dentry,
        dev,
        class,
        owner,
    })
}

/// Whether `current` is the auditor: nobody else's memfds are canaries.
#[inline(always)]
pub fn is_own() -> bool {
    (bpf_get_current_pid_tgid() >> 32) as u32 == setting!(own_tgid)
}

impl TokenFile {
    /// See [`flood::stranger`].
    #[inline(always)]
    pub fn stranger(&self) -> u32 {
        flood::stranger(self.owner)
    }

    /// Whether one more of `current`'s doings of that kind with this volume is folded: never the auditor's own, canaries among them.
    #[inline(always)]
    pub unsafe fn is_folded(&self, kind: u16, stranger: u32) -> bool {
        if is_own() {
            return false;
        }
        unsafe { flood::is_folded(kind, self.sb as u64, self.dev, stranger) }
    }

    /// Writes the class, before anything else is: what the verifier knows of it in a register, it would follow for each class
    /// through all that comes after, and of what it reads back from the record it knows nothing.
    #[inline(always)]
    pub unsafe fn note_class(&self, out: *mut FileInfo) {
        unsafe { core::ptr::write_volatile(&raw mut (*out).class, self.class) };
    }

    /// The rest, after [`Self::note_class`]. `top_mnt_ns`: mount namespace of PID 1, in which an unknown superblock's mount point
    /// is looked for; 0 where unknown.
    #[inline(always)]
    pub unsafe fn describe(&self, out: *mut FileInfo, top_mnt_ns: u32) {
        unsafe {
            (*out).identity = identity(self.sb);
            (*out).ino = read(self.inode, off!(inode_ino));
            (*out).dev = self.dev;
            (*out).flags = read(self.file, off!(file_flags));
            (*out).mode = read(self.file, off!(file_mode));
            (*out).nlink = read(self.inode, off!(inode_nlink));
            (*out).reserved = 0;
            let names = Names {
                buffer: &raw mut (*out).volume_path,
                used: &raw mut (*out).volume_path_len,
            };
            within_superblock::<VOLUME_PATH_LEN, 256, 8>(&names, self.dentry);
            (*out).top_mnt_ns = top_mnt_ns;
            (*out).mount_ns = 0;
            (*out).mount_path_len = 0;
            if core::ptr::read_volatile(&raw const (*out).class) == class::UNCLASSIFIED {
                (*out).mount_ns = top_mnt_ns;
                let names = Names {
                    buffer: &raw mut (*out).mount_path,
                    used: &raw mut (*out).mount_path_len,
                };
                host_mount_path(self.sb, top_mnt_ns, &names);
            }
        }
    }
}
