//! `uses.json`: the last use of each binding, so that a restart does not begin the count anew.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::audit::Use;

const NAME: &str = "uses.json";
const NEW: &str = "uses.json.new";
/// Ten times what the most bindings that are remembered take.
const SIZE_LIMIT: u64 = 16 << 20;
const VERSION: u32 = 1;

#[derive(Deserialize)]
struct Kept {
    version: u32,
    bindings: Vec<Use>,
}

#[derive(Serialize)]
struct Keep<'a> {
    version: u32,
    bindings: Vec<&'a Use>,
}

/// Empty on the first run.
pub(super) fn read(dir: &Path) -> io::Result<Vec<Use>> {
    let mut text = Vec::new();
    match File::open(dir.join(NAME)) {
        Ok(file) => file.take(SIZE_LIMIT + 1).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    if text.len() as u64 > SIZE_LIMIT {
        return Err(io::Error::other(format!("larger than {SIZE_LIMIT} bytes")));
    }
    let kept: Kept = serde_json::from_slice(&text)?;
    if kept.version != VERSION {
        let version = kept.version;
        return Err(io::Error::other(format!("version {version} is not known")));
    }
    Ok(kept.bindings)
}

/// Whole or not at all: a reader, or a kill in between, never sees a part.
pub(super) fn write<'a>(dir: &Path, uses: impl Iterator<Item = &'a Use>) -> io::Result<()> {
    let keep = Keep {
        version: VERSION,
        bindings: uses.collect(),
    };
    let mut text = serde_json::to_vec(&keep)?;
    text.push(b'\n');
    let new = dir.join(NEW);
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?
        .write_all(&text)?;
    fs::rename(&new, dir.join(NAME))
}
