//! `heartbeat.json`: when a run was last alive, and whether it ended on purpose.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::Health;

pub(super) const NAME: &str = "heartbeat.json";
const NEW: &str = "heartbeat.json.new";

#[derive(Debug, Serialize, Deserialize)]
struct Heartbeat {
    run_id: String,
    time: Timestamp,
    pid: u32,
    clean: bool,
}

/// The run before this one, as its last heartbeat tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousRun {
    /// `unknown` when the heartbeat could not be read.
    pub run_id: String,
    pub last_heartbeat: Timestamp,
    /// It ended on purpose.
    pub clean: bool,
}

impl PreviousRun {
    /// What to announce when it did not.
    #[must_use]
    pub fn restart_gap(&self, now: Timestamp) -> Option<Health> {
        if self.clean {
            return None;
        }
        let Self {
            run_id,
            last_heartbeat,
            ..
        } = self;
        Some(Health {
            component: "auditor".to_owned(),
            state: "restart-gap".to_owned(),
            message: format!(
                "run {run_id} ended without stopping; nothing was watched from {last_heartbeat} to {now}"
            ),
        })
    }
}

/// None on the first run.
pub(super) fn read(dir: &Path) -> io::Result<Option<PreviousRun>> {
    let path = dir.join(NAME);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if let Ok(Heartbeat {
        run_id,
        time,
        pid: _,
        clean,
    }) = serde_json::from_slice(&bytes)
    {
        return Ok(Some(PreviousRun {
            run_id,
            last_heartbeat: time,
            clean,
        }));
    }
    // A power cut can leave rubbish: the file's own time is the next best.
    let last_heartbeat =
        Timestamp::try_from(fs::metadata(&path)?.modified()?).map_err(io::Error::other)?;
    Ok(Some(PreviousRun {
        run_id: "unknown".to_owned(),
        last_heartbeat,
        clean: false,
    }))
}

/// Whole or not at all: a reader, or a kill in between, never sees a part.
pub(super) fn write(dir: &Path, run_id: &str, time: Timestamp, clean: bool) -> io::Result<()> {
    let heartbeat = Heartbeat {
        run_id: run_id.to_owned(),
        time,
        pid: std::process::id(),
        clean,
    };
    let mut text = serde_json::to_vec(&heartbeat)?;
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

/// Only at the end: a write to disk each second would wear it out, and a kill needs none.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir.join(NAME))?.sync_all()?;
    File::open(dir)?.sync_all()
}
