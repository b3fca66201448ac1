//! `executables.json`: the programs that each ServiceAccount's pods used its credentials with, so that a restart does not
//! begin the learning anew.

use std::{
    collections::HashSet,
    io::{self, Write},
    path::Path,
};

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

/// Whole or not at all, and never larger than can be read again: of what does not fit, those that take the most room are left out.
/// Their number is given.
pub(super) fn write<'a>(
    dir: &Path,
    learned: impl Iterator<Item = &'a Learned>,
) -> io::Result<usize> {
    let mut service_accounts: Vec<&Learned> = learned.collect();
    let all = service_accounts.len();
    keep_fitting(&mut service_accounts, ROOM)?;
    let left_out = all - service_accounts.len();
    kept::write(dir, NAME, Keep { service_accounts })?;
    Ok(left_out)
}

/// In bytes; what is around them in the file is far less than a kilobyte.
const ROOM: u64 = kept::SIZE_LIMIT - 1024;

/// Who has learned the least stays: nobody pushes others out by having much.
fn keep_fitting(learned: &mut Vec<&Learned>, room: u64) -> io::Result<()> {
    let mut sizes = Vec::with_capacity(learned.len());
    for (at, learned) in learned.iter().enumerate() {
        sizes.push((size(learned)?, at));
    }
    sizes.sort_unstable();
    let mut used: u64 = 0;
    let fitting = sizes.into_iter().take_while(|(size, _)| {
        used = used.saturating_add(*size);
        used <= room
    });
    let stays: HashSet<usize> = fitting.map(|(_, at)| at).collect();
    let mut at = 0..;
    learned.retain(|_| at.next().is_some_and(|at| stays.contains(&at)));
    Ok(())
}

/// In bytes of JSON, with the comma behind it.
fn size(learned: &Learned) -> io::Result<u64> {
    let mut counter = Counter(1);
    serde_json::to_writer(&mut counter, learned)?;
    Ok(counter.0)
}

struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
