//! Control groups (v2) with the names that the kubelet and the container runtime give them.
//!
//! Names: kubelet `pkg/kubelet/cm/cgroup_manager_linux.go` (`ToSystemd`) and containerd `getCgroupsPath`.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::{
    io::Errno,
    process::{Pid, Signal},
};

use crate::sys::mounts;

pub const KUBELET: &str = "runtime.slice/kubelet.service";
pub const CONTAINERD: &str = "runtime.slice/containerd.service";

/// The kubelet's `cgroupDriver`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    #[default]
    Systemd,
    Cgroupfs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Qos {
    Guaranteed,
    #[default]
    Burstable,
    BestEffort,
}

/// The cgroup of a pod, relative to the hierarchy's root.
pub fn pod_path(driver: Driver, qos: Qos, uid: &str) -> PathBuf {
    let level = match qos {
        Qos::Guaranteed => None,
        Qos::Burstable => Some("burstable"),
        Qos::BestEffort => Some("besteffort"),
    };
    match driver {
        Driver::Systemd => {
            let uid = uid.replace('-', "_");
            let root = PathBuf::from("kubepods.slice");
            match level {
                None => root.join(format!("kubepods-pod{uid}.slice")),
                Some(level) => root
                    .join(format!("kubepods-{level}.slice"))
                    .join(format!("kubepods-{level}-pod{uid}.slice")),
            }
        }
        Driver::Cgroupfs => {
            let mut path = PathBuf::from("kubepods");
            path.extend(level);
            path.join(format!("pod{uid}"))
        }
    }
}

/// The cgroup of a container within its pod's; `id` is the runtime's 64 hex digits.
pub fn container_name(driver: Driver, id: &str) -> String {
    match driver {
        Driver::Systemd => format!("cri-containerd-{id}.scope"),
        Driver::Cgroupfs => id.to_owned(),
    }
}

/// Where cgroup v2 is mounted, also beside v1 controllers.
pub fn find_root() -> Result<PathBuf> {
    mounts::list()?
        .into_iter()
        .find(|m| m.fs_type == "cgroup2")
        .map(|m| m.mount_point)
        .context("cgroup v2 is not mounted; try: mount -t cgroup2 none /sys/fs/cgroup")
}

/// Every hierarchy: v2's, and those of v1 controllers where the machine has them.
pub fn hierarchies() -> Result<Vec<PathBuf>> {
    Ok(mounts::list()?
        .into_iter()
        .filter(|m| matches!(m.fs_type.as_str(), "cgroup" | "cgroup2"))
        .map(|m| m.mount_point)
        .collect())
}

/// Removes an empty cgroup with all that are below it from every hierarchy: runc makes it in each of them.
pub fn remove_everywhere(path: &Path) -> Result<()> {
    let below = path.strip_prefix("/").unwrap_or(path);
    for hierarchy in hierarchies()? {
        remove_tree(&hierarchy.join(below))?;
    }
    Ok(())
}

/// The id that the kernel gives to programs: the directory's inode number.
pub fn id(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path)
        .with_context(|| format!("stat {}", path.display()))?
        .ino())
}

/// Moves the calling process.
pub fn join(path: &Path) -> Result<()> {
    fs::write(path.join("cgroup.procs"), "0")
        .with_context(|| format!("move into {}", path.display()))
}

/// Kills everything in the cgroup and below it, and waits until it is empty.
pub fn kill(path: &Path) -> Result<()> {
    let at_once = path.join("cgroup.kill");
    // Linux 5.14; before that what forks while it is killed wants another round.
    let one_by_one = !at_once.exists();
    if !one_by_one {
        fs::write(at_once, "1")
            .with_context(|| format!("kill the processes of {}", path.display()))?;
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while !fs::read_to_string(path.join("cgroup.events"))?.contains("populated 0") {
        if one_by_one {
            kill_each(path)?;
        }
        if Instant::now() > deadline {
            bail!("processes in {} do not die", path.display());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn kill_each(path: &Path) -> Result<()> {
    for pid in fs::read_to_string(path.join("cgroup.procs"))?.lines() {
        let pid = pid.parse().ok().and_then(Pid::from_raw);
        match pid.map(|pid| rustix::process::kill_process(pid, Signal::KILL)) {
            // It may have ended by itself.
            None | Some(Ok(()) | Err(Errno::SRCH)) => {}
            Some(Err(error)) => return Err(error).context("kill a process of the lab"),
        }
    }
    for child in fs::read_dir(path)? {
        let child = child?;
        if child.file_type()?.is_dir() {
            kill_each(&child.path())?;
        }
    }
    Ok(())
}

/// Removes an empty cgroup with all that are below it.
pub fn remove_tree(path: &Path) -> Result<()> {
    let children = match fs::read_dir(path) {
        Ok(children) => children,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).with_context(|| format!("list {}", path.display())),
    };
    for child in children {
        let child = child?;
        if child.file_type()?.is_dir() {
            remove_tree(&child.path())?;
        }
    }
    // A process that has just died still counts for a moment.
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match fs::remove_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("remove {}", path.display()));
            }
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "1db680c2-883d-c532-f70b-6887258b2aa2";

    #[test]
    fn names_are_the_kubelets() {
        let paths = [
            (
                Driver::Systemd,
                Qos::Burstable,
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1db680c2_883d_c532_f70b_6887258b2aa2.slice",
            ),
            (
                Driver::Systemd,
                Qos::Guaranteed,
                "kubepods.slice/kubepods-pod1db680c2_883d_c532_f70b_6887258b2aa2.slice",
            ),
            (
                Driver::Cgroupfs,
                Qos::BestEffort,
                "kubepods/besteffort/pod1db680c2-883d-c532-f70b-6887258b2aa2",
            ),
            (
                Driver::Cgroupfs,
                Qos::Guaranteed,
                "kubepods/pod1db680c2-883d-c532-f70b-6887258b2aa2",
            ),
        ];
        for (driver, qos, want) in paths {
            assert_eq!(pod_path(driver, qos, UID), Path::new(want));
        }
        assert_eq!(
            container_name(Driver::Systemd, "ab"),
            "cri-containerd-ab.scope"
        );
        assert_eq!(container_name(Driver::Cgroupfs, "ab"), "ab");
    }
}
