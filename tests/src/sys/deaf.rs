//! Sockets that hear nothing: a classic BPF filter drops every packet before TCP sees it.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

/// Attaches a program of one instruction: accept 0 bytes of each packet.
pub fn deafen(socket: impl AsFd) -> io::Result<()> {
    let mut accept_nothing = libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: 0,
    };
    let program = libc::sock_fprog {
        len: 1,
        filter: &raw mut accept_nothing,
    };
    set(socket, libc::SO_ATTACH_FILTER, &program)
}

pub fn undeafen(socket: impl AsFd) -> io::Result<()> {
    set(socket, libc::SO_DETACH_FILTER, &0_i32)
}

fn set<T>(socket: impl AsFd, option: i32, value: &T) -> io::Result<()> {
    // SAFETY: the value and its length are right for the option; a filter's program points at one live instruction.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as u32,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
