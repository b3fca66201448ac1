//! `uses.json`: the last use of each binding, so that a restart does not begin the count anew.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};

use super::kept;
use crate::audit::Use;

pub(super) const NAME: &str = "uses.json";

#[derive(Deserialize)]
struct Kept {
    bindings: Vec<Use>,
}

#[derive(Serialize)]
struct Keep<'a> {
    bindings: Vec<&'a Use>,
}

/// Empty on the first run.
pub(super) fn read(dir: &Path) -> io::Result<Vec<Use>> {
    let kept: Option<Kept> = kept::read(dir, NAME)?;
    Ok(kept.map_or_else(Vec::new, |kept| kept.bindings))
}

pub(super) fn write<'a>(dir: &Path, uses: impl Iterator<Item = &'a Use>) -> io::Result<()> {
    let bindings = uses.collect();
    kept::write(dir, NAME, Keep { bindings })
}
