//! Takes up mount namespaces, so that the next one made gets a wanted number: the kernel gives out the lowest free one.
//!
//! Requests on stdin: the number. The answer: whether it is free now, and the lowest.

use std::{fs::File, os::fd::AsFd, os::unix::fs::MetadataExt};

use anyhow::{Context, Result};
use lab::wire::serve;
use rustix::{
    mount::{MountPropagationFlags, mount_change},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};

/// More than are free on a machine between two pods' ends.
const MOST: usize = 200;

fn main() -> Result<()> {
    let mut taken = Vec::new();
    serve(|wanted: u64| {
        let before = current()?;
        for _ in 0..MOST {
            // SAFETY: one thread, and no descriptor table is unshared.
            unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("unshare the mounts")?;
            // What the host unmounts is unmounted here too.
            mount_change(
                "/",
                MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
            )?;
            let namespace = current()?;
            if namespace.metadata()?.ino() == wanted {
                move_into_link_name_space(before.as_fd(), Some(LinkNameSpaceType::Mount))
                    .context("leave the namespace")?;
                return Ok(true);
            }
            taken.push(namespace);
        }
        Ok(false)
    })
}

/// Keeps its namespace, and so its number, as long as it is open.
fn current() -> Result<File> {
    File::open("/proc/self/ns/mnt").context("open this process's mount namespace")
}
