//! Which process is the kubelet: by its unit's cgroup and its executable's inode, never by a name.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use auditor_common::{TaskContext, task_flags};

use super::{Cgroups, process::INIT_PID_NS};
use crate::{event::InodeId, probe::Device};

/// AL2023 and Bottlerocket; then the distributions' default slice.
const CGROUPS: [&str; 2] = [
    "/runtime.slice/kubelet.service",
    "/system.slice/kubelet.service",
];
const EXECUTABLE: &str = "/usr/bin/kubelet";

/// The kubelet reads every projected file at each pod sync, every 60-90 s, and writes on rotation.
#[derive(Debug)]
pub struct Kubelet {
    cgroups: Vec<String>,
    executable: Option<PathBuf>,
    host_proc: PathBuf,
    found: Option<(u64, InodeId)>,
}

impl Kubelet {
    /// `cgroup` and `executable` as the policy gives them, else found.
    pub fn new(cgroup: Option<&str>, executable: Option<&Path>, host_proc: &Path) -> Self {
        Self {
            cgroups: cgroup.map_or_else(
                || CGROUPS.map(str::to_owned).to_vec(),
                |path| vec![path.to_owned()],
            ),
            executable: executable.map(Path::to_owned),
            host_proc: host_proc.to_owned(),
            found: None,
        }
    }

    /// Whether `task` is the kubelet. Looks again when a process of its cgroup has another executable: it may have been upgraded.
    pub fn is(&mut self, task: &TaskContext, cgroups: &Cgroups) -> bool {
        if task.pid_ns != INIT_PID_NS || task.flags & task_flags::HAS_EXE == 0 {
            return false;
        }
        let device = Device::from_kernel(task.exe_dev);
        let inode = InodeId {
            major: device.major,
            minor: device.minor,
            ino: task.exe_ino,
        };
        if self.found == Some((task.cgroup_id, inode)) {
            return true;
        }
        let in_its_cgroup = self
            .cgroups
            .iter()
            .any(|path| cgroups.id_of(path) == Some(task.cgroup_id));
        if !in_its_cgroup {
            return false;
        }
        let executable = self.executable(cgroups);
        if executable == Some(inode) {
            self.found = Some((task.cgroup_id, inode));
            return true;
        }
        false
    }

    /// The inode of the configured executable on the host's root; else that of the unit's main process; else of the usual path.
    fn executable(&self, cgroups: &Cgroups) -> Option<InodeId> {
        match &self.executable {
            Some(path) => self.on_host(path),
            None => self
                .main_process(cgroups)
                .or_else(|| self.on_host(Path::new(EXECUTABLE))),
        }
    }

    /// The oldest process of the unit's cgroup. Needs CAP_SYS_PTRACE; only root on the host can be there.
    fn main_process(&self, cgroups: &Cgroups) -> Option<InodeId> {
        self.cgroups.iter().find_map(|path| {
            let procs = cgroups
                .root()
                .join(path.trim_start_matches('/'))
                .join("cgroup.procs");
            let pids = std::fs::read_to_string(procs).ok()?;
            let main = pids
                .lines()
                .filter_map(|pid| pid.parse::<u32>().ok())
                .min()?;
            inode(&self.host_proc.join(main.to_string()).join("exe"))
        })
    }

    fn on_host(&self, path: &Path) -> Option<InodeId> {
        let below = self
            .host_proc
            .join("1/root")
            .join(path.strip_prefix("/").unwrap_or(path));
        inode(&below).or_else(|| inode(path))
    }
}

fn inode(path: &Path) -> Option<InodeId> {
    let metadata = std::fs::metadata(path).ok()?;
    let device = Device::from_stat(metadata.dev());
    Some(InodeId {
        major: device.major,
        minor: device.minor,
        ino: metadata.ino(),
    })
}
