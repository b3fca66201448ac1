//! A file that is read again when it changes: pods, associations and policy are all given this way.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

/// Larger files are refused.
const SIZE_LIMIT: u64 = 64 << 20;

/// The kernel stamps files with a coarse clock: of two writes within one tick the second leaves no trace in the times. A file is
/// therefore read again until its last change lies this far back.
const CLOCK_TICK: Duration = Duration::from_millis(100);

/// How often a file that changes while it is read is tried.
const ATTEMPTS: u32 = 3;

#[derive(Debug)]
pub struct WatchedFile {
    path: PathBuf,
    limit: u64,
    /// As the file was when it was last read; null when the next look must read it in any case.
    stamp: Option<Stamp>,
    /// Of the contents in use.
    accepted: Option<String>,
    /// Why the file, as it is now, is not in use.
    failure: Option<SourceError>,
}

/// What a refresh of a source did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    Unchanged,
    Changed,
}

/// What a look at the file found.
#[derive(Debug)]
pub enum Look<T> {
    Unchanged,
    Changed {
        value: T,
        /// See [`content_hash`].
        hash: String,
    },
}

/// Why a file could not be used. The same as long as the state of the file is the same, so that a caller can report changes only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct SourceError {
    pub path: PathBuf,
    pub problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("is not a regular file; give the path of one")]
    NotAFile,
    #[error("is larger than {limit} bytes; list fewer objects in it")]
    TooLarge { limit: u64 },
    #[error(
        "changes while it is read; write the new contents to another file and rename that into place"
    )]
    Unsteady,
    #[error("{0}")]
    Invalid(String),
}

/// Enough of SHA-256 to tell versions of a file apart: 16 hex digits.
#[must_use]
pub fn content_hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest[..8].iter().map(|b| format!("{b:02x}")).collect()
}

impl WatchedFile {
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            limit: SIZE_LIMIT,
            stamp: None,
            accepted: None,
            failure: None,
        }
    }

    /// Reads the file if it is not as it was at the last look, and has `parse` make sense of it.
    ///
    /// One `stat` where nothing changed. A file that was rewritten with the same contents is unchanged.
    ///
    /// # Errors
    /// When the file cannot be read or `parse` refuses it. A refused file is not parsed again until it changes; the error stays.
    pub fn look<T, E: std::fmt::Display>(
        &mut self,
        parse: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<Look<T>, SourceError> {
        match self.read_if_changed() {
            Ok(None) => match &self.failure {
                None => Ok(Look::Unchanged),
                Some(failure) => Err(failure.clone()),
            },
            Ok(Some((bytes, hash))) => match parse(&bytes) {
                Ok(value) => {
                    self.failure = None;
                    self.accepted = Some(hash.clone());
                    Ok(Look::Changed { value, hash })
                }
                Err(error) => Err(self.fail(Problem::Invalid(error.to_string()))),
            },
            Err(problem) => {
                self.stamp = None;
                Err(self.fail(problem))
            }
        }
    }

    fn fail(&mut self, problem: Problem) -> SourceError {
        let error = SourceError {
            path: self.path.clone(),
            problem,
        };
        self.failure = Some(error.clone());
        error
    }

    /// The contents, where they are neither those in use nor those that were refused last.
    fn read_if_changed(&mut self) -> Result<Option<(Vec<u8>, String)>, Problem> {
        let metadata = fs::metadata(&self.path).map_err(unreadable)?;
        if self.stamp == Some(Stamp::of(&metadata)) {
            return Ok(None);
        }
        let (bytes, stamp) = self.read()?;
        self.stamp = stamp.is_settled(SystemTime::now()).then_some(stamp);
        let hash = content_hash(&bytes);
        if self.accepted.as_ref() == Some(&hash) {
            self.failure = None;
            return Ok(None);
        }
        Ok(Some((bytes, hash)))
    }

    fn read(&self) -> Result<(Vec<u8>, Stamp), Problem> {
        for _ in 0..ATTEMPTS {
            // Opening a fifo would wait for its writer.
            let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
            let mut file = OpenOptions::new()
                .read(true)
                .custom_flags(flags.bits().cast_signed())
                .open(&self.path)
                .map_err(unreadable)?;
            let before = file.metadata().map_err(unreadable)?;
            if !before.is_file() {
                return Err(Problem::NotAFile);
            }
            let bytes = self.read_limited(&mut file, before.len())?;
            let after = file.metadata().map_err(unreadable)?;
            if Stamp::of(&before) == Stamp::of(&after) {
                return Ok((bytes, Stamp::of(&after)));
            }
        }
        Err(Problem::Unsteady)
    }

    fn read_limited(&self, file: &mut File, size: u64) -> Result<Vec<u8>, Problem> {
        let limit = self.limit;
        if size > limit {
            return Err(Problem::TooLarge { limit });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        let mut limited = file.take(limit + 1);
        limited.read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > limit {
            return Err(Problem::TooLarge { limit });
        }
        Ok(bytes)
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err takes"
)]
fn unreadable(error: io::Error) -> Problem {
    Problem::Unreadable(error.to_string())
}

/// What changes when a file is written, replaced, or another is put in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    dev: u64,
    ino: u64,
    size: u64,
    /// Seconds and nanoseconds.
    mtime: (i64, i64),
    /// Unlike `mtime` this one cannot be set back.
    ctime: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.size(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            ctime: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let (Ok(seconds), Ok(nanos)) = (u64::try_from(self.ctime.0), u32::try_from(self.ctime.1))
        else {
            return false;
        };
        now.duration_since(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos))
            .is_ok_and(|age| age > CLOCK_TICK)
    }
}

#[cfg(test)]
mod tests;
