//! openat by a 32-bit system call of a 64-bit process.

use anyhow::Result;

use crate::common::skip;

#[cfg(target_arch = "x86_64")]
pub fn run(args: &[String]) -> Result<()> {
    use crate::common::{c_path, only, read};
    use lab::sys::compat;

    let path = c_path(only(args)?)?;
    supported()?;
    read(compat::open(&path)?)
}

#[cfg(not(target_arch = "x86_64"))]
pub fn run(_: &[String]) -> Result<()> {
    supported()
}

/// Tried in a process that may die of it.
#[cfg(target_arch = "x86_64")]
pub fn supported() -> Result<()> {
    use std::process::Command;

    let this = std::env::current_exe()?;
    let tried = Command::new(this).arg("int80-probe").status()?;
    if tried.success() {
        return Ok(());
    }
    Err(skip(format!("no 32-bit system calls here: {tried}")))
}

#[cfg(not(target_arch = "x86_64"))]
pub fn supported() -> Result<()> {
    Err(skip(
        "32-bit system calls of a 64-bit process exist on x86-64",
    ))
}

#[cfg(target_arch = "x86_64")]
pub fn probe(_: &[String]) -> Result<()> {
    anyhow::ensure!(
        lab::sys::compat::getpid()? == std::process::id(),
        "another pid"
    );
    Ok(())
}

#[cfg(not(target_arch = "x86_64"))]
pub fn probe(_: &[String]) -> Result<()> {
    supported()
}
