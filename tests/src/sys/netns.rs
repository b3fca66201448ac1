//! Network namespaces kept by a bind mount, as `ip netns` and CNI plugins keep them.

use std::{
    fs::File,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    thread,
};

use anyhow::{Context, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// Makes a network namespace with its loopback up and keeps it at `path`.
pub fn create(path: &Path) -> Result<()> {
    File::create(path).with_context(|| format!("create {}", path.display()))?;
    in_thread(|| {
        // SAFETY: only the network namespace of this short-lived thread is unshared, no descriptor table.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.context("unshare the network namespace")?;
        rustix::mount::mount_bind("/proc/thread-self/ns/net", path)
            .with_context(|| format!("keep a network namespace at {}", path.display()))
    })
}

/// Runs `f` in a thread that lives in the network namespace kept at `path`.
pub fn within<T: Send>(path: &Path, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let ns = open(path)?;
    in_thread(move || {
        move_into_link_name_space(ns.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("enter {}", path.display()))?;
        f()
    })
}

pub fn open(path: &Path) -> Result<OwnedFd> {
    Ok(File::open(path)
        .with_context(|| format!("open {}", path.display()))?
        .into())
}

fn in_thread<T: Send>(f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(f).join())
        .map_err(|_| anyhow!("a network namespace's thread panicked"))?
}
