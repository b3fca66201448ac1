//! The token is read out of the victim's memory by a debugger (ptrace, `PTRACE_PEEKDATA`).

use anyhow::Result;
use lab::sys::memory::Way;

use crate::common::token_on_stack;

pub fn run(args: &[String]) -> Result<()> {
    token_on_stack(args, Way::Ptrace)
}
