//! Which ways to a credential are seen with the hooks in use: one line a technique, named as the evasion corpus names it
//! (`tests/evasion/`). Whether the kernel knows the technique at all (io_uring, MPTCP, SMC) is not asked.

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
const DENIED: [Need; 1] = [Need::Hook(Hook::DeniedOpen)];
const CONNECT: [Need; 1] = [Need::Hook(Hook::Connect)];
const ACCEPT: [Need; 1] = [Need::Hook(Hook::AgentAccept)];
const RECEIVED: [Need; 1] = [Need::Hook(Hook::DescriptorReceived)];
const MEMORY: [Need; 1] = [Need::Hook(Hook::MemoryAccess)];
const SOCKET: [Need; 1] = [Need::Hook(Hook::SocketCreate)];
/// pidfd_getfd(2) asks for the right to trace the process, and hands over the descriptor.
const TAKEN: [Need; 2] = [RECEIVED[0], MEMORY[0]];
const STACK_TO_AGENT: [Need; 2] = [ACCEPT[0], SOCKET[0]];
const IMPOSTOR: [Need; 2] = [Need::Hook(Hook::Listen), ACCEPT[0]];
const NEVER: [Need; 0] = [];

/// Id, what it is, what it takes to see it. In the order of the corpus.
const TECHNIQUES: &[(&str, &str, &[Need])] = &[
    ("F00", "an SDK in the container reads its token", &OPEN),
    ("F01", "open(2)", &OPEN),
    ("F02", "openat(2)", &OPEN),
    ("F02m", "openat from a 32-bit program", &ENTRY),
    ("F03", "openat2 with RESOLVE flags", &OPEN),
    ("F04", "openat by a directory's descriptor", &OPEN),
    ("F05", "a relative path", &OPEN),
    ("F06", "an open for writing", &OPEN),
    ("F07", "open_by_handle_at", &OPEN),
    ("F08", "O_PATH, then /proc/self/fd", &OPEN),
    ("F10a", "io_uring openat, inline", &ENTRY),
    ("F10b", "io_uring openat, by a worker", &ENTRY),
    ("F10c", "io_uring openat2", &ENTRY),
    ("F10d", "io_uring openat, by the polling thread", &ENTRY),
    ("F10e", "io_uring openat into a direct descriptor", &ENTRY),
    (
        "F11",
        "io_uring hands a descriptor to another ring (the open is what is seen)",
        &ENTRY,
    ),
    (
        "F12a",
        "a descriptor handed on within the pod (SCM_RIGHTS)",
        &OPEN,
    ),
    (
        "F12b",
        "a descriptor from a process of another pod (SCM_RIGHTS)",
        &RECEIVED,
    ),
    ("F13", "pidfd_getfd", &TAKEN),
    ("F14", "a descriptor inherited over fork and exec", &OPEN),
    (
        "F15",
        "a process that shares its table of descriptors opens",
        &OPEN,
    ),
    ("F16", "/proc/PID/fd", &OPEN),
    ("F17", "a hard link", &OPEN),
    ("F18", "a symbolic link", &OPEN),
    ("F19", "a bind mount of the file", &OPEN),
    ("F20a", "open_tree, detached", &OPEN),
    ("F20b", "open_tree and move_mount", &OPEN),
    ("F21", "mmap instead of read", &OPEN),
    ("F23a", "below an overlay, read", &ENTRY),
    ("F23b", "below an overlay, copied up", &ENTRY),
    ("F24a", "/proc/PID/root", &OPEN),
    ("F24b", "/proc/PID/cwd", &OPEN),
    ("F25", "nsenter", &OPEN),
    ("F26", "a descriptor of fanotify's", &ENTRY),
    ("F27", "read by libaio", &OPEN),
    ("F28a", "splice", &OPEN),
    ("F28b", "sendfile", &OPEN),
    ("F28c", "copy_file_range", &OPEN),
    ("F28d", "readv", &OPEN),
    ("F28e", "preadv2", &OPEN),
    ("F29", "a loop device (the open is what is seen)", &OPEN),
    ("F30", "openat by int 0x80 from a 64-bit program", &ENTRY),
    ("F31", "an open while the kubelet rotates the token", &OPEN),
    (
        "F32",
        "a descriptor injected by a seccomp supervisor",
        &OPEN,
    ),
    ("F33", "process_vm_readv", &MEMORY),
    ("F34", "/proc/PID/mem", &MEMORY),
    ("F35", "ptrace", &MEMORY),
    (
        "F36",
        "/proc/PID/environ, which holds paths and no token",
        &NEVER,
    ),
    ("F37", "an open in a user namespace of its own", &OPEN),
    (
        "F38",
        "a descriptor that was opened before the auditor started",
        &NEVER,
    ),
    ("F39", "/proc/PID/map_files", &OPEN),
    ("F40", "an open by another thread", &OPEN),
    ("F41", "an open by a program in memory (memfd)", &OPEN),
    ("F43", "a hostPath of the kubelet's directory", &OPEN),
    ("F44", "a subPath mount", &OPEN),
    (
        "F44b",
        "a subPath mount of a token that was rotated away",
        &OPEN,
    ),
    ("F45", "a shell's redirection", &OPEN),
    ("F50", "a volume that was mounted a moment ago", &OPEN),
    ("F51", "a program that is not of the image", &OPEN),
    ("F52a", "an open by the container's init", &OPEN),
    ("F52b", "an open by a child of the container's init", &OPEN),
    ("F53", "a process in the victim's cgroup", &OPEN),
    ("F54", "another name, arguments and parent", &OPEN),
    (
        "F55",
        "one open behind 20,000 others: it may be among the counted loss",
        &NEVER,
    ),
    ("F56", "an open that the file's mode refuses", &DENIED),
    ("F57", "an open of a token that is not there", &DENIED),
    ("N01a", "connect, IPv4", &CONNECT),
    ("N01b", "connect, IPv6", &CONNECT),
    ("N01c", "connect to a v4-mapped address", &CONNECT),
    ("N01d", "a non-blocking connect", &CONNECT),
    ("N01e", "connect by a 32-bit program", &CONNECT),
    ("N01f", "connect to IMDS, IPv4", &CONNECT),
    ("N01g", "connect to IMDS, IPv6", &CONNECT),
    ("N01h", "connect on the host's network", &CONNECT),
    ("N02a", "sendto with MSG_FASTOPEN", &CONNECT),
    ("N02b", "sendmsg with MSG_FASTOPEN", &CONNECT),
    ("N02c", "sendmmsg with MSG_FASTOPEN", &CONNECT),
    ("N02d", "sendto with MSG_FASTOPEN, IPv6", &CONNECT),
    (
        "N02e",
        "sendto with MSG_FASTOPEN to a v4-mapped address",
        &CONNECT,
    ),
    ("N03a", "TCP_FASTOPEN_CONNECT", &CONNECT),
    (
        "N03b",
        "TCP_FASTOPEN_CONNECT with a cookie-less deferred SYN",
        &CONNECT,
    ),
    ("N04a", "io_uring connect, inline", &CONNECT),
    ("N04b", "io_uring connect, by a worker", &CONNECT),
    ("N04c", "io_uring connect, by the polling thread", &CONNECT),
    (
        "N04d",
        "io_uring socket into a direct descriptor, and connect",
        &CONNECT,
    ),
    ("N04e", "io_uring sendmsg with MSG_FASTOPEN", &CONNECT),
    ("N05a", "MPTCP connect", &CONNECT),
    ("N05b", "MPTCP with MSG_FASTOPEN", &CONNECT),
    ("N06", "socketcall by int 0x80", &CONNECT),
    (
        "N07",
        "a socket made in another network namespace",
        &CONNECT,
    ),
    (
        "N08a",
        "a connected socket handed on within the pod",
        &CONNECT,
    ),
    (
        "N08b",
        "a connected socket from a process of another pod",
        &RECEIVED,
    ),
    ("N09", "pidfd_getfd of a connected socket", &TAKEN),
    (
        "N10",
        "a TCP stack over SOCK_RAW, to the agent",
        &STACK_TO_AGENT,
    ),
    (
        "N11",
        "a TCP stack over AF_PACKET, to the agent",
        &STACK_TO_AGENT,
    ),
    ("N11b", "a TCP stack over AF_PACKET, to IMDS", &SOCKET),
    ("N12", "a raw handshake adopted by TCP_REPAIR", &CONNECT),
    (
        "N15",
        "a proxy in another pod (laid to the proxy)",
        &CONNECT,
    ),
    ("N16a", "AF_SMC, blocking", &CONNECT),
    ("N16b", "AF_SMC, non-blocking", &CONNECT),
    ("N17", "an IP source route", &CONNECT),
    (
        "N18a",
        "an address that the node translates to the agent's",
        &ACCEPT,
    ),
    (
        "N18b",
        "an address that the pod translates to the agent's",
        &ACCEPT,
    ),
    ("N19", "an address that a cgroup program rewrites", &CONNECT),
    ("N19b", "the same with MSG_FASTOPEN", &CONNECT),
    ("N21", "sniffing the agent's traffic", &SOCKET),
    ("N22", "a plain HTTP client", &CONNECT),
    ("N23", "a client in the kernel (no process)", &CONNECT),
    ("N24", "a listener on the agent's address", &IMPOSTOR),
    ("N25", "a connect without a route", &NEVER),
    ("N26", "a connect that is refused", &CONNECT),
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
        .map(|(id, _, needs)| (*id, needs.iter().any(met)))
        .collect()
}

/// What a technique is, in a few words.
#[must_use]
pub fn describe(id: &str) -> Option<&'static str> {
    let found = TECHNIQUES.iter().find(|(known, _, _)| *known == id)?;
    Some(found.1)
}

#[cfg(test)]
mod tests;
