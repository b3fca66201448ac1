//! The state directory: one auditor at a time, and a heartbeat that tells the next one when this one ended.

mod heartbeat;
mod kept;
mod learned;
mod lock;
mod remove;
mod uses;

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;

use self::{kept::Keeper, lock::Hold};
use crate::{
    audit::{Learned, Use},
    event::Health,
};

pub use heartbeat::PreviousRun;
pub use learned::{NAME as LEARNED_FILE, read as read_learned};
pub(crate) use lock::NAME as LOCK;
pub use remove::{RemoveError, Removed, remove};

/// How often the directory is tried anew where somebody takes it or its lock away meanwhile.
const TRIES: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("state directory {} is in use by another auditor ({holder})", path.display())]
    Held { path: PathBuf, holder: String },
    #[error("state directory {} belongs to another user (uid {owner})", path.display())]
    Owner { path: PathBuf, owner: u32 },
    #[error("state directory {} may be written by others (mode {mode:o})", path.display())]
    Shared { path: PathBuf, mode: u32 },
    #[error("state directory {} is taken away again and again", path.display())]
    Unsteady { path: PathBuf },
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
            Self::Owner { path, .. } => format!(
                "give the auditor a directory of its own, or run: chown {} {}",
                rustix::process::geteuid().as_raw(),
                path.display()
            ),
            Self::Unsteady { .. } => {
                "is `auditor remove-state`, or another cleanup, at work there? stop it, or choose another --state-dir"
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
    lock: File,
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
    /// Trusted is whoever may write the directories above it, as by [`remove`].
    ///
    /// # Errors
    /// When another auditor holds it, it is another user's, others may write to it, or it cannot be used.
    pub fn open(path: &Path, run_id: Arc<str>) -> Result<(Self, Option<PreviousRun>), StateError> {
        let mut lock = take(path)?;
        let previous = heartbeat::read(path).map_err(|source| io_error(path, source))?;
        // On a full disk the lock still holds, and only its holder's name is missing.
        if let Err(error) = lock
            .set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
        {
            tracing::warn!(%error, "cannot write {}", path.join(LOCK).display());
        }
        Ok((
            Self {
                path: path.to_owned(),
                lock,
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
        let written = self
            .ensure_held()
            .and_then(|()| heartbeat::write(&self.path, &self.run_id, now, false));
        let (state, message) = match (written, self.failing) {
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
        let held = ensure_held(&self.lock, path);
        let failed = self
            .uses
            .keep(now, || held.and_then(|()| uses::write(path, uses)))?;
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
        let held = ensure_held(&self.lock, path);
        let failed = self.learned.keep(now, || {
            held?;
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
        self.ensure_held()
            .and_then(|()| heartbeat::write(&self.path, &self.run_id, now, true))
            .and_then(|()| heartbeat::sync(&self.path))
            .map_err(|source| io_error(&self.path, source))
    }

    /// What is written where another auditor may be at work would spoil what that one wrote.
    fn ensure_held(&self) -> io::Result<()> {
        ensure_held(&self.lock, &self.path)
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

/// Makes the directory where it is missing, and locks it.
fn take(path: &Path) -> Result<File, StateError> {
    let at = path.join(LOCK);
    for _ in 0..TRIES {
        prepare(path)?;
        let file = match lock::open(&at) {
            Ok(file) => file,
            // The directory was removed after it was looked at.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io_error(&at, error)),
        };
        match lock::hold(file, &at).map_err(|source| io_error(&at, source))? {
            Hold::Ours(lock) => return Ok(lock),
            Hold::Anothers(mut lock) => {
                return Err(StateError::Held {
                    path: path.to_owned(),
                    holder: lock::holder(&mut lock),
                });
            }
            Hold::Gone => {}
        }
    }
    Err(StateError::Unsteady {
        path: path.to_owned(),
    })
}

fn prepare(path: &Path) -> Result<(), StateError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| io_error(path, source))?;
    let found = match fs::metadata(path) {
        Ok(found) => found,
        // Removed in this moment: the lock will tell, and it is tried anew.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(path, error)),
    };
    // What is learned decides later verdicts: nobody else may write it, and its owner may at any time.
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    let path = || path.to_owned();
    if owner != rustix::process::geteuid().as_raw() {
        return Err(StateError::Owner {
            path: path(),
            owner,
        });
    }
    if mode & 0o022 != 0 {
        return Err(StateError::Shared { path: path(), mode });
    }
    Ok(())
}

fn ensure_held(lock: &File, path: &Path) -> io::Result<()> {
    if lock::is_at(lock, &path.join(LOCK))? {
        return Ok(());
    }
    Err(io::Error::other(
        "its lock was removed, and another auditor may use the directory",
    ))
}

fn io_error(path: &Path, source: io::Error) -> StateError {
    StateError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
