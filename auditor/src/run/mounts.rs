//! Waiting for the host's mounts to change.

use std::{fs::File, io, os::fd::OwnedFd, path::Path};

use tokio::io::{Interest, unix::AsyncFd};

/// `/proc/PID/mountinfo` polls as POLLPRI when mounts came or went (fs/proc_namespace.c `mounts_poll`). An open file of its
/// own: each one remembers by itself what its poller has been told.
#[derive(Debug)]
pub struct MountWatch {
    file: AsyncFd<OwnedFd>,
}

impl MountWatch {
    pub fn new(host_proc: &Path) -> io::Result<Self> {
        let file = OwnedFd::from(File::open(host_proc.join("1/mountinfo"))?);
        // SAFETY: the AsyncFd owns the descriptor, which stays open and is never swapped.
        let file = unsafe { AsyncFd::register_with_interest(file, Interest::PRIORITY) }.map_err(
            |error| {
                let (_, cause) = error.into_parts();
                cause
            },
        )?;
        Ok(Self { file })
    }

    pub async fn changed(&self) -> io::Result<()> {
        self.file.ready(Interest::PRIORITY).await?.clear_ready();
        Ok(())
    }
}
