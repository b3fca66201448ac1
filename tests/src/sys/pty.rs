//! A pseudo terminal.

use std::{
    io,
    os::fd::{FromRawFd as _, OwnedFd},
    ptr,
};

use rustix::io::{FdFlags, fcntl_setfd};

/// Its two ends: whoever shows what is on the screen, and the program in front of it. The kernel keeps 640 KiB
/// (drivers/tty/tty_buffer.c, TTYB_DEFAULT_MEM_LIMIT) for a screen that takes nothing; then a write waits in write(2), also one
/// that poll(2) said there is room for.
pub fn open() -> io::Result<(OwnedFd, OwnedFd)> {
    let (mut screen, mut program) = (-1, -1);
    // SAFETY: openpty(3) writes the two descriptors; name, settings and size may be left out.
    let result = unsafe {
        libc::openpty(
            &raw mut screen,
            &raw mut program,
            ptr::null_mut(),
            ptr::null(),
            ptr::null(),
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both are open, and nobody else's.
    let ends = unsafe { (OwnedFd::from_raw_fd(screen), OwnedFd::from_raw_fd(program)) };
    for end in [&ends.0, &ends.1] {
        fcntl_setfd(end, FdFlags::CLOEXEC)?;
    }
    Ok(ends)
}
