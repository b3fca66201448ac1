//! A system call that another process answers (seccomp user notification), with a descriptor of its own making.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use super::raw::owned;

/// From now on this thread's `number` waits for whoever reads the descriptor; all else is allowed.
pub fn defer(number: i64) -> io::Result<OwnedFd> {
    let number = u32::try_from(number).map_err(io::Error::other)?;
    let statement = |code: u32, k: u32, jump_false: u8| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: jump_false,
        k,
    };
    let mut filter = [
        // `seccomp_data.nr` is the first word.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, 1),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    rustix::thread::set_no_new_privs(true)?;
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

/// Waits for the next deferred call; then answers it with a descriptor of what `file` gives. In two steps, which Linux 5.9 has.
pub fn answer<F: AsRawFd>(
    listener: BorrowedFd<'_>,
    file: impl FnOnce() -> io::Result<F>,
) -> io::Result<()> {
    // SAFETY: all zeroes is what the kernel wants to be given (seccomp_unotify(2)).
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    control(listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &mut asked)?;
    let file = file()?;
    let mut add = libc::seccomp_notif_addfd {
        id: asked.id,
        flags: 0,
        srcfd: file.as_raw_fd().cast_unsigned(),
        newfd: 0,
        newfd_flags: 0,
    };
    let number = control(listener, libc::SECCOMP_IOCTL_NOTIF_ADDFD, &mut add)?;
    let mut answer = libc::seccomp_notif_resp {
        id: asked.id,
        val: number.into(),
        error: 0,
        flags: 0,
    };
    control(listener, libc::SECCOMP_IOCTL_NOTIF_SEND, &mut answer).map(drop)
}

fn control<T>(
    descriptor: BorrowedFd<'_>,
    request: libc::Ioctl,
    argument: &mut T,
) -> io::Result<i32> {
    // SAFETY: each request comes with the structure that it is defined for, which outlives the call.
    let result = unsafe {
        libc::ioctl(
            descriptor.as_raw_fd(),
            request,
            std::ptr::from_mut(argument),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
