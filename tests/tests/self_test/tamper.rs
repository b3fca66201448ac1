//! What root can do to a running auditor.

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// Size of key and value of the map of endpoints, and how many it holds (auditor-ebpf/src/maps.rs).
pub const ENDPOINTS: Shape = Shape {
    key: 20,
    value: 4,
    most: 64,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    key: usize,
    value: usize,
    most: usize,
}

/// The number behind `name:` in /proc/PID/fdinfo/FD.
fn field(info: &str, name: &str) -> Option<u64> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|value| value.trim().parse().ok())
}

/// The descriptor of process `pid` whose fdinfo fits.
fn descriptor(pid: u32, fits: impl Fn(&str) -> bool) -> Result<i32> {
    let directory = format!("/proc/{pid}/fdinfo");
    for entry in fs::read_dir(&directory).context(directory)? {
        let path = entry?.path();
        // It may be closed by now.
        let info = fs::read_to_string(&path).unwrap_or_default();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        if let Some(number) = number
            && fits(&info)
        {
            return Ok(number);
        }
    }
    bail!("process {pid} has no such descriptor")
}

/// The link by which that program is attached: kernel/bpf/syscall.c, `bpf_link_show_fdinfo`.
pub fn link_of_program(pid: u32, program: u64) -> Result<i32> {
    descriptor(pid, |info| {
        info.contains("link_type:") && field(info, "prog_id") == Some(program)
    })
    .context("a link of the program")
}

/// A BPF map of another process.
pub struct Map {
    fd: OwnedFd,
    shape: Shape,
}

impl Map {
    pub fn steal(pid: u32, shape: Shape) -> Result<Self> {
        let number = descriptor(pid, |info| {
            field(info, "key_size") == Some(shape.key as u64)
                && field(info, "value_size") == Some(shape.value as u64)
                && field(info, "max_entries") == Some(shape.most as u64)
        })?;
        let pid = Pid::from_raw(i32::try_from(pid)?).context("a pid")?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        let fd = pidfd_getfd(process, number, PidfdGetfdFlags::empty())?;
        Ok(Self { fd, shape })
    }

    /// Adds entries until no more fit; their keys.
    pub fn fill(&self) -> Result<Vec<Vec<u8>>> {
        const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
        let mut added = Vec::new();
        for k in 0..=self.shape.most {
            // Nobody's address.
            let mut key = vec![0xff; self.shape.key];
            key[..8].copy_from_slice(&(k as u64).to_ne_bytes());
            let value = vec![0; self.shape.value];
            match self.call(BPF_MAP_UPDATE_ELEM, &key, &value) {
                Ok(()) => added.push(key),
                Err(error) if error.raw_os_error() == Some(libc::E2BIG) => return Ok(added),
                Err(error) => return Err(error.into()),
            }
        }
        bail!("the map is never full")
    }

    pub fn empty(&self, keys: &[Vec<u8>]) -> Result<()> {
        const BPF_MAP_DELETE_ELEM: libc::c_long = 3;
        for key in keys {
            self.call(BPF_MAP_DELETE_ELEM, key, &[])?;
        }
        Ok(())
    }

    fn call(&self, command: libc::c_long, key: &[u8], value: &[u8]) -> io::Result<()> {
        /// `union bpf_attr` for BPF_MAP_*_ELEM (include/uapi/linux/bpf.h).
        #[repr(C)]
        struct Attributes {
            map_fd: u32,
            padding: u32,
            key: u64,
            value: u64,
            flags: u64,
        }
        let attributes = Attributes {
            map_fd: self.fd.as_raw_fd() as u32,
            padding: 0,
            key: key.as_ptr() as u64,
            // Without one it must be 0.
            value: if value.is_empty() {
                0
            } else {
                value.as_ptr() as u64
            },
            flags: 0,
        };
        // SAFETY: the kernel reads key and value, which are as long as the map's and outlive the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                &raw const attributes,
                size_of::<Attributes>(),
            )
        };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Has the main thread of process `pid` put its stdin in the place of its descriptor `fd`, as a debugger's `call dup2(0, fd)`
/// does: what was behind `fd` is closed, and the process notices nothing.
#[cfg(target_arch = "x86_64")]
pub fn release_in(pid: u32, fd: i32) -> Result<()> {
    let pid = i32::try_from(pid)?;
    // It waits for events nearly all the time: then its next-to-last instruction is `syscall`.
    for _ in 0..100 {
        trace(libc::PTRACE_ATTACH, pid, 0)?;
        let released = wait_stopped(pid).and_then(|()| release_while_stopped(pid, fd));
        trace(libc::PTRACE_DETACH, pid, 0)?;
        if released? {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    bail!("it was never found waiting in a system call")
}

#[cfg(target_arch = "x86_64")]
fn release_while_stopped(pid: i32, fd: i32) -> Result<bool> {
    const SYSCALL: libc::c_long = 0x050f;
    let before = registers(pid)?;
    if trace(libc::PTRACE_PEEKTEXT, pid, before.rip - 2)? & 0xffff != SYSCALL {
        return Ok(false);
    }
    let mut call = before;
    call.rip -= 2;
    call.rax = libc::SYS_dup2 as u64;
    call.rdi = 0;
    call.rsi = u64::try_from(fd)?;
    // No system call is to be begun again.
    call.orig_rax = u64::MAX;
    set_registers(pid, call)?;
    trace(libc::PTRACE_SINGLESTEP, pid, 0)?;
    wait_stopped(pid)?;
    let result = registers(pid)?.rax;
    let mut after = before;
    after.orig_rax = u64::MAX;
    // To the auditor it looks as if a signal had interrupted its wait, which epoll_wait(2) allows.
    after.rax = -i64::from(libc::EINTR) as u64;
    set_registers(pid, after)?;
    ensure!(result == u64::try_from(fd)?, "dup2(0, {fd}) gave {result}");
    Ok(true)
}

#[cfg(target_arch = "x86_64")]
fn registers(pid: i32) -> Result<libc::user_regs_struct> {
    let mut registers = std::mem::MaybeUninit::<libc::user_regs_struct>::zeroed();
    // SAFETY: PTRACE_GETREGS writes one `user_regs_struct`; zeroes are one too.
    let registers = unsafe {
        ensure!(
            libc::ptrace(libc::PTRACE_GETREGS, pid, 0, registers.as_mut_ptr()) == 0,
            io::Error::last_os_error()
        );
        registers.assume_init()
    };
    Ok(registers)
}

#[cfg(target_arch = "x86_64")]
fn set_registers(pid: i32, registers: libc::user_regs_struct) -> Result<()> {
    // SAFETY: PTRACE_SETREGS reads one `user_regs_struct`.
    let result = unsafe { libc::ptrace(libc::PTRACE_SETREGS, pid, 0, &raw const registers) };
    ensure!(result == 0, io::Error::last_os_error());
    Ok(())
}

/// A request that touches no memory of ours; a word for PEEKTEXT.
#[cfg(target_arch = "x86_64")]
fn trace(request: libc::c_uint, pid: i32, address: u64) -> Result<libc::c_long> {
    // SAFETY: none of the requests used here writes to this process; errno is this thread's.
    let result = unsafe {
        *libc::__errno_location() = 0;
        libc::ptrace(request, pid, address, 0)
    };
    let error = io::Error::last_os_error();
    ensure!(
        result != -1 || error.raw_os_error() == Some(0),
        "ptrace request {request}: {error}"
    );
    Ok(result)
}

#[cfg(target_arch = "x86_64")]
fn wait_stopped(pid: i32) -> Result<()> {
    let mut status = 0;
    // SAFETY: waitpid writes the status to a variable of ours.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    ensure!(waited == pid, io::Error::last_os_error());
    ensure!(libc::WIFSTOPPED(status), "it did not stop: {status:#x}");
    Ok(())
}
