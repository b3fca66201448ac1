//! The lock of a state directory: whoever has locked (flock(2)) the file that is *at this path* holds the directory.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

pub(crate) const NAME: &str = "lock";

/// What came of an attempt to lock a file.
#[derive(Debug)]
pub(super) enum Hold {
    /// Until it is dropped, or the process ends, however that ends.
    Ours(File),
    Anothers(File),
    /// Another file is at the path by now, or none: this one was removed after it was opened. Whoever made the other may hold that.
    Gone,
}

/// Opens it, and makes it (mode 0600) where it is missing. A link is not followed, and a FIFO not waited for.
///
/// # Errors
/// `NotFound`: its directory is not there.
pub(super) fn open(at: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(at)
}

/// Locks an opened file without waiting.
///
/// # Errors
/// When it cannot be locked, or what is at the path cannot be told.
pub(super) fn hold(file: File, at: &Path) -> io::Result<Hold> {
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Hold::Anothers(file)),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    Ok(if is_at(&file, at)? {
        Hold::Ours(file)
    } else {
        Hold::Gone
    })
}

/// Whether the file at this path is still the one that was opened.
///
/// # Errors
/// When it cannot be told.
pub(super) fn is_at(file: &File, at: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    match fs::symlink_metadata(at) {
        Ok(there) => Ok((there.dev(), there.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Who has locked it, as it wrote itself. The pid is as the other auditor sees itself: 1 in a container.
pub(super) fn holder(lock: &mut File) -> String {
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
