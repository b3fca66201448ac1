//! Waiting for the host's mounts to change.

use std::{fs::File, io, os::fd::OwnedFd, path::Path, time::Duration};

use tokio::{
    io::{Interest, unix::AsyncFd},
    time::Instant,
};

/// A pod's start changes many mounts, and each look reads all of mountinfo. So looks are at least this far apart, and take at most a
/// tenth of the time. Meanwhile the kernel half tells by itself where an unknown volume is mounted.
const APART: Duration = Duration::from_millis(20);
const SHARE: u32 = 10;

/// `/proc/PID/mountinfo` polls as POLLPRI when mounts came or went (fs/proc_namespace.c `mounts_poll`). An open file of its
/// own: each one remembers by itself what its poller has been told.
#[derive(Debug)]
pub struct MountWatch {
    file: AsyncFd<OwnedFd>,
    /// A change that was not looked at yet.
    pending: bool,
    not_before: Instant,
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
        Ok(Self {
            file,
            pending: false,
            not_before: Instant::now(),
        })
    }

    /// Returns once mounts have changed and it is time to look. May be dropped at any time: a change is kept for the next call.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn changed(&mut self) -> io::Result<()> {
        if !self.pending {
            self.file.ready(Interest::PRIORITY).await?.clear_ready();
            self.pending = true;
        }
        tokio::time::sleep_until(self.not_before).await;
        self.pending = false;
        Ok(())
    }

    /// A look has just ended that took so long.
    pub fn looked(&mut self, took: Duration) {
        self.not_before = Instant::now() + APART.max(took * (SHARE - 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On this machine's own mounts, of which a test changes none: what is pending is set by hand.
    #[tokio::test]
    async fn looks_are_apart_and_no_change_is_lost() {
        let mut mounts = MountWatch::new(Path::new("/proc")).unwrap();
        mounts.pending = true;
        mounts.changed().await.unwrap();
        assert!(!mounts.pending);

        let looked = Instant::now();
        mounts.looked(Duration::from_millis(30));
        mounts.pending = true;
        let early = tokio::time::timeout(Duration::from_millis(1), mounts.changed()).await;
        assert!(early.is_err() && mounts.pending);
        mounts.changed().await.unwrap();
        assert!(looked.elapsed() >= Duration::from_millis(270));

        let looked = Instant::now();
        mounts.looked(Duration::ZERO);
        mounts.pending = true;
        mounts.changed().await.unwrap();
        assert!(looked.elapsed() >= APART);
    }
}
