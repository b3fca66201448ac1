//! A copy of this program that lies in memory only.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    process::{Command, Stdio},
};

use rustix::{
    fs::{MemfdFlags, memfd_create},
    io::Errno,
};

use crate::simulate::Refusal;

/// The copy plays `own-token`.
pub fn play_own_token() -> Result<(), Refusal> {
    let copy = copy().map_err(Refusal::Copy)?;
    let output = Command::new(format!("/proc/self/fd/{}", copy.as_raw_fd()))
        .args(["simulate", "run", "--yes", "--scene", "own-token"])
        .stdin(Stdio::null())
        .output()
        .map_err(Refusal::CopyDoesNotRun)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Refusal::CopyFailed {
        status: output.status,
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn copy() -> io::Result<File> {
    let name = "credential-auditor-simulation";
    // Kernels before 6.3 do not know the flag, and need none.
    let file = match memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => memfd_create(name, MemfdFlags::CLOEXEC),
        result => result,
    }?;
    let mut file = File::from(file);
    io::copy(&mut File::open("/proc/self/exe")?, &mut file)?;
    Ok(file)
}
