//! A lab's directory, and removing what a lab has left: also one that crashed.
//!
//! Everything that a lab starts lives in its cgroup, everything that it mounts lies below its directory. The directory's
//! lock says whether the lab still lives.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{cgroup, sys::mounts};

/// Holds one directory a lab.
pub const STATE: &str = "/run/credential-lab";

/// A living lab's directory and cgroup; removed when dropped.
pub struct Home {
    dir: PathBuf,
    cgroup: PathBuf,
    keep: bool,
    _lock: File,
}

impl Home {
    /// `hierarchy`: where cgroup v2 is mounted.
    pub fn claim(hierarchy: &Path) -> Result<Self> {
        let name = format!(
            "{}-{}",
            std::process::id(),
            &uuid::Uuid::new_v4().simple().to_string()[..6]
        );
        let dir = Path::new(STATE).join(&name);
        let cgroup = hierarchy.join(format!("credential-lab-{name}"));
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let lock = File::create(dir.join("lock"))?;
        lock.try_lock().context("a fresh lab's lock is taken")?;
        // Written before the cgroup exists, so that a crash between the two leaves nothing unknown.
        fs::write(dir.join("cgroup"), cgroup.as_os_str().as_encoded_bytes())?;
        fs::create_dir(&cgroup).with_context(|| format!("create {}", cgroup.display()))?;
        Ok(Self {
            dir,
            cgroup,
            keep: false,
            _lock: lock,
        })
    }

    /// What this lab made stays until the next one's [`sweep`].
    pub fn keep(&mut self) {
        self.keep = true;
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !self.keep
            && let Err(e) = remove(&self.dir)
        {
            eprintln!("cleaning up after the lab: {e:#}");
        }
    }
}

/// Removes every lab whose process is gone. Returns how many there were.
pub fn sweep() -> Result<usize> {
    let Ok(entries) = fs::read_dir(STATE) else {
        return Ok(0);
    };
    let mut removed = 0;
    for entry in entries {
        let dir = entry?.path();
        // Held while removing: another sweep then leaves it alone.
        let lock = File::open(dir.join("lock"));
        let is_dead = match &lock {
            Ok(lock) => match lock.try_lock() {
                Ok(()) => dir.join("cgroup").exists() || !is_being_claimed(&dir),
                Err(TryLockError::WouldBlock) => false,
                Err(TryLockError::Error(e)) => return Err(e).context("lock an earlier lab"),
            },
            Err(_) => dir.exists() && !is_being_claimed(&dir),
        };
        if is_dead {
            remove(&dir)
                .with_context(|| format!("remove what an earlier lab left in {}", dir.display()))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// A lab's first steps come before its lock; then its process, by which it is named, still lives.
fn is_being_claimed(dir: &Path) -> bool {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    name.split('-')
        .next()
        .is_some_and(|pid| Path::new("/proc").join(pid).exists())
}

/// Removes every lab that this process made: for a signal that ends it, after which nobody else here cleans up.
pub fn remove_own() -> Result<()> {
    std::mem::forget(CLEANING.lock());
    let prefix = format!("{}-", std::process::id());
    let Ok(entries) = fs::read_dir(STATE) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(&prefix) {
            continue;
        }
        // Other threads may still be making things.
        let deadline = Instant::now() + Duration::from_secs(5);
        while let Err(e) = remove_now(&entry.path()) {
            if Instant::now() > deadline {
                return Err(e);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

static CLEANING: Mutex<()> = Mutex::new(());

fn remove(dir: &Path) -> Result<()> {
    let _cleaning = CLEANING.lock();
    remove_now(dir)
}

/// Kills a lab's processes, unmounts what it mounted and removes its cgroups and directory.
fn remove_now(dir: &Path) -> Result<()> {
    if let Ok(cgroup) = fs::read_to_string(dir.join("cgroup")) {
        let cgroup = Path::new(&cgroup);
        if cgroup.exists() {
            cgroup::kill(cgroup)?;
            cgroup::remove_tree(cgroup)?;
        }
    }
    for mount in mounts::list()?
        .iter()
        .rev()
        .filter(|m| m.mount_point.starts_with(dir))
    {
        mounts::detach(&mount.mount_point)
            .with_context(|| format!("unmount {}", mount.mount_point.display()))?;
    }
    fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))?;
    // Not empty while other labs live.
    let _ = fs::remove_dir(STATE);
    Ok(())
}
