//! Taking the state directory away again, for those who remove the auditor from a node.
//!
//! Trusted is whoever may write the directories above it: he can put another directory in its place at any time, also between two
//! looks of ours. In the cleanup pod that is `/var/lib` of the node, which is root's. In the directory itself nobody else may
//! write, or it is refused; so what was seen there is still what is there.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{
    LEARNED_FILE, LOCK, heartbeat,
    lock::{self, Hold},
    uses,
};
use crate::status;

/// Of the lock, in bytes: more than any pid has.
const LOCK_LIMIT: u64 = 32;

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
    #[error("an auditor started meanwhile, and uses state directory {} again", path.display())]
    Started { path: PathBuf },
    #[error("state directory {} was emptied by somebody else meanwhile", path.display())]
    Changed { path: PathBuf },
    #[error("state directory {} is {found}", path.display())]
    NotDirectory { path: PathBuf, found: &'static str },
    #[error("state directory {} belongs to another user (uid {owner})", path.display())]
    Owner { path: PathBuf, owner: u32 },
    #[error("state directory {} may be written by others (mode {mode:o})", path.display())]
    Shared { path: PathBuf, mode: u32 },
    #[error("{} is not known for an auditor's state directory: {why}", path.display())]
    Unknown { path: PathBuf, why: &'static str },
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
            Self::Held { .. } | Self::Started { .. } => "stop that auditor first",
            Self::Changed { .. } => "nothing was removed; try again",
            Self::NotDirectory { .. } => {
                "nothing was removed; where a link was put in its place, remove first what it points at, then the link by hand"
            }
            Self::Owner { .. } => {
                "is it the --state-dir of `auditor run`? nothing was removed; run it as the user that `auditor run` was run by"
            }
            Self::Shared { .. } => {
                "nothing was removed; see who else writes there, take the right from him (chmod go-w), and try again"
            }
            Self::Unknown { .. } => {
                "is it the --state-dir of `auditor run`? nothing was removed; take it away by hand, if it may go"
            }
            Self::Foreign { .. } => {
                "is it the --state-dir of `auditor run`? nothing was removed; take those away by hand, if they may go"
            }
            Self::Io { .. } => {
                "run it as the user that `auditor run` was run by, with a mount that may be written"
            }
        }
    }
}

/// Removes what an auditor wrote there, and the directory. All or, where it is not known for an auditor's or something else lies
/// there, nothing.
///
/// An auditor's is a directory of this user's with a lock that an auditor wrote: the first that a run makes in it, and the last
/// that goes here. An empty one is removed, too: the kubelet makes it, for an auditor that may have ended before it used it.
///
/// # Errors
/// An auditor holds it, it is not an auditor's, it holds something else, or it cannot be removed.
pub fn remove(path: &Path) -> Result<Removed, RemoveError> {
    // Without a slash at its end: by that, a link would be followed.
    let path: PathBuf = path.components().collect();
    let path = path.as_path();
    if !is_there(path)? {
        return Ok(Removed::Before);
    }
    let names = list(path)?;
    let Some(_lock) = hold(path)? else {
        if !names.is_empty() {
            return Err(unknown(path, "no auditor's lock is in it"));
        }
        return remove_empty(path);
    };
    // Again: until it let go of the lock, an auditor may have written. From now on one that starts is refused.
    clear(path, &list(path)?)?;
    remove_empty(path)
}

fn clear(path: &Path, names: &[OsString]) -> Result<(), RemoveError> {
    for name in names {
        unlink(&path.join(name))?;
    }
    // Last: whoever starts after this makes a lock of his own, and the directory is not empty. (Who has opened this one before, and
    // locks it when we are gone, finds another at its path or none, and tries anew.)
    unlink(&path.join(LOCK))
}

/// Whether there is one, and nobody else's. A link is none, wherever it points to: in a pod, an absolute one points at nothing, or
/// at something else than on the node.
fn is_there(path: &Path) -> Result<bool, RemoveError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io_error(path, error)),
    };
    let path = || path.to_owned();
    if !found.is_dir() {
        return Err(RemoveError::NotDirectory {
            path: path(),
            found: match found.is_symlink() {
                true => "a symbolic link",
                false => "no directory",
            },
        });
    }
    let owner = found.uid();
    if owner != rustix::process::geteuid().as_raw() {
        return Err(RemoveError::Owner {
            path: path(),
            owner,
        });
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(RemoveError::Shared { path: path(), mode });
    }
    Ok(true)
}

/// What an auditor wrote there, but for its lock. Nothing else is there.
fn list(path: &Path) -> Result<Vec<OsString>, RemoveError> {
    let fail = |source| io_error(path, source);
    let (mut names, mut foreign) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let kind = entry.file_type().map_err(fail)?;
        if name == LOCK && kind.is_file() {
            continue;
        }
        if !kind.is_dir() && name.to_str().is_some_and(is_ours) {
            names.push(name);
        } else {
            foreign.push(name.to_string_lossy().into_owned());
        }
    }
    if foreign.is_empty() {
        return Ok(names);
    }
    Err(RemoveError::Foreign {
        path: path.to_owned(),
        names: foreign,
    })
}

/// But for the lock.
fn is_ours(name: &str) -> bool {
    let whole = name.strip_suffix(".new").unwrap_or(name);
    name == status::SOCKET || [heartbeat::NAME, uses::NAME, LEARNED_FILE].contains(&whole)
}

/// Null: there is none. An error: it is held, or no auditor wrote it.
fn hold(path: &Path) -> Result<Option<File>, RemoveError> {
    let at = path.join(LOCK);
    let fail = |source| io_error(&at, source);
    // A regular file is what it was found to be; should it be another now, it is neither followed nor waited for.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&at);
    let lock = match opened {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    let found = lock.metadata().map_err(fail)?;
    // As a run makes it: mode 0600, less what the umask takes.
    let is_own = found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o177 == 0;
    if !found.is_file() || !is_own {
        return Err(unknown(path, "no auditor made its lock"));
    }
    let lock = match lock::hold(lock, &at).map_err(fail)? {
        Hold::Ours(lock) => lock,
        Hold::Anothers(mut lock) => {
            return Err(RemoveError::Held {
                path: path.to_owned(),
                holder: lock::holder(&mut lock),
            });
        }
        Hold::Gone => {
            return Err(RemoveError::Changed {
                path: path.to_owned(),
            });
        }
    };
    let mut text = Vec::new();
    (&lock)
        .take(LOCK_LIMIT + 1)
        .read_to_end(&mut text)
        .map_err(fail)?;
    if !is_pid(&text) {
        return Err(unknown(path, "no auditor wrote its lock"));
    }
    Ok(Some(lock))
}

/// What a run leaves in its lock: its pid; nothing, where it was killed before that or the disk is full; a part of it, or zeros, after a
/// power cut.
fn is_pid(text: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(text) else {
        return false;
    };
    let text = text.trim_end_matches(['\n', '\0']);
    text.is_empty()
        || (text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok())
}

fn unlink(path: &Path) -> Result<(), RemoveError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, error)),
        _ => Ok(()),
    }
}

/// It was emptied, or found empty.
fn remove_empty(path: &Path) -> Result<Removed, RemoveError> {
    match fs::remove_dir(path) {
        Ok(()) => Ok(Removed::Now),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            Err(RemoveError::Started {
                path: path.to_owned(),
            })
        }
        Err(error) => Err(io_error(path, error)),
    }
}

fn unknown(path: &Path, why: &'static str) -> RemoveError {
    RemoveError::Unknown {
        path: path.to_owned(),
        why,
    }
}

fn io_error(path: &Path, source: io::Error) -> RemoveError {
    RemoveError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
