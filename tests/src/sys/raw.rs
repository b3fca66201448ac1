//! System calls that rustix does not wrap.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd},
    ptr,
};

use rustix::process::Pid;

use super::fork::{Fork, SingleThreaded};

/// `open(2)` itself, which C libraries have long replaced with `openat`; newer architectures have none.
pub fn open(path: &CStr) -> io::Result<OwnedFd> {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the path is a string with its NUL.
    return owned(unsafe { libc::syscall(libc::SYS_open, path.as_ptr(), libc::O_CLOEXEC) });
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = path;
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }
}

/// `name_to_handle_at`, then `open_by_handle_at`: the call that opens names no path.
pub fn open_by_handle(mount: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    // struct file_handle: bytes, type, handle.
    const ROOM: u32 = 128;
    let mut handle = [0_u32; 2 + ROOM as usize / 4];
    handle[0] = ROOM;
    let mut mount_id = 0_i32;
    // SAFETY: the path is a string with its NUL; the handle has as much room as its first word says.
    let named = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            path.as_ptr(),
            handle.as_mut_ptr(),
            &raw mut mount_id,
            libc::AT_SYMLINK_FOLLOW,
        )
    };
    checked(named)?;
    // SAFETY: the kernel wrote the handle.
    owned(unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            mount.as_raw_fd(),
            handle.as_mut_ptr(),
            libc::O_CLOEXEC,
        )
    })
}

/// A file's first `length` bytes by `mmap`; no read.
pub fn mapped(file: BorrowedFd<'_>, length: usize) -> io::Result<Vec<u8>> {
    let (access, flags) = (libc::PROT_READ, libc::MAP_PRIVATE);
    // SAFETY: a new mapping at a place that the kernel chooses.
    let map = unsafe { libc::mmap(ptr::null_mut(), length, access, flags, file.as_raw_fd(), 0) };
    if map == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: so many bytes are mapped, and nobody truncates a token's file.
    let bytes = unsafe { std::slice::from_raw_parts(map.cast::<u8>(), length) }.to_vec();
    // SAFETY: nothing refers to the mapping any more.
    unsafe { libc::munmap(map, length) };
    Ok(bytes)
}

/// Maps a file and leaves it mapped for good.
pub fn map_for_good(file: BorrowedFd<'_>, length: usize) -> io::Result<()> {
    let (access, flags) = (libc::PROT_READ, libc::MAP_PRIVATE);
    // SAFETY: a new mapping at a place that the kernel chooses; nothing refers to it.
    let map = unsafe { libc::mmap(ptr::null_mut(), length, access, flags, file.as_raw_fd(), 0) };
    if map == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Reads through an asynchronous I/O context (libaio).
pub fn read_by_aio(file: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut context = 0_u64;
    // SAFETY: the context is written to.
    checked(unsafe { libc::syscall(libc::SYS_io_setup, 1, &raw mut context) })?;
    let mut buffer = vec![0_u8; 16_384];
    // struct iocb (linux/aio_abi.h): data, key and flags, opcode 0 (pread) and priority and descriptor, buffer, length, offset.
    let mut block = [0_u64; 8];
    let descriptor = u64::from(file.as_raw_fd().cast_unsigned());
    block[2] = if cfg!(target_endian = "little") {
        descriptor << 32
    } else {
        descriptor
    };
    block[3] = buffer.as_mut_ptr().addr() as u64;
    block[4] = buffer.len() as u64;
    let mut blocks = [block.as_mut_ptr()];
    // SAFETY: one block, which names a live buffer of that length.
    let submitted = unsafe { libc::syscall(libc::SYS_io_submit, context, 1, blocks.as_mut_ptr()) };
    checked(submitted)?;
    // struct io_event: data, block, result, second result.
    let mut event = [0_i64; 4];
    // SAFETY: room for one event; no timeout.
    let got = unsafe {
        let none = ptr::null::<libc::timespec>();
        libc::syscall(
            libc::SYS_io_getevents,
            context,
            1,
            1,
            event.as_mut_ptr(),
            none,
        )
    };
    checked(got)?;
    // SAFETY: the context is not used any more.
    checked(unsafe { libc::syscall(libc::SYS_io_destroy, context) })?;
    buffer.truncate(checked(event[2])? as usize);
    Ok(buffer)
}

/// Runs `open` in a process that shares this one's descriptor table; the descriptor that it leaves there.
pub fn opened_by_sharer(
    single: SingleThreaded,
    open: impl FnOnce() -> Option<OwnedFd>,
) -> io::Result<OwnedFd> {
    let pid = match single.fork_sharing_descriptors()? {
        Fork::Parent(pid) => pid,
        Fork::Child => {
            // Its number is small in a process that has opened little.
            let number = open().map_or(255, IntoRawFd::into_raw_fd);
            std::process::exit(number)
        }
    };
    let status = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())?;
    match status.and_then(|(_, status)| status.exit_status()) {
        // SAFETY: the child opened it in the table that both had, and has ended.
        Some(number @ 3..255) => Ok(unsafe { OwnedFd::from_raw_fd(number) }),
        other => Err(io::Error::other(format!("the child ended with {other:?}"))),
    }
}

/// Runs `child` in a vfork'ed child: this process waits, and they share the memory, until it ends.
pub fn in_vfork(child: fn() -> i32) -> io::Result<()> {
    extern "C" fn run(child: *mut libc::c_void) -> libc::c_int {
        // SAFETY: it is the pointer given to clone below.
        let child: fn() -> i32 = unsafe { std::mem::transmute(child) };
        child()
    }
    let mut stack = vec![0_u128; 16_384];
    let top = stack.as_mut_ptr_range().end;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the caller stands still until the child, on a stack of its own, has ended.
    let pid = unsafe { libc::clone(run, top.cast(), flags, child as *mut libc::c_void) };
    wait_for(checked(pid.into())?)
}

fn wait_for(pid: i64) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::other("no process"))?;
    let status = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())?;
    match status.and_then(|(_, status)| status.exit_status()) {
        Some(0) => Ok(()),
        other => Err(io::Error::other(format!("the child ended with {other:?}"))),
    }
}

/// `sendmmsg` of one message with `MSG_FASTOPEN`, which connects.
pub fn send_many_fast(
    socket: impl AsFd,
    to: std::net::SocketAddrV4,
    data: &[u8],
) -> io::Result<()> {
    let mut address = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(to.ip().octets()),
        },
        sin_zero: [0; 8],
    };
    let mut part = libc::iovec {
        iov_base: data.as_ptr().cast_mut().cast(),
        iov_len: data.len(),
    };
    // SAFETY: all zeroes are a message without anything.
    let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
    message.msg_hdr.msg_name = (&raw mut address).cast();
    message.msg_hdr.msg_namelen = size_of_val(&address) as u32;
    message.msg_hdr.msg_iov = &raw mut part;
    message.msg_hdr.msg_iovlen = 1;
    let flags = libc::MSG_FASTOPEN;
    // SAFETY: one message, whose address and data live.
    let sent =
        unsafe { libc::sendmmsg(socket.as_fd().as_raw_fd(), &raw mut message, 1, flags as _) };
    checked(sent.into()).map(drop)
}

/// `connect` returns at once, and the first write connects (`TCP_FASTOPEN_CONNECT`), where the peer's cookie is known.
pub fn set_fastopen_connect(socket: impl AsFd) -> io::Result<()> {
    let on = 1_i32;
    // SAFETY: the value is an int, as the option's is.
    let set = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_FASTOPEN_CONNECT,
            (&raw const on).cast(),
            size_of_val(&on) as u32,
        )
    };
    checked(set.into()).map(drop)
}

/// A fanotify group that is told of opens of `path`; each event brings a descriptor of its own.
pub fn watch_opens(path: &CStr) -> io::Result<OwnedFd> {
    let (class, flags) = (libc::FAN_CLASS_NOTIF | libc::FAN_CLOEXEC, libc::O_RDONLY);
    // SAFETY: no pointers.
    let group = owned(i64::from(unsafe {
        libc::fanotify_init(class, flags.cast_unsigned())
    }))?;
    let (add, opens) = (libc::FAN_MARK_ADD, libc::FAN_OPEN);
    // SAFETY: the path is a string with its NUL.
    let marked = unsafe {
        libc::fanotify_mark(group.as_raw_fd(), add, opens, libc::AT_FDCWD, path.as_ptr())
    };
    checked(marked.into())?;
    Ok(group)
}

/// Waits for the next event of a fanotify group; the descriptor that it brings.
pub fn next_opened(group: &OwnedFd) -> io::Result<OwnedFd> {
    let mut buffer = [0_u8; 4096];
    let length = rustix::io::read(group, &mut buffer)?;
    // struct fanotify_event_metadata: the descriptor is at 16.
    let fd = buffer
        .get(16..20)
        .filter(|_| length >= 24)
        .and_then(|b| b.try_into().ok())
        .map(i32::from_ne_bytes)
        .ok_or_else(|| io::Error::other("half an event"))?;
    owned(fd.into())
}

fn checked(result: i64) -> io::Result<i64> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

pub(super) fn owned(result: i64) -> io::Result<OwnedFd> {
    let fd = i32::try_from(checked(result)?).map_err(io::Error::other)?;
    // SAFETY: the kernel just gave it to this process, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
