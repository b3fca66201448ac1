//! A lab's directory, and removing what a lab has left: also one that crashed.
//!
//! Everything that a lab starts lives in its cgroup, everything that it mounts lies below its directory. There is one lab
//! at a time on a machine: the kernel shows an auditor every lab's processes, and they would disturb each other. Labs that
//! know each other's processes may stand side by side, see [`Company`].

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{cgroup, containerd, sys::mounts};

/// Holds a lab's directory.
pub const STATE: &str = "/run/credential-lab";
/// Locked while a lab lives.
const LOCK: &str = "/run/credential-lab.lock";

/// Which other labs there may be on the machine while this one lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    None,
    /// Those of the same program that allow it, too: it tells its own lines from theirs, see `Lab::is_of_another`.
    OfThisProgram,
}

/// A living lab's directory and cgroup; removed when dropped.
pub struct Home {
    dir: PathBuf,
    cgroup: PathBuf,
    keep: bool,
    _lock: Arc<File>,
}

impl Home {
    /// Waits for another lab to end, and removes what earlier ones have left. `hierarchy`: where cgroup v2 is mounted.
    pub fn claim(hierarchy: &Path, company: Company) -> Result<Self> {
        let lock = match company {
            Company::None => {
                let lock = lock()?;
                sweep()?;
                Arc::new(lock)
            }
            Company::OfThisProgram => share()?,
        };
        // While another lab's end removes the empty directory of all labs.
        let _cleaning = CLEANING.lock();
        let name = format!(
            "{}-{}",
            std::process::id(),
            &uuid::Uuid::new_v4().simple().to_string()[..6]
        );
        let dir = Path::new(STATE).join(&name);
        let cgroup = hierarchy.join(format!("credential-lab-{name}"));
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
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

    /// What this lab made stays until the next one.
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

fn lock() -> Result<File> {
    let file = File::create(LOCK).with_context(|| format!("create {LOCK}"))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            eprintln!("another lab runs on this machine; waiting for its end");
            file.lock()
        }
        Err(TryLockError::Error(e)) => Err(e),
        Ok(()) => Ok(()),
    }
    .with_context(|| format!("lock {LOCK}"))?;
    Ok(file)
}

/// The lock for labs that stand side by side. The first of them removes what earlier ones have left; other programs' labs
/// wait for the last.
fn share() -> Result<Arc<File>> {
    let mut lock = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(lock) = lock.upgrade() {
        return Ok(lock);
    }
    let file = self::lock()?;
    sweep()?;
    let file = Arc::new(file);
    *lock = Arc::downgrade(&file);
    Ok(file)
}

/// Removes every lab; the caller holds the lock, so none lives.
fn sweep() -> Result<()> {
    for entry in fs::read_dir(STATE).into_iter().flatten() {
        let dir = entry?.path();
        remove(&dir)
            .with_context(|| format!("remove what an earlier lab left in {}", dir.display()))?;
    }
    Ok(())
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
/// Held by the labs that stand side by side.
static SHARED: Mutex<Weak<File>> = Mutex::new(Weak::new());

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
        if let Some(name) = cgroup.file_name() {
            cgroup::remove_everywhere(Path::new(name))?;
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
    containerd::remove_sockets(dir);
    fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))?;
    // Not empty while other labs live.
    let _ = fs::remove_dir(STATE);
    Ok(())
}
