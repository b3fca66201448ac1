//! Another process's memory.

use std::{fs, io, os::unix::fs::FileExt};

use anyhow::{Context, Result, ensure};

/// Ways to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// process_vm_readv(2).
    Readv,
    /// ptrace(2): seize, stop, peek, let go.
    Ptrace,
    /// `/proc/PID/mem`.
    Mem,
}

/// Reads so many bytes of `pid`'s memory, which must be whole words, at `address`.
pub fn look(pid: i32, address: u64, way: Way, length: usize) -> Result<Vec<u8>> {
    ensure!(length.is_multiple_of(8), "whole words only");
    let mut bytes = vec![0; length];
    match way {
        Way::Readv => read_vm(pid, address, &mut bytes).context("process_vm_readv")?,
        Way::Mem => fs::File::open(format!("/proc/{pid}/mem"))
            .context("open its memory")?
            .read_exact_at(&mut bytes, address)?,
        Way::Ptrace => peek(pid, address, &mut bytes)?,
    }
    Ok(bytes)
}

/// Where its stack ends: arguments and environment lie below, and last the program's name.
pub fn end_of_stack(pid: i32) -> Result<u64> {
    let range = mapped_at(pid, "[stack]")?;
    let (_, end) = range.split_once('-').context("no range")?;
    Ok(u64::from_str_radix(end, 16)?)
}

/// Where it has something mapped, by the end of that line in `/proc/PID/maps` (which is another right): `START-END`, in
/// hexadecimal.
pub fn mapped_at(pid: i32, name: &str) -> Result<String> {
    let path = format!("/proc/{pid}/maps");
    let maps = fs::read_to_string(&path).context(path)?;
    let line = maps.lines().find(|line| line.ends_with(name));
    let range = line.and_then(|line| line.split(' ').next());
    Ok(range
        .with_context(|| format!("{pid} has no {name}"))?
        .to_owned())
}

fn read_vm(pid: i32, address: u64, bytes: &mut [u8]) -> io::Result<()> {
    let local = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let remote = libc::iovec {
        iov_base: std::ptr::with_exposed_provenance_mut(usize::try_from(address).unwrap_or(0)),
        iov_len: bytes.len(),
    };
    // SAFETY: `local` is `bytes`, which nobody else has; `remote` is not of this process.
    let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    if usize::try_from(read) == Ok(bytes.len()) {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn peek(pid: i32, address: u64, bytes: &mut [u8]) -> Result<()> {
    trace(libc::PTRACE_SEIZE, pid, 0).context("seize it")?;
    let stopped = trace(libc::PTRACE_INTERRUPT, pid, 0).and_then(|_| wait(pid));
    let peeked = stopped.context("stop it").and_then(|()| {
        for (at, word) in (address..).step_by(8).zip(bytes.chunks_exact_mut(8)) {
            let value = trace(libc::PTRACE_PEEKDATA, pid, at).context("peek")?;
            word.copy_from_slice(&value.to_ne_bytes());
        }
        Ok(())
    });
    trace(libc::PTRACE_DETACH, pid, 0).context("let it go")?;
    peeked
}

fn trace(request: libc::c_uint, pid: i32, address: u64) -> io::Result<i64> {
    // A word that was peeked may be -1.
    clear_errno();
    // SAFETY: none of these requests writes to this process's memory (ptrace(2)).
    let result = unsafe { libc::ptrace(request, pid, address, 0) };
    let error = io::Error::last_os_error();
    if result == -1 && error.raw_os_error() != Some(0) {
        return Err(error);
    }
    Ok(result)
}

fn clear_errno() {
    // SAFETY: the address of this thread's errno.
    unsafe { *libc::__errno_location() = 0 };
}

fn wait(pid: i32) -> io::Result<()> {
    // SAFETY: a null status is allowed.
    let waited = unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) };
    if waited == pid {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
