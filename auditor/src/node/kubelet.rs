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

/// Why nobody can be known to be the kubelet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KubeletUnknown {
    #[error("its cgroup is not there: {}", .0.join(", "))]
    NoCgroup(Vec<String>),
    #[error("its executable cannot be told: {0}")]
    NoExecutable(String),
    #[error("{named} is not what its process {pid} runs")]
    Another { named: PathBuf, pid: u32 },
}

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

    /// Whether the kubelet would be known: its cgroup's path, and its executable. [`Kubelet::is`] looks anew at each event; this is
    /// for those who want to know before.
    ///
    /// # Errors
    /// What is missing.
    pub fn locate(&self, cgroups: &Cgroups) -> Result<(String, PathBuf), KubeletUnknown> {
        let path = self
            .cgroups
            .iter()
            .find(|path| cgroups.id_of(path).is_some())
            .ok_or_else(|| KubeletUnknown::NoCgroup(self.cgroups.clone()))?;
        let main = self.main_pid(cgroups);
        let link = main.map(|pid| (pid, self.host_proc.join(pid.to_string()).join("exe")));
        let running = link
            .as_ref()
            .map(|(pid, link)| (*pid, std::fs::metadata(link).map(|found| of(&found))));
        let named = self
            .executable
            .as_deref()
            .map(|path| (path, self.on_host(path)));
        match (named, running) {
            (Some((named, Some(inode))), Some((pid, Ok(running)))) if inode != running => {
                Err(KubeletUnknown::Another {
                    named: named.to_owned(),
                    pid,
                })
            }
            (Some((named, Some(_))), _) => Ok((path.clone(), named.to_owned())),
            (Some((named, None)), _) => Err(KubeletUnknown::NoExecutable(format!(
                "there is no {} on the host",
                named.display()
            ))),
            (None, Some((pid, Ok(_)))) => Ok((
                path.clone(),
                std::fs::read_link(self.host_proc.join(format!("{pid}/exe")))
                    .unwrap_or_else(|_| EXECUTABLE.into()),
            )),
            (None, running) => match (self.on_host(Path::new(EXECUTABLE)), running) {
                (Some(_), _) => Ok((path.clone(), EXECUTABLE.into())),
                (None, Some((pid, Err(error)))) => Err(KubeletUnknown::NoExecutable(format!(
                    "{}: {error}",
                    self.host_proc.join(format!("{pid}/exe")).display()
                ))),
                (None, _) => Err(KubeletUnknown::NoExecutable(format!(
                    "no process is in {path}, and there is no {EXECUTABLE}"
                ))),
            },
        }
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
        let main = self.main_pid(cgroups)?;
        inode(&self.host_proc.join(main.to_string()).join("exe"))
    }

    /// As the cgroup filesystem names it, which is 0 for those of an outer pid namespace (a pod without hostPID).
    fn main_pid(&self, cgroups: &Cgroups) -> Option<u32> {
        self.cgroups.iter().find_map(|path| {
            let procs = cgroups
                .root()
                .join(path.trim_start_matches('/'))
                .join("cgroup.procs");
            let pids = std::fs::read_to_string(procs).ok()?;
            pids.lines()
                .filter_map(|pid| pid.parse::<u32>().ok())
                .filter(|pid| *pid != 0)
                .min()
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
    std::fs::metadata(path).ok().map(|metadata| of(&metadata))
}

fn of(metadata: &std::fs::Metadata) -> InodeId {
    let device = Device::from_stat(metadata.dev());
    InodeId {
        major: device.major,
        minor: device.minor,
        ino: metadata.ino(),
    }
}
