//! The mounts of a confined process: its own, nothing of which it may write to but the directories for state and output. `/sys`
//! is new, as a runtime mounts it: with the kernel's BTF, without tracefs, debugfs, bpffs and securityfs.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::{
    io::Errno,
    mount::{
        MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change, mount_remount,
    },
    thread::{UnshareFlags, unshare_unsafe},
};

use crate::sys::mounts::tmpfs;

const CGROUPS: &str = "/sys/fs/cgroup";

/// The directories in which an auditor with these arguments makes files: the nearest that is there already.
pub fn written_to(args: &[String]) -> Vec<PathBuf> {
    let value = |flag: &str| {
        let at = args.iter().position(|arg| arg == flag)?;
        args.get(at + 1).map(PathBuf::from)
    };
    let output = value("--output-file");
    let output = output.as_deref().and_then(Path::parent);
    let state = value("--state-dir");
    let all = output.into_iter().chain(state.as_deref());
    let found = all.filter_map(|wanted| {
        wanted
            .ancestors()
            .find(|dir| dir.parent().is_some() && dir.is_dir())
    });
    let mut found: Vec<PathBuf> = found.map(Path::to_owned).collect();
    found.sort();
    found.dedup();
    found
}

/// Mounts that come and go on the host do so here, too: nothing of the lab is held by a look at it.
pub fn read_only_but_for(writable: &[PathBuf]) -> Result<()> {
    // SAFETY: one thread, and no descriptor table is unshared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("unshare the mounts")?;
    let recursive = MountPropagationFlags::REC;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | recursive)
        .context("make the mounts slaves")?;
    renew_sys().context("mount /sys anew")?;
    // With what is mounted below, which is to stay as it is.
    for dir in writable {
        mount_bind_recursive(dir, dir).with_context(|| dir.display().to_string())?;
    }
    set_read_only(Path::new("/"), true, true).context("make all read-only")?;
    for dir in writable {
        set_read_only(dir, false, false).with_context(|| dir.display().to_string())?;
    }
    // What is written to was opened in the mounts of before.
    let here = std::env::current_dir()?;
    std::env::set_current_dir(here).context("enter the new mounts")
}

/// The cgroups are where they were.
fn renew_sys() -> Result<()> {
    let cgroups = File::open(CGROUPS).with_context(|| CGROUPS.to_owned())?;
    // The same file system is not mounted twice upon itself.
    tmpfs(Path::new("/sys"), "mode=0755")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("sysfs", "/sys", "sysfs", flags, None)?;
    let before = format!("/proc/self/fd/{}", cgroups.as_raw_fd());
    mount_bind_recursive(before, CGROUPS).with_context(|| CGROUPS.to_owned())
}

/// A mount, with those below it where `recursive`.
fn set_read_only(path: &Path, read_only: bool, recursive: bool) -> Result<()> {
    match set_attribute(path, read_only, recursive) {
        // Before Linux 5.12: of one mount only.
        Err(error) if error.raw_os_error() == Some(Errno::NOSYS.raw_os_error()) => {
            let flag = if read_only {
                MountFlags::RDONLY
            } else {
                MountFlags::empty()
            };
            Ok(mount_remount(path, MountFlags::BIND | flag, c"")?)
        }
        result => Ok(result?),
    }
}

/// mount_setattr(2)
fn set_attribute(path: &Path, read_only: bool, recursive: bool) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    let (set, clear) = if read_only {
        (libc::MOUNT_ATTR_RDONLY, 0)
    } else {
        (0, libc::MOUNT_ATTR_RDONLY)
    };
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: clear,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path and the attributes, whose size is given, live until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_for_state_and_output_are_written_to() {
        let args = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        let found = written_to(&args(&[
            "run",
            "--policy",
            "/etc/policy.yaml",
            "--state-dir",
            "/usr/lib/nowhere/state",
            "--output-file",
            "/usr/lib/out.jsonl",
        ]));
        assert_eq!(found, [Path::new("/usr/lib")]);
        let nowhere = args(&[
            "check",
            "--output-file",
            "/nonexistent/out.jsonl",
            "--state-dir",
        ]);
        assert!(written_to(&nowhere).is_empty(), "not the root");
    }
}
