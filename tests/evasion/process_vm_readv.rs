//! The token is read out of the victim's memory (process_vm_readv).

use anyhow::{Context, Result};
use lab::sys::raw;

use crate::{common::stack_of, proc_mem::find};

/// As much of the stack's end as is there in any process.
pub const LENGTH: usize = 65_536;

pub fn run(args: &[String]) -> Result<()> {
    let (pid, end) = stack_of(args.first().context("no pid")?)?;
    find(&raw::read_memory(pid, end - LENGTH, LENGTH)?)
}
