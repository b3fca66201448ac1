//! Forking as container runtimes do it.

use std::io;

use anyhow::{Result, bail};
use rustix::process::Pid;

/// Where the caller finds itself after a fork.
pub enum Fork {
    Parent(Pid),
    Child,
}

/// Proof that this process has one thread, so that its forked child may run any code.
#[derive(Clone, Copy)]
pub struct SingleThreaded(());

impl SingleThreaded {
    pub fn check() -> Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        if !status
            .lines()
            .any(|l| l.split_whitespace().eq(["Threads:", "1"]))
        {
            bail!("a process with several threads must not fork");
        }
        Ok(Self(()))
    }

    /// `fork(2)`.
    pub fn fork(self) -> io::Result<Fork> {
        // SAFETY: there is one thread, so no lock or allocator state is left behind by another one in the child.
        after_fork(i64::from(unsafe { libc::fork() }))
    }

    /// `clone(2)` with `CLONE_PARENT`: the child becomes a child of the caller's parent, which is how runc leaves a
    /// container's init to the shim.
    pub fn fork_sibling(self) -> io::Result<Fork> {
        let flags = i64::from(libc::CLONE_PARENT) | i64::from(libc::SIGCHLD);
        // SAFETY: without CLONE_VM and with a null stack this is fork(2); one thread as above.
        after_fork(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })
    }

    /// `clone(2)` with `CLONE_FILES`: what either opens from then on, both have.
    pub fn fork_sharing_descriptors(self) -> io::Result<Fork> {
        let flags = i64::from(libc::CLONE_FILES) | i64::from(libc::SIGCHLD);
        // SAFETY: without CLONE_VM and with a null stack this is fork(2); one thread as above.
        after_fork(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })
    }
}

fn after_fork(pid: i64) -> io::Result<Fork> {
    match pid {
        0 => Ok(Fork::Child),
        pid => i32::try_from(pid)
            .ok()
            .and_then(|pid| if pid > 0 { Pid::from_raw(pid) } else { None })
            .map(Fork::Parent)
            .ok_or_else(io::Error::last_os_error),
    }
}
