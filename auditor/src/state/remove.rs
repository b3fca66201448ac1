//! Taking the state directory away again, for those who remove the auditor from a node.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::{LEARNED_FILE, heartbeat, holder, uses};
use crate::status;

/// What a look at it brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    Now,
    /// There was none.
    Before,
}

#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error("state directory {} is in use by an auditor ({holder})", path.display())]
    Held { path: PathBuf, holder: String },
    #[error("{} holds what no auditor wrote: {}", path.display(), names.join(", "))]
    Foreign { path: PathBuf, names: Vec<String> },
    #[error("cannot remove the state directory: {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl RemoveError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Held { .. } => "stop that auditor first",
            Self::Foreign { .. } => {
                "is it the --state-dir of `auditor run`? nothing was removed; take those away by hand, if they may go"
            }
            Self::Io { .. } => {
                "run it as the user that `auditor run` was run by, with a mount that may be written"
            }
        }
    }
}

/// Removes what an auditor wrote there, and the directory. All or, where something else lies there, nothing.
///
/// # Errors
/// An auditor holds it, it holds something else, or it cannot be removed.
pub fn remove(path: &Path) -> Result<Removed, RemoveError> {
    let fail = |source| RemoveError::Io {
        path: path.to_owned(),
        source,
    };
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Removed::Before),
        Err(error) => return Err(fail(error)),
    };
    let (mut names, mut foreign) = (Vec::new(), Vec::new());
    for entry in entries {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let is_directory = entry.file_type().map_err(fail)?.is_dir();
        if !is_directory && name.to_str().is_some_and(is_ours) {
            names.push(name);
        } else {
            foreign.push(name.to_string_lossy().into_owned());
        }
    }
    if !foreign.is_empty() {
        return Err(RemoveError::Foreign {
            path: path.to_owned(),
            names: foreign,
        });
    }
    // Held until all is gone: one that starts meanwhile is refused, or makes the directory anew.
    let _lock = lock(path)?;
    for name in names {
        match fs::remove_file(path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
    }
    fs::remove_dir(path).map_err(fail)?;
    Ok(Removed::Now)
}

fn is_ours(name: &str) -> bool {
    let whole = name.strip_suffix(".new").unwrap_or(name);
    name == super::LOCK
        || name == status::SOCKET
        || [heartbeat::NAME, uses::NAME, LEARNED_FILE].contains(&whole)
}

/// None: nobody ever held it.
fn lock(path: &Path) -> Result<Option<File>, RemoveError> {
    let at = path.join(super::LOCK);
    let fail = |source| RemoveError::Io {
        path: at.clone(),
        source,
    };
    let mut lock = match File::open(&at) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Err(RemoveError::Held {
            path: path.to_owned(),
            holder: holder(&mut lock),
        }),
        Err(TryLockError::Error(source)) => Err(fail(source)),
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, sync::Arc};

    use jiff::Timestamp;

    use super::*;
    use crate::state::StateDir;

    #[test]
    fn all_that_a_run_leaves_is_removed_and_nothing_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let (mut state, _) = StateDir::open(&path, Arc::from("run")).unwrap();
        let now = Timestamp::from_second(1_795_000_000).unwrap();
        assert!(state.beat(now).is_none());
        assert!(state.keep_uses([].iter(), now).is_none());
        state.write_learned([].iter()).unwrap();
        let _socket = UnixListener::bind(path.join(status::SOCKET)).unwrap();
        fs::write(path.join("uses.json.new"), "{").unwrap();
        let names = fs::read_dir(&path).unwrap().count();
        assert!(names >= 5, "{names}");
        drop(state);
        assert_eq!(remove(&path).unwrap(), Removed::Now);
        assert!(!path.exists());
        assert!(dir.path().exists());
        assert_eq!(remove(&path).unwrap(), Removed::Before);
    }

    #[test]
    fn a_running_auditor_keeps_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let (state, _) = StateDir::open(&path, Arc::from("run")).unwrap();
        let error = remove(&path).unwrap_err();
        let pid = std::process::id().to_string();
        assert!(matches!(&error, RemoveError::Held { holder, .. } if holder.contains(&pid)));
        assert!(path.join("lock").exists());
        drop(state);
        remove(&path).unwrap();
    }

    #[test]
    fn what_is_not_ours_keeps_everything() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        drop(StateDir::open(&path, Arc::from("run")).unwrap());
        for name in ["passwd", "lock.new", "uses.json.new.new"] {
            let other = path.join(name);
            fs::write(&other, "").unwrap();
            let error = remove(&path).unwrap_err();
            assert!(error.to_string().ends_with(name), "{error}");
            assert!(path.join("lock").exists() && other.exists());
            fs::remove_file(other).unwrap();
        }
        // A link of that name is taken away, and what it points at is not.
        let outside = dir.path().join("outside");
        fs::write(&outside, "").unwrap();
        std::os::unix::fs::symlink(&outside, path.join("uses.json")).unwrap();
        fs::create_dir(path.join("heartbeat.json")).unwrap();
        assert!(matches!(remove(&path), Err(RemoveError::Foreign { .. })));
        assert!(path.join("uses.json").is_symlink());
        fs::remove_dir(path.join("heartbeat.json")).unwrap();
        remove(&path).unwrap();
        assert!(outside.exists() && !path.exists());
    }
}
