//! Files of the state directory that hold what a run knew for the next one: JSON with a version, written whole, bounded.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What is lost when the auditor is killed.
const EVERY: SignedDuration = SignedDuration::from_mins(1);
/// Of a file, in bytes: a larger one is neither read nor written.
pub(super) const SIZE_LIMIT: u64 = 16 << 20;
const VERSION: u32 = 1;

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize)]
struct Keep<T> {
    version: u32,
    #[serde(flatten)]
    contents: T,
}

/// Null on the first run.
pub(super) fn read<T: DeserializeOwned>(dir: &Path, name: &str) -> io::Result<Option<T>> {
    let mut text = Vec::new();
    match File::open(dir.join(name)) {
        Ok(file) => file.take(SIZE_LIMIT + 1).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if text.len() as u64 > SIZE_LIMIT {
        return Err(too_large());
    }
    // First: another version may have other contents.
    let Version { version } = serde_json::from_slice(&text)?;
    if version != VERSION {
        return Err(io::Error::other(format!("version {version} is not known")));
    }
    Ok(Some(serde_json::from_slice(&text)?))
}

/// Whole or not at all: a reader, or a kill in between, never sees a part.
pub(super) fn write<T: Serialize>(dir: &Path, name: &str, contents: T) -> io::Result<()> {
    let version = VERSION;
    let mut text = serde_json::to_vec(&Keep { version, contents })?;
    text.push(b'\n');
    if text.len() as u64 > SIZE_LIMIT {
        return Err(too_large());
    }
    let new = dir.join(format!("{name}.new"));
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?
        .write_all(&text)?;
    fs::rename(&new, dir.join(name))
}

fn too_large() -> io::Error {
    io::Error::other(format!("larger than {SIZE_LIMIT} bytes"))
}

/// When one of them was last written, and whether that failed.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    kept: Option<Timestamp>,
    failing: bool,
}

impl Keeper {
    /// Writes once a minute; the error is given once, when it begins.
    pub fn keep(
        &mut self,
        now: Timestamp,
        write: impl FnOnce() -> io::Result<()>,
    ) -> Option<io::Error> {
        let kept = self.kept.get_or_insert(now);
        if now.duration_since(*kept).abs() < EVERY {
            return None;
        }
        *kept = now;
        let failed = write().err();
        let is_news = failed.is_some() && !self.failing;
        self.failing = failed.is_some();
        failed.filter(|_| is_news)
    }
}
