//! The state directory: one auditor at a time, and a heartbeat that tells the next one when this one ended.

mod heartbeat;
mod kept;
mod learned;
mod remove;
mod uses;

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;

use self::kept::Keeper;
use crate::{
    audit::{Learned, Use},
    event::Health,
};

pub use heartbeat::PreviousRun;
pub use learned::{NAME as LEARNED_FILE, read as read_learned};
pub use remove::{RemoveError, Removed, remove};

/// Whoever has locked it holds the directory.
pub(crate) const LOCK: &str = "lock";

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
    uses: Keeper,
    learned: Keeper,
    /// Of what was last written; null: nothing was.
    learned_revision: Option<u64>,
    /// Some of what was learned was too much for its file.
    is_cut: bool,
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
        let lock_path = path.join(LOCK);
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
                uses: Keeper::default(),
                learned: Keeper::default(),
                learned_revision: None,
                is_cut: false,
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

    /// The uses of bindings as the run before left them, and what to say where they cannot be read: then they are dropped.
    #[must_use]
    pub fn uses(&self) -> (Vec<Use>, Option<Health>) {
        match uses::read(&self.path) {
            Ok(uses) => (uses, None),
            Err(error) => {
                let path = self.path.display();
                let message = format!(
                    "uses.json in {path} cannot be read: {error}; the use of bindings is counted anew from now on"
                );
                (Vec::new(), Some(degraded(message)))
            }
        }
    }

    /// Call as often as you like: it writes once a minute. A failure is told once.
    pub fn keep_uses<'a>(
        &mut self,
        uses: impl Iterator<Item = &'a Use>,
        now: Timestamp,
    ) -> Option<Health> {
        let path = &self.path;
        let failed = self.uses.keep(now, || uses::write(path, uses))?;
        Some(degraded(format!(
            "cannot write uses.json in {}: {failed}; after a restart, the use of bindings is counted anew",
            path.display()
        )))
    }

    /// What each ServiceAccount's pods run, as the run before learned it, and what to say where that cannot be read: then it is dropped.
    #[must_use]
    pub fn learned(&self) -> (Vec<Learned>, Option<Health>) {
        match learned::read(&self.path) {
            Ok(learned) => (learned, None),
            Err(error) => {
                let path = self.path.display();
                let message = format!(
                    "{LEARNED_FILE} in {path} cannot be read: {error}; what runs is learned anew from now on, and nothing is an \
                     unexpected-executable by it until then"
                );
                (Vec::new(), Some(degraded(message)))
            }
        }
    }

    /// As [`Self::keep_uses`], and asks for what is `learned` only when it writes: where `revision` is another than the last time.
    pub fn keep_learned<'a, L: Iterator<Item = &'a Learned>>(
        &mut self,
        revision: u64,
        learned: impl FnOnce() -> L,
        now: Timestamp,
    ) -> Option<Health> {
        let path = &self.path;
        let mut left_out = None;
        let failed = self.learned.keep(now, || {
            if self.learned_revision != Some(revision) {
                left_out = Some(learned::write(path, learned())?);
                self.learned_revision = Some(revision);
            }
            Ok(())
        });
        let path = self.path.display();
        if let Some(error) = failed {
            return Some(degraded(format!(
                "cannot write {LEARNED_FILE} in {path}: {error}; after a restart, what runs is learned anew"
            )));
        }
        let was_cut = self.is_cut;
        let number = left_out?;
        self.is_cut = number > 0;
        (self.is_cut && !was_cut).then(|| {
            degraded(format!(
                "{LEARNED_FILE} in {path} would be too large: {number} ServiceAccounts, those with the most programs and the \
                 longest paths, are left out; after a restart, what they run is learned anew"
            ))
        })
    }

    /// # Errors
    /// When it cannot be written: what was there before stays.
    pub fn write_learned<'a>(&self, learned: impl Iterator<Item = &'a Learned>) -> io::Result<()> {
        learned::write(&self.path, learned).map(drop)
    }

    /// # Errors
    /// When it cannot be written: what was there before stays.
    pub fn write_uses<'a>(&self, uses: impl Iterator<Item = &'a Use>) -> io::Result<()> {
        uses::write(&self.path, uses)
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

fn degraded(message: String) -> Health {
    Health {
        component: "auditor".to_owned(),
        state: "degraded".to_owned(),
        message,
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
