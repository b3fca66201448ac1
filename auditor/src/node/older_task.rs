//! Processes as `/proc` describes them, in the kernel half's form: neither a terminal nor the overlay's layer is told.

use std::{
    collections::HashMap,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use auditor_common::{TaskContext, task_flags};
use zerocopy::FromZeros as _;

use super::{
    older::leaf_first,
    proc_file::{self, cgroup_of, number, start_of},
};
use crate::probe::Device;

/// Ancestors that are looked at, as in the kernel half.
const ANCESTORS: usize = 48;

/// All processes at one moment.
pub struct Processes {
    host_proc: PathBuf,
    all: HashMap<u32, Brief>,
    /// The init of each container, by the namespace of its processes.
    inits: HashMap<u32, u32>,
}

struct Brief {
    parent: u32,
    /// Its pid in each pid namespace that it is in, the outermost first.
    pids: Vec<u32>,
    pid_ns: u32,
}

pub struct Described {
    pub task: TaskContext,
    pub cgroup: Option<String>,
    /// Of the container's init; null outside containers.
    pub reaper_cgroup: Option<String>,
}

impl Processes {
    pub fn read(host_proc: &Path) -> Self {
        let mut all = HashMap::new();
        let mut inits = HashMap::new();
        for entry in fs::read_dir(host_proc).into_iter().flatten().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let Some(brief) = Brief::read(&entry.path()) else {
                continue;
            };
            if matches!(brief.pids.as_slice(), [_, 1]) {
                inits.insert(brief.pid_ns, pid);
            }
            all.insert(pid, brief);
        }
        Self {
            host_proc: host_proc.to_owned(),
            all,
            inits,
        }
    }

    pub fn pids(&self) -> impl Iterator<Item = u32> + '_ {
        self.all.keys().copied()
    }

    /// `None` when it is gone.
    pub fn describe(&self, pid: u32) -> Option<Described> {
        let brief = self.all.get(&pid)?;
        let path = self.host_proc.join(pid.to_string());
        let mut task = TaskContext::new_zeroed();
        (task.pid, task.tid) = (pid, pid);
        task.start_time = start_of(&path)?;
        let status = proc_file::read(&path.join("status")).ok()?;
        task.uid = number(&status, "Uid:", 10)? as u32;
        task.gid = number(&status, "Gid:", 10)? as u32;
        task.cap_effective = number(&status, "CapEff:", 16).unwrap_or_default();
        let login = fs::read_to_string(path.join("loginuid")).ok();
        task.login_uid = login
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(u32::MAX);
        task.pid_ns = brief.pid_ns;
        task.mnt_ns = namespace(&path, "mnt");
        task.net_ns = namespace(&path, "net");
        let comm = fs::read(path.join("comm")).unwrap_or_default();
        for (to, from) in task.comm.iter_mut().zip(comm.trim_ascii_end()).take(15) {
            *to = *from;
        }
        executable(&path, &mut task);
        self.ancestors(pid, &mut task);
        let init = (task.container_pid_ns != 0)
            .then(|| self.inits.get(&task.container_pid_ns))
            .flatten()
            .map(|init| self.host_proc.join(init.to_string()));
        if let Some(init) = &init {
            task.reaper_start_time = start_of(init).unwrap_or_default();
            task.reaper_mnt_ns = namespace(init, "mnt");
        }
        Some(Described {
            task,
            cgroup: cgroup_of(&path),
            reaper_cgroup: init.as_deref().and_then(cgroup_of),
        })
    }

    /// Parents, the container and the process's highest ancestor in it.
    fn ancestors(&self, pid: u32, task: &mut TaskContext) {
        let Some(mut at) = self.all.get(&pid) else {
            return;
        };
        let mut at_pid = pid;
        let in_container = at.pids.len() > 1;
        for step in 0..ANCESTORS {
            // The container's namespace is the outermost below the initial one.
            if let [_, nr, rest @ ..] = at.pids.as_slice() {
                (task.root_pid, task.root_nspid) = (at_pid, *nr);
                if rest.is_empty() {
                    task.container_pid_ns = at.pid_ns;
                }
            } else if in_container {
                let path = self.host_proc.join(task.root_pid.to_string());
                task.root_start_time = start_of(&path).unwrap_or_default();
                task.flags |= task_flags::ROOT_KNOWN;
            }
            let parent_pid = at.parent;
            let Some(parent) = self.all.get(&parent_pid) else {
                break;
            };
            if task.flags & task_flags::ROOT_KNOWN != 0 && step >= task.parents.len() {
                break;
            }
            if let Some(slot) = task.parents.get_mut(step) {
                slot.pid = parent_pid;
                let comm = fs::read(self.host_proc.join(parent_pid.to_string()).join("comm"));
                let comm = comm.unwrap_or_default();
                for (to, from) in slot.comm.iter_mut().zip(comm.trim_ascii_end()).take(15) {
                    *to = *from;
                }
                task.parents_len = step as u32 + 1;
            }
            (at, at_pid) = (parent, parent_pid);
        }
        if !in_container {
            (task.root_pid, task.root_nspid) = (0, pid);
        }
    }
}

impl Brief {
    fn read(path: &Path) -> Option<Self> {
        let status = proc_file::read(&path.join("status")).ok()?;
        Some(Self {
            parent: number(&status, "PPid:", 10)? as u32,
            pids: proc_file::pids(&status)?,
            pid_ns: namespace(path, "pid"),
        })
    }
}

fn executable(path: &Path, task: &mut TaskContext) {
    // Kernel threads have none.
    let (Ok(metadata), Ok(link)) = (
        fs::metadata(path.join("exe")),
        fs::read_link(path.join("exe")),
    ) else {
        return;
    };
    task.flags |= task_flags::HAS_EXE;
    if metadata.nlink() == 0 {
        task.flags |= task_flags::EXE_UNLINKED;
    }
    task.exe_ino = metadata.ino();
    task.exe_dev = Device::from_stat(metadata.dev()).kernel();
    let mut names: Vec<&[u8]> = link
        .iter()
        .map(|name| name.as_bytes())
        .filter(|name| *name != b"/")
        .collect();
    if let Some(last) = names.last_mut() {
        *last = last.strip_suffix(b" (deleted)").unwrap_or(last);
    }
    task.exe_path_len = leaf_first(&names, &mut task.exe_path);
}

/// Inode number of a namespace; 0 when out of sight.
fn namespace(path: &Path, name: &str) -> u32 {
    fs::read_link(path.join("ns").join(name))
        .ok()
        .and_then(|link| {
            let (_, number) = link.to_str()?.split_once('[')?;
            number.strip_suffix(']')?.parse().ok()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pids in their namespaces, parent, and the innermost namespace.
    fn processes(table: &[(u32, u32, &[u32], u32)]) -> Processes {
        let all = table.iter().map(|(pid, parent, pids, pid_ns)| {
            let brief = Brief {
                parent: *parent,
                pids: pids.to_vec(),
                pid_ns: *pid_ns,
            };
            (*pid, brief)
        });
        Processes {
            host_proc: "/nonexistent".into(),
            all: all.collect(),
            inits: HashMap::new(),
        }
    }

    #[test]
    fn the_container_is_the_outermost_namespace_below_the_initial_one() {
        let processes = processes(&[
            (1, 0, &[1], 9),
            (50, 1, &[50], 9),
            (100, 50, &[100, 1], 20),
            (101, 100, &[101, 7], 20),
            (102, 101, &[102, 8, 1], 30),
            (103, 50, &[103, 40], 20),
        ]);
        for (what, pid, container, root) in [
            ("of the host", 50, 0, None),
            ("a container's init", 100, 20, Some(1)),
            ("its child", 101, 20, Some(1)),
            ("in a namespace made inside", 102, 20, Some(1)),
            ("exec'd in", 103, 20, Some(40)),
        ] {
            let mut task = TaskContext::new_zeroed();
            processes.ancestors(pid, &mut task);
            assert_eq!(task.container_pid_ns, container, "{what}");
            let known = task.flags & task_flags::ROOT_KNOWN != 0;
            assert_eq!(known.then_some(task.root_nspid), root, "{what}");
        }
    }

    #[test]
    fn this_process_is_described() {
        let pid = std::process::id();
        let described = Processes::read(Path::new("/proc")).describe(pid).unwrap();
        let task = &described.task;
        assert_eq!(task.pid, pid);
        assert_eq!(task.uid, rustix::process::getuid().as_raw());
        assert_ne!(task.mnt_ns, 0);
        assert_ne!(task.flags & task_flags::HAS_EXE, 0);
        assert!(task.parents_len > 0);
        assert!(
            Processes::read(Path::new("/proc"))
                .describe(u32::MAX)
                .is_none()
        );
    }
}
