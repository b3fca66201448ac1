//! Files that a command reads whole, and what it prints.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use super::{Failure, UsageError};

/// As of the files that `run` watches.
const SIZE_LIMIT: u64 = 64 << 20;

/// The contents of a file; `-` is stdin.
///
/// # Errors
/// When it cannot be read, or is too large.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let fail =
        |error: io::Error| Failure::environment(anyhow::anyhow!("{}: {error}", path.display()));
    let mut text = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin()
            .lock()
            .take(SIZE_LIMIT + 1)
            .read_to_end(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(SIZE_LIMIT + 1).read_to_end(&mut text))
    };
    read.map_err(fail)?;
    if text.len() as u64 > SIZE_LIMIT {
        return Err(fail(io::Error::other(format!(
            "is larger than {SIZE_LIMIT} bytes"
        ))));
    }
    Ok(text)
}

/// To stdout. Whoever closed it has read enough.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::environment(anyhow::anyhow!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Of `file:PATH`, the path.
pub(super) fn file_source(
    flag: &'static str,
    value: Option<String>,
    example: &'static str,
) -> Result<Option<PathBuf>, UsageError> {
    let Some(value) = value else { return Ok(None) };
    match value.strip_prefix("file:") {
        Some(path) if !path.is_empty() => Ok(Some(path.into())),
        _ => Err(UsageError::value(flag, &value, "`file:PATH`", example)),
    }
}
