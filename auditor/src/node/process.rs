//! The kernel's description of a task to the event contract's.

use std::{fs::File, io::Read as _, path::Path};

use auditor_common::{TaskContext, components, prefix, task_flags as flags, until_nul};

use super::clock::Clock;
use crate::{
    event::{InodeId, Namespaces, Parent, Process},
    probe::Device,
};

/// Inode number of the initial pid namespace (include/linux/proc_ns.h `PROC_PID_INIT_INO`).
pub const INIT_PID_NS: u32 = 0xefff_fffc;

/// include/uapi/linux/capability.h, in order.
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Arguments come as they are: see [`super::ArgsMode::apply`]. `host_mnt_ns`: mount namespace of PID 1, where known.
pub fn describe(task: &TaskContext, clock: &Clock, host_mnt_ns: Option<u32>) -> Process {
    let has = |flag: u32| task.flags & flag != 0;
    let device = Device::from_kernel(task.exe_dev);
    let in_host_pid_ns = task.pid_ns == INIT_PID_NS;
    Process {
        pid: task.pid,
        tid: task.tid,
        start_time: clock.wall(task.start_time),
        comm: text(until_nul(&task.comm)),
        exe: has(flags::HAS_EXE).then(|| executable(task)),
        exe_inode: has(flags::HAS_EXE).then_some(InodeId {
            major: device.major,
            minor: device.minor,
            ino: task.exe_ino,
        }),
        exe_upper_layer: has(flags::HAS_EXE)
            .then(|| has(flags::EXE_OVERLAY) && has(flags::EXE_UPPER)),
        exe_unlinked: has(flags::EXE_UNLINKED),
        args: arguments(task),
        uid: task.uid,
        gid: task.gid,
        capabilities: capabilities(task.cap_effective),
        // In the host's pid namespace there is no container's init to descend from.
        exec_session: (!in_host_pid_ns && has(flags::ROOT_KNOWN)).then_some(task.root_nspid != 1),
        tty: terminal(until_nul(&task.tty)),
        login_uid: Some(task.login_uid).filter(|uid| *uid != u32::MAX),
        parents: task
            .parents
            .iter()
            .take(task.parents_len as usize)
            .map(|parent| Parent {
                pid: parent.pid,
                comm: text(until_nul(&parent.comm)),
            })
            .collect(),
        namespaces: Namespaces {
            pid: task.pid_ns,
            mnt: task.mnt_ns,
            net: task.net_ns,
        },
        host_namespaces: in_host_pid_ns || host_mnt_ns == Some(task.mnt_ns),
    }
}

/// Hostile bytes become U+FFFD.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The kernel calls it `pts0`, everybody else `pts/0`.
fn terminal(name: &[u8]) -> Option<String> {
    let name = text(name);
    match name.strip_prefix("pts") {
        _ if name.is_empty() => None,
        Some(index) if index.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(format!("pts/{index}"))
        }
        _ => Some(name),
    }
}

fn executable(task: &TaskContext) -> String {
    let mut names: Vec<String> = components(&task.exe_path, task.exe_path_len)
        .map(text)
        .collect();
    names.reverse();
    match names.as_slice() {
        // A memfd has a name and no directory.
        [name] if task.flags & flags::EXE_UNLINKED != 0 && name.starts_with("memfd:") => {
            name.clone()
        }
        _ if task.flags & flags::EXE_PATH_CUT != 0 => format!("…/{}", names.join("/")),
        _ => format!("/{}", names.join("/")),
    }
}

fn arguments(task: &TaskContext) -> Vec<String> {
    split_args(prefix(&task.args, task.args_len))
}

/// As `/proc/PID/cmdline` has them: each ended by NUL, the last one perhaps not.
pub(super) fn split_args(bytes: &[u8]) -> Vec<String> {
    match bytes.strip_suffix(b"\0").unwrap_or(bytes) {
        b"" => Vec::new(),
        bytes => bytes.split(|byte| *byte == 0).map(text).collect(),
    }
}

/// argv of a live process, bounded; `None` when it is gone.
pub fn read_args(host_proc: &Path, pid: u32) -> Option<Vec<String>> {
    const LIMIT: u64 = 4096;
    let mut bytes = Vec::new();
    let file = File::open(host_proc.join(pid.to_string()).join("cmdline")).ok()?;
    file.take(LIMIT).read_to_end(&mut bytes).ok()?;
    Some(split_args(&bytes))
}

fn capabilities(set: u64) -> Vec<String> {
    (0..64)
        .filter(|bit| set & (1 << bit) != 0)
        .map(|bit: usize| {
            CAPABILITIES
                .get(bit)
                .map_or_else(|| format!("CAP_{bit}"), |name| (*name).to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    fn clock() -> Clock {
        Clock::now()
    }

    #[test]
    fn a_containers_process() {
        let mut task = TaskContext::new_zeroed();
        task.flags = flags::HAS_EXE | flags::ROOT_KNOWN;
        task.root_nspid = 34;
        task.login_uid = u32::MAX;
        task.cap_effective = 1 << 21 | 1 << 41;
        task.comm[..3].copy_from_slice(b"c\xfft");
        let path = b"cat\0bin\0usr\0";
        task.exe_path[..path.len()].copy_from_slice(path);
        task.exe_path_len = path.len() as u32;
        task.args[..8].copy_from_slice(b"cat\0a\nb\0");
        task.args_len = 8;
        let process = describe(&task, &clock(), Some(1));
        assert_eq!(process.exe.as_deref(), Some("/usr/bin/cat"));
        assert_eq!(process.comm, "c\u{fffd}t");
        assert_eq!(process.args, ["cat", "a\nb"]);
        assert_eq!(process.exec_session, Some(true));
        assert_eq!(process.capabilities, ["CAP_SYS_ADMIN", "CAP_41"]);
        assert_eq!(
            (process.login_uid, process.tty, process.host_namespaces),
            (None, None, false)
        );
    }

    #[test]
    fn terminals_by_the_name_that_ps_knows() {
        for (kernel, expected) in [("", None), ("pts0", Some("pts/0")), ("tty1", Some("tty1"))] {
            assert_eq!(terminal(kernel.as_bytes()).as_deref(), expected);
        }
    }

    #[test]
    fn lengths_that_lie_do_no_harm() {
        let mut task = TaskContext::new_zeroed();
        task.parents_len = u32::MAX;
        task.exe_path_len = u32::MAX;
        task.args_len = u32::MAX;
        task.flags = flags::HAS_EXE | flags::EXE_PATH_CUT;
        let process = describe(&task, &clock(), None);
        assert_eq!(process.parents.len(), auditor_common::PARENTS);
    }

    #[test]
    fn in_the_hosts_pid_namespace_nobody_can_tell_an_exec_session() {
        let mut task = TaskContext::new_zeroed();
        task.pid_ns = INIT_PID_NS;
        task.flags = flags::ROOT_KNOWN;
        let process = describe(&task, &clock(), None);
        assert_eq!(
            (process.exec_session, process.host_namespaces),
            (None, true)
        );
    }
}
