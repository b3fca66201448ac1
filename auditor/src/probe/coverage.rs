//! Which ways to a credential are seen with the hooks in use: one line a technique, by its name in the evasion corpus
//! (`tests/evasion/NAME.yaml` declares what each backend must write). Those that do no harm are left out. Whether the kernel
//! knows the technique at all (io_uring, MPTCP) is not asked.

use std::collections::BTreeMap;

use super::backend::{Backend, Hook};

/// A technique is seen where any of these holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// The hook is in use, in any way.
    Hook(Hook),
    /// It is watched at the kernel function's entry: the exits of system calls show less.
    Entry(Hook),
}

const OPEN: [Need; 1] = [Need::Hook(Hook::FileOpen)];
const ENTRY: [Need; 1] = [Need::Entry(Hook::FileOpen)];
const CONNECT: [Need; 1] = [Need::Hook(Hook::Connect)];
const ATTEMPT: [Need; 1] = [Need::Hook(Hook::ConnectAttempt)];
const ACCEPT: [Need; 1] = [Need::Hook(Hook::AgentAccept)];
const RECEIVED: [Need; 1] = [Need::Hook(Hook::DescriptorReceived)];
const MEMORY: [Need; 1] = [Need::Hook(Hook::MemoryAccess)];
const SOCKET: [Need; 1] = [Need::Hook(Hook::SocketCreate)];
/// pidfd_getfd(2) asks for the right to trace the process, and hands over the descriptor.
const TAKEN: [Need; 2] = [RECEIVED[0], MEMORY[0]];
const STACK_TO_AGENT: [Need; 2] = [ACCEPT[0], SOCKET[0]];

/// Its name, and what it takes to see it.
const TECHNIQUES: &[(&str, &[Need])] = &[
    ("aio", &OPEN),
    ("bind_mount", &OPEN),
    ("clone_files", &OPEN),
    ("connect", &CONNECT),
    ("connect_int80", &CONNECT),
    ("connect_nonblocking", &CONNECT),
    ("connect_renamed", &CONNECT),
    ("connect_thread", &CONNECT),
    ("connect_v4_mapped", &CONNECT),
    ("connect_v6", &CONNECT),
    ("connect_vfork_child", &CONNECT),
    ("copy_file_range", &OPEN),
    ("deleted_token", &OPEN),
    ("dirfd", &OPEN),
    ("fanotify", &ENTRY),
    ("fastopen_connect", &CONNECT),
    ("fastopen_sendmmsg", &CONNECT),
    ("fastopen_sendmsg", &CONNECT),
    ("fastopen_sendto", &CONNECT),
    ("file_handle", &OPEN),
    ("for_writing", &OPEN),
    ("foreign_netns", &CONNECT),
    ("hard_link", &OPEN),
    ("host_path", &OPEN),
    ("inherited", &OPEN),
    ("int80", &ENTRY),
    ("io_uring_connect", &CONNECT),
    ("io_uring_connect_sqpoll", &CONNECT),
    ("io_uring_connect_worker", &CONNECT),
    ("io_uring_direct", &ENTRY),
    ("io_uring_fastopen", &CONNECT),
    ("io_uring_msg_ring", &ENTRY),
    ("io_uring_openat", &ENTRY),
    ("io_uring_openat2", &ENTRY),
    ("io_uring_sqpoll", &ENTRY),
    ("io_uring_worker", &ENTRY),
    ("map_files", &OPEN),
    ("memfd", &OPEN),
    ("mmap", &OPEN),
    ("move_mount", &OPEN),
    ("mptcp", &CONNECT),
    ("no_route", &ATTEMPT),
    ("opath_reopen", &OPEN),
    ("open", &OPEN),
    ("open_tree", &OPEN),
    ("openat", &OPEN),
    ("openat2", &OPEN),
    ("openat2_beneath", &OPEN),
    ("openat2_cached", &OPEN),
    ("openat2_in_root", &OPEN),
    ("openat2_no_magiclinks", &OPEN),
    ("openat2_no_symlinks", &OPEN),
    ("openat2_no_xdev", &OPEN),
    ("other_file", &OPEN),
    ("overlay_copy_up", &ENTRY),
    ("overlay_lower", &ENTRY),
    ("packet_socket", &STACK_TO_AGENT),
    ("pidfd_getfd", &TAKEN),
    ("preadv2", &OPEN),
    ("proc_cwd", &OPEN),
    ("proc_fd", &OPEN),
    ("proc_mem", &MEMORY),
    ("proc_root", &OPEN),
    ("process_vm_readv", &MEMORY),
    ("proxy", &CONNECT),
    ("ptrace_peek", &MEMORY),
    ("raw_socket", &STACK_TO_AGENT),
    ("readv", &OPEN),
    ("refused", &CONNECT),
    ("relative", &OPEN),
    ("rename_race", &OPEN),
    ("renamed", &OPEN),
    ("scm_rights", &OPEN),
    ("scm_rights_from_victim", &RECEIVED),
    ("seccomp_addfd", &OPEN),
    ("sendfile", &OPEN),
    ("setns", &OPEN),
    ("shell_redirect", &OPEN),
    ("socket_pidfd_getfd", &TAKEN),
    ("socket_scm_rights", &RECEIVED),
    ("splice", &OPEN),
    ("sub_path", &OPEN),
    ("sub_path_rotated", &OPEN),
    ("symbolic_link", &OPEN),
    ("thread", &OPEN),
    ("user_namespace", &OPEN),
    ("vfork_child", &OPEN),
];

/// By technique, whether it is seen with these hooks, each with how it is watched.
#[must_use]
pub fn coverage(in_use: &BTreeMap<Hook, Backend>) -> BTreeMap<&'static str, bool> {
    let met = |need: &Need| match need {
        Need::Hook(hook) => in_use.contains_key(hook),
        Need::Entry(hook) => {
            matches!(in_use.get(hook), Some(Backend::Fentry | Backend::Kprobe))
        }
    };
    TECHNIQUES
        .iter()
        .map(|(name, needs)| (*name, needs.iter().any(met)))
        .collect()
}

#[cfg(test)]
mod tests;
