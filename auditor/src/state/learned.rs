//! `executables.json`: the programs that each ServiceAccount's pods used its credentials with, so that a restart does not
//! begin the learning anew.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};

use super::kept;
use crate::audit::Learned;

/// In the state directory.
pub const NAME: &str = "executables.json";

#[derive(Deserialize)]
struct Kept {
    service_accounts: Vec<Learned>,
}

#[derive(Serialize)]
struct Keep<'a> {
    service_accounts: Vec<&'a Learned>,
}

/// Empty on the first run.
///
/// # Errors
/// When it is torn, of another version, too large or not readable.
pub fn read(dir: &Path) -> io::Result<Vec<Learned>> {
    let kept: Option<Kept> = kept::read(dir, NAME)?;
    Ok(kept.map_or_else(Vec::new, |kept| kept.service_accounts))
}

pub(super) fn write<'a>(dir: &Path, learned: impl Iterator<Item = &'a Learned>) -> io::Result<()> {
    let service_accounts = learned.collect();
    kept::write(dir, NAME, Keep { service_accounts })
}
