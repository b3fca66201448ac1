//! A system call that another process answers (seccomp user notification), with a descriptor of its own making.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use super::raw::owned;

// linux/seccomp.h
const ADDFD_SEND: u32 = 1 << 1;
/// `SECCOMP_IOW(3, struct seccomp_notif_addfd)`: `_IOW('!', 3, 24 bytes)`
const IOCTL_ADDFD: u64 = 0x4018_2103;
/// `SECCOMP_IOWR(0, struct seccomp_notif)`: `_IOWR('!', 0, 80 bytes)`
const IOCTL_RECV: u64 = 0xc050_2100;

/// From now on `number` waits for whoever reads the descriptor; all else is allowed.
pub fn defer(number: i64) -> io::Result<OwnedFd> {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let number = u32::try_from(number).map_err(io::Error::other)?;
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: number,
        },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: no pointers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the program names a live filter of that length.
    owned(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    })
}

/// Waits for the next deferred call and answers it with a descriptor of `file`.
pub fn answer(listener: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<()> {
    // struct seccomp_notif, which begins with its id and must be all zeroes before.
    let mut notification = [0_u64; 10];
    // SAFETY: the buffer is as long as the request says.
    let got = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            IOCTL_RECV as _,
            notification.as_mut_ptr(),
        )
    };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    // struct seccomp_notif_addfd: id, flags, descriptor, its new number, its new flags.
    let mut add = [0_u32; 6];
    let id = notification[0].to_ne_bytes();
    add[0] = u32::from_ne_bytes([id[0], id[1], id[2], id[3]]);
    add[1] = u32::from_ne_bytes([id[4], id[5], id[6], id[7]]);
    add[2] = ADDFD_SEND;
    add[3] = file.as_raw_fd().cast_unsigned();
    // SAFETY: the buffer is as long as the request says.
    let added = unsafe { libc::ioctl(listener.as_raw_fd(), IOCTL_ADDFD as _, add.as_ptr()) };
    if added < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
