//! Mounts, as the kubelet and container runtimes make them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
    mount_change, mount_remount, unmount,
};

pub fn tmpfs(dir: &Path, options: &str) -> Result<()> {
    let data = std::ffi::CString::new(options)?;
    mount("tmpfs", dir, "tmpfs", MountFlags::empty(), data.as_c_str())
        .with_context(|| format!("mount a tmpfs on {}", dir.display()))
}

/// A bind mount of a file or directory; the target is made where it is missing.
pub fn bind(
    source: &Path,
    target: &Path,
    read_only: bool,
    propagation: MountPropagationFlags,
) -> Result<()> {
    let say = || format!("bind {} to {}", source.display(), target.display());
    make_target(source, target).with_context(say)?;
    mount_bind_recursive(source, target).with_context(say)?;
    mount_change(target, propagation | MountPropagationFlags::REC).with_context(say)?;
    if read_only {
        mount_remount(target, MountFlags::BIND | MountFlags::RDONLY, c"").with_context(say)?;
    }
    Ok(())
}

/// The kubelet's root directory as a shared mount of its own, as it makes it itself (`MakeRShared`).
pub fn make_shared(dir: &Path) -> Result<()> {
    mount_bind(dir, dir).with_context(|| format!("bind {}", dir.display()))?;
    mount_change(dir, MountPropagationFlags::SHARED)
        .with_context(|| format!("share {}", dir.display()))
}

pub fn detach(target: &Path) -> io::Result<()> {
    Ok(unmount(target, UnmountFlags::DETACH)?)
}

fn make_target(source: &Path, target: &Path) -> io::Result<()> {
    if fs::metadata(source)?.is_dir() {
        fs::create_dir_all(target)
    } else {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(target)
            .map(drop)
    }
}

/// One line of `/proc/PID/mountinfo`, as far as the lab needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountEntry {
    pub mount_point: PathBuf,
    pub fs_type: String,
}

/// The mounts that this process sees, oldest first.
pub fn list() -> Result<Vec<MountEntry>> {
    let bytes = fs::read("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
    // Others' mount points may hold any bytes; the lab's own are UTF-8.
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().filter_map(parse_mountinfo).collect())
}

fn parse_mountinfo(line: &str) -> Option<MountEntry> {
    let (left, right) = line.split_once(" - ")?;
    let mount_point = left.split(' ').nth(4)?;
    Some(MountEntry {
        // Octal escapes stand for blanks only, which no path of the lab holds.
        mount_point: mount_point.replace("\\040", " ").into(),
        fs_type: right.split(' ').next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_optional_fields_gives_mount_point_and_type() {
        let line = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:7 master:1 - cgroup2 cgroup2 rw";
        let entry = parse_mountinfo(line).unwrap();
        assert_eq!(entry.mount_point, Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(entry.fs_type, "cgroup2");
    }

    #[test]
    fn a_line_without_separator_is_no_mount() {
        assert_eq!(parse_mountinfo("41 31 0:38 / /x rw"), None);
    }
}
