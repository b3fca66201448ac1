//! Opens of token files. Order of the tests, cheapest first: tmpfs, regular file, superblock known, structure.

use auditor_common::{ABSENT, Counter, OpenRecord, VOLUME_PATH_LEN, backend, class, kind};
use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated::bpf_get_current_task_btf},
    macros::{btf_tracepoint, fentry, kprobe},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext},
};

use crate::{
    kernel::{Address, Probed, Reader, Typed, off, pointer, read, setting, syscall},
    log::log_match,
    maps::{EVENTS, VOLUMES, count, header},
    path::{Names, within_superblock},
    superblock::{host_mount_path, identity, in_atomic_writer_directory},
    task::describe,
};

/// include/uapi/linux/magic.h; devtmpfs, rootfs and memfds share it.
const TMPFS_MAGIC: u64 = 0x0102_1994;
const S_IFMT: u16 = 0o170_000;
const S_IFREG: u16 = 0o100_000;
/// include/linux/fs.h
const FMODE_PATH: u32 = 0x4000;
/// arch/x86/include/asm/thread_info.h
pub const TS_COMPAT: u32 = 0x0002;

/// The one choke point of every way to open (`facts/threats.md`): 32-bit, io_uring, handles, overlay's inner file, fanotify.
#[fentry(function = "security_file_open")]
pub fn file_open_fentry(ctx: FEntryContext) -> i32 {
    let matched = unsafe { inspect::<Typed>(ctx.arg(0), backend::FENTRY) };
    log_match!(&ctx, matched, "file of a token volume opened");
    0
}

/// The same where fentry does not attach (arm64 before 6.4).
#[kprobe]
pub fn file_open_kprobe(ctx: ProbeContext) -> u32 {
    let regs: Address = ctx.regs.cast();
    // At an offset from BTF, so that one object serves every architecture; the verifier takes no computed offset into ctx.
    let file = unsafe { pointer(regs, off!(regs_arg0)) };
    let matched = unsafe { inspect::<Probed>(file, backend::KPROBE) };
    log_match!(&ctx, matched, "file of a token volume opened");
    0
}

/// Last resort, where the kernel has neither: the descriptor that an open returned. Misses 32-bit, io_uring, fanotify and
/// overlay's inner file.
#[btf_tracepoint(function = "sys_exit")]
pub fn file_open_syscall(ctx: BtfTracePointContext) -> i32 {
    let regs: Address = ctx.arg(0);
    // arm64 has 32 bits of it, and something else behind.
    let nr = u64::from(unsafe { Typed::read::<u32>(regs, off!(regs_syscall)) });
    if nr != syscall!(openat)
        && nr != syscall!(open)
        && nr != syscall!(openat2)
        && nr != syscall!(creat)
        && nr != syscall!(open_by_handle_at)
    {
        return 0;
    }
    let fd: i64 = ctx.arg(1);
    if fd < 0 {
        return 0;
    }
    let task = unsafe { bpf_get_current_task_btf() } as Address;
    if off!(task_thread_status) != ABSENT
        && unsafe { Typed::read::<u32>(task, off!(task_thread_status)) } & TS_COMPAT != 0
    {
        return 0;
    }
    let matched = unsafe {
        let files = Typed::pointer(task, off!(task_files));
        let fdt = Typed::pointer(files, off!(files_fdt));
        if fd as u64 >= u64::from(Typed::read::<u32>(fdt, off!(fdtable_max_fds))) {
            return 0;
        }
        let table = Typed::pointer(fdt, off!(fdtable_fd));
        // The chain of types ends at this array of pointers.
        let file = pointer(table.wrapping_add(fd as usize * 8), 0);
        // Nothing can be read through it, and the better hooks are not called for it.
        if read::<u32>(file, off!(file_mode)) & FMODE_PATH != 0 {
            return 0;
        }
        inspect::<Probed>(file, backend::SYSCALL)
    };
    log_match!(&ctx, matched, "file of a token volume opened");
    0
}

/// Whether it was one to tell of.
#[inline(always)]
unsafe fn inspect<R: Reader>(file: Address, by: u16) -> bool {
    let inode = unsafe { R::pointer(file, off!(file_inode)) };
    let sb = unsafe { R::pointer(inode, off!(inode_sb)) };
    if unsafe { R::read::<u64>(sb, off!(sb_magic)) } != TMPFS_MAGIC {
        return false;
    }
    if unsafe { R::read::<u16>(inode, off!(inode_mode)) } & S_IFMT != S_IFREG {
        return false;
    }
    let dev = unsafe { R::read::<u32>(sb, off!(sb_dev)) };
    let dentry = unsafe { R::pointer(file, off!(file_dentry)) };
    // A device number that went to another volume since is as good as unknown.
    let known = match unsafe { VOLUMES.get(dev) } {
        Some(entry) if entry.identity.same_as(&unsafe { identity(sb) }) => entry.class,
        _ => class::UNCLASSIFIED,
    };
    match known {
        class::IGNORE => return false,
        class::TOKEN => {}
        class::CANARY => {
            if (bpf_get_current_pid_tgid() >> 32) as u32 != setting!(own_tgid) {
                return false;
            }
        }
        _ => {
            if !unsafe { in_atomic_writer_directory(dentry) } {
                return false;
            }
        }
    }
    unsafe { emit(file, inode, sb, dentry, dev, known, by) };
    true
}

#[inline(always)]
unsafe fn emit(
    file: Address,
    inode: Address,
    sb: Address,
    dentry: Address,
    dev: u32,
    known: u32,
    by: u16,
) {
    count(if known == class::CANARY {
        Counter::Canary
    } else {
        Counter::OpenMatched
    });
    let Some(mut entry) = EVENTS.reserve::<OpenRecord>(0) else {
        count(Counter::EventRingFull);
        return;
    };
    let record = entry.as_mut_ptr();
    unsafe {
        (*record).header = header::<OpenRecord>(kind::OPEN, by);
        let out = &raw mut (*record).file;
        (*out).identity = identity(sb);
        (*out).ino = read(inode, off!(inode_ino));
        (*out).dev = dev;
        (*out).class = known;
        (*out).flags = read(file, off!(file_flags));
        (*out).mode = read(file, off!(file_mode));
        (*out).nlink = read(inode, off!(inode_nlink));
        (*out).reserved = 0;
        let names = Names {
            buffer: &raw mut (*out).volume_path,
            used: &raw mut (*out).volume_path_len,
        };
        within_superblock::<VOLUME_PATH_LEN, 256, 8>(&names, dentry);
        let top_mnt_ns = describe(&raw mut (*record).task);
        (*out).top_mnt_ns = top_mnt_ns;
        (*out).mount_ns = 0;
        (*out).mount_path_len = 0;
        if known == class::UNCLASSIFIED {
            (*out).mount_ns = top_mnt_ns;
            let names = Names {
                buffer: &raw mut (*out).mount_path,
                used: &raw mut (*out).mount_path_len,
            };
            host_mount_path(sb, top_mnt_ns, &names);
        }
    }
    entry.submit(0);
}
