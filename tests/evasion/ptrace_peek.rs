//! The token is read out of the victim's memory by a debugger (ptrace, `PTRACE_PEEKDATA`).

use anyhow::{Context, Result};
use lab::sys::raw;

use crate::{common::stack_of, proc_mem::find, process_vm_readv::LENGTH};

pub fn run(args: &[String]) -> Result<()> {
    let (pid, end) = stack_of(args.first().context("no pid")?)?;
    let words = LENGTH / size_of::<usize>();
    find(&raw::peek_memory(pid, end - LENGTH, words)?)
}
