//! The state directory: one auditor at a time, and a heartbeat that tells the next one when this one ended.

mod heartbeat;

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;

use crate::event::Health;

pub use heartbeat::PreviousRun;

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("state directory {} is in use by another auditor ({holder})", path.display())]
    Held { path: PathBuf, holder: String },
    #[error("state directory {} may be written by others (mode {mode:o})", path.display())]
    Shared { path: PathBuf, mode: u32 },
    #[error("cannot use the state directory: {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl StateError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Held { .. } => {
                "one auditor runs on a node: stop the other, or give this one its own --state-dir"
                    .to_owned()
            }
            Self::Shared { path, .. } => {
                format!(
                    "give the auditor a directory of its own, or run: chmod go-w {}",
                    path.display()
                )
            }
            Self::Io { .. } => "choose a --state-dir that this user may write".to_owned(),
        }
    }
}

/// Held for as long as this lives.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Its flock(2) ends with the process, however that ends.
    _lock: File,
    run_id: Arc<str>,
    /// Since when heartbeats fail.
    failing: Option<Timestamp>,
}

impl StateDir {
    /// Makes the directory (mode 0700) where it is missing, locks it, and tells of the run before this one, if any.
    ///
    /// # Errors
    /// When another auditor holds it, others may write to it, or it cannot be used.
    pub fn open(path: &Path, run_id: Arc<str>) -> Result<(Self, Option<PreviousRun>), StateError> {
        let fail = |at: &Path| {
            let at = at.to_owned();
            |source| StateError::Io { path: at, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(fail(path))?;
        // What is learned decides later verdicts: nobody else may write it.
        let mode = fs::metadata(path).map_err(fail(path))?.mode() & 0o7777;
        if mode & 0o022 != 0 {
            return Err(StateError::Shared {
                path: path.to_owned(),
                mode,
            });
        }
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(fail(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StateError::Held {
                    path: path.to_owned(),
                    holder: holder(&mut lock),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(StateError::Io {
                    path: lock_path,
                    source,
                });
            }
        }
        let previous = heartbeat::read(path).map_err(fail(path))?;
        // On a full disk the lock still holds, and only its holder's name is missing.
        if let Err(error) = lock
            .set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
        {
            tracing::warn!(%error, "cannot write {}", lock_path.display());
        }
        Ok((
            Self {
                path: path.to_owned(),
                _lock: lock,
                run_id,
                failing: None,
            },
            previous,
        ))
    }

    /// Call each second. A failure is no reason to stop: it is told once when it begins, and once when it ends.
    pub fn beat(&mut self, now: Timestamp) -> Option<Health> {
        let (state, message) = match (
            heartbeat::write(&self.path, &self.run_id, now, false),
            self.failing,
        ) {
            (Ok(()), None) | (Err(_), Some(_)) => return None,
            (Ok(()), Some(since)) => {
                self.failing = None;
                (
                    "ok",
                    format!(
                        "heartbeats in {} work again; they failed since {since}",
                        self.path.display()
                    ),
                )
            }
            (Err(error), None) => {
                self.failing = Some(now);
                let path = self.path.display();
                (
                    "degraded",
                    format!(
                        "no heartbeat in {path}: {error}; if the auditor is killed, the gap will seem longer"
                    ),
                )
            }
        };
        Some(Health {
            component: "auditor".to_owned(),
            state: state.to_owned(),
            message,
        })
    }

    /// Marks the run as ended on purpose, on disk, and lets go of the directory.
    ///
    /// # Errors
    /// When it cannot be written: the next run will take this one for killed.
    pub fn close(self, now: Timestamp) -> Result<(), StateError> {
        heartbeat::write(&self.path, &self.run_id, now, true)
            .and_then(|()| heartbeat::sync(&self.path))
            .map_err(|source| StateError::Io {
                path: self.path.clone(),
                source,
            })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The pid is as the other auditor sees itself: 1 in a container.
fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    match lock
        .take(32)
        .read_to_string(&mut text)
        .map(|_| text.trim().parse::<u32>())
    {
        Ok(Ok(pid)) => format!("pid {pid}"),
        _ => "its pid is not known".to_owned(),
    }
}

#[cfg(test)]
mod tests;
