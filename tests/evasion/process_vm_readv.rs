//! The token is read out of the victim's memory (process_vm_readv).

use anyhow::Result;
use lab::sys::memory::Way;

use crate::common::token_on_stack;

pub fn run(args: &[String]) -> Result<()> {
    token_on_stack(args, Way::Readv)
}
