//! What is watched, and the ways to watch it, best first.

use std::collections::BTreeMap;

use crate::event::HookStatus;

/// How a hook is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Backend {
    Fentry,
    Kprobe,
    /// Exit of the open system calls.
    Syscall,
    /// `inet_sock_set_state`, `cgroup_*`.
    Tracepoint,
    /// Over all processes' descriptors and mappings.
    Iterator,
    /// Userspace's own look at `/proc`.
    Proc,
}

impl Backend {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Syscall => "syscall",
            Self::Tracepoint => "tracepoint",
            Self::Iterator => "iterator",
            Self::Proc => "proc",
        }
    }
}

/// A need of the design's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    FileOpen,
    Connect,
    /// Connects that end before a SYN is sent.
    ConnectAttempt,
    ConnectOutcome,
    /// Connections accepted on a watched address.
    AgentAccept,
    /// Sockets that listen on one.
    Listen,
    /// Commands of exec sessions.
    ExecSession,
    CgroupLifecycle,
    /// Descriptors of tokens, and of connections to credential endpoints, that arrive in a process.
    DescriptorReceived,
    /// Token files, and connections to credential endpoints, that were open before the start.
    OpenBefore,
    /// Another process's memory, asked for in a way that lets it be read.
    MemoryAccess,
    /// Packet and raw TCP sockets.
    SocketCreate,
    /// Refused opens, with `--watch-denied`.
    DeniedOpen,
}

/// One way to watch a hook.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub backend: Backend,
    /// Program in the object, and the kernel function or tracepoint it attaches to.
    pub programs: &'static [(&'static str, &'static str)],
    /// What it does not see.
    pub misses: &'static [&'static str],
}

const RECEIVED_MISSES: &[&str] = &[
    "descriptors handed on through an io_uring ring",
    "connections of MPTCP and SMC, whose descriptor is another socket's",
];
const MEMORY_MISSES: &[&str] = &[
    "tracers that were attached before the start",
    "a child that asks to be traced (PTRACE_TRACEME)",
];

impl Hook {
    /// In the order in which they are attached.
    pub const ALL: [Self; 13] = [
        Self::CgroupLifecycle,
        Self::ExecSession,
        Self::ConnectOutcome,
        Self::AgentAccept,
        Self::Listen,
        Self::Connect,
        Self::ConnectAttempt,
        Self::FileOpen,
        Self::DescriptorReceived,
        Self::MemoryAccess,
        Self::SocketCreate,
        Self::DeniedOpen,
        Self::OpenBefore,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::FileOpen => "file_open",
            Self::Connect => "connect",
            Self::ConnectAttempt => "connect_attempt",
            Self::ConnectOutcome => "connect_outcome",
            Self::AgentAccept => "agent_accept",
            Self::Listen => "listen",
            Self::ExecSession => "exec_session",
            Self::CgroupLifecycle => "cgroup_lifecycle",
            Self::DescriptorReceived => "descriptor_received",
            Self::OpenBefore => "open_before",
            Self::MemoryAccess => "memory_access",
            Self::SocketCreate => "socket_create",
            Self::DeniedOpen => "denied_open",
        }
    }

    /// Without it the auditor does not run; without the others it says what it does not see.
    pub const fn is_required(self) -> bool {
        !matches!(
            self,
            Self::ConnectAttempt
                | Self::DescriptorReceived
                | Self::OpenBefore
                | Self::MemoryAccess
                | Self::SocketCreate
        )
    }

    /// Its canary is a connect, which must be watched for it.
    pub const fn is_proven_by_connects(self) -> bool {
        matches!(self, Self::ConnectOutcome | Self::AgentAccept)
    }

    /// What nobody tells of where this hook is not watched.
    pub const fn unseen(self) -> &'static str {
        match self {
            Self::FileOpen => "opens of tokens",
            Self::Connect => "connects to credential endpoints",
            Self::ConnectAttempt => {
                "connects to credential endpoints that fail before a SYN is sent (no route)"
            }
            Self::ConnectOutcome => "how connects end, and how much was transferred",
            Self::AgentAccept => "connections to the agent that no connect explains",
            Self::Listen => "those who pose as the agent",
            Self::ExecSession => "the commands of exec sessions",
            Self::CgroupLifecycle => "whose process an event is",
            Self::DescriptorReceived => {
                "descriptors of tokens and of connections that are handed to another process"
            }
            Self::OpenBefore => "what was open before the start",
            Self::MemoryAccess => {
                "reads of another process's memory (ptrace, process_vm_readv, /proc/PID/mem)"
            }
            Self::SocketCreate => {
                "raw and packet sockets (for the instance metadata service nothing else shows them)"
            }
            Self::DeniedOpen => "opens that were refused",
        }
    }

    /// Best first.
    pub const fn ways(self) -> &'static [Way] {
        match self {
            Self::FileOpen => &[
                Way {
                    backend: Backend::Fentry,
                    programs: &[("file_open_fentry", "security_file_open")],
                    misses: &[],
                },
                Way {
                    backend: Backend::Kprobe,
                    programs: &[("file_open_kprobe", "security_file_open")],
                    misses: &[],
                },
                Way {
                    backend: Backend::Syscall,
                    programs: &[("file_open_syscall", "sys_exit")],
                    misses: &[
                        "32-bit system calls",
                        "io_uring",
                        "fanotify descriptors",
                        "a token below an overlay's lower layer",
                    ],
                },
            ],
            Self::Connect => &[
                Way {
                    backend: Backend::Fentry,
                    programs: &[("connect_fentry", "tcp_connect")],
                    misses: &[],
                },
                Way {
                    backend: Backend::Kprobe,
                    programs: &[("connect_kprobe", "tcp_connect")],
                    misses: &[],
                },
                Way {
                    backend: Backend::Tracepoint,
                    programs: &[("connect_syn_sent", "inet_sock_set_state")],
                    misses: &["the source port until the handshake ends"],
                },
            ],
            Self::ConnectAttempt => &[
                Way {
                    backend: Backend::Fentry,
                    programs: &[
                        ("attempt_v4_fentry", "tcp_v4_connect"),
                        ("attempt_v6_fentry", "tcp_v6_connect"),
                        ("attempted_v4_fexit", "tcp_v4_connect"),
                        ("attempted_v6_fexit", "tcp_v6_connect"),
                    ],
                    misses: &["connects that a security module or a cgroup program refuses"],
                },
                Way {
                    backend: Backend::Kprobe,
                    programs: &[
                        ("attempt_v4_kprobe", "tcp_v4_connect"),
                        ("attempt_v6_kprobe", "tcp_v6_connect"),
                        ("attempted_v4_kretprobe", "tcp_v4_connect"),
                        ("attempted_v6_kretprobe", "tcp_v6_connect"),
                    ],
                    misses: &["connects that a security module or a cgroup program refuses"],
                },
            ],
            Self::ConnectOutcome => &[Way {
                backend: Backend::Tracepoint,
                programs: &[("sock_state", "inet_sock_set_state")],
                misses: &[],
            }],
            Self::AgentAccept => &[Way {
                backend: Backend::Tracepoint,
                programs: &[("sock_accept", "inet_sock_set_state")],
                misses: &[],
            }],
            Self::Listen => &[Way {
                backend: Backend::Tracepoint,
                programs: &[("sock_listen", "inet_sock_set_state")],
                misses: &[
                    "sockets that listened before the start, outside the agent's network namespace",
                    "sockets on 0.0.0.0 or ::, until they accept",
                ],
            }],
            Self::ExecSession => &[Way {
                backend: Backend::Tracepoint,
                programs: &[("session_exec", "sched_process_exec")],
                misses: &["sessions that began before the start"],
            }],
            Self::DeniedOpen => &[Way {
                backend: Backend::Syscall,
                programs: &[("open_denied", "sys_exit")],
                misses: &["32-bit system calls", "io_uring", "open_by_handle_at"],
            }],
            Self::DescriptorReceived => &[
                Way {
                    backend: Backend::Fentry,
                    programs: &[("received_fentry", "security_file_receive")],
                    misses: RECEIVED_MISSES,
                },
                Way {
                    backend: Backend::Kprobe,
                    programs: &[("received_kprobe", "security_file_receive")],
                    misses: RECEIVED_MISSES,
                },
            ],
            Self::OpenBefore => &[
                Way {
                    backend: Backend::Iterator,
                    programs: &[("held_files", "task_file"), ("held_maps", "task_vma")],
                    misses: &[
                        "descriptors that only an io_uring ring or a message on its way holds",
                    ],
                },
                Way {
                    backend: Backend::Proc,
                    programs: &[],
                    misses: &[
                        "descriptors that only an io_uring ring or a message on its way holds",
                        "connections that are older than the start",
                        "volumes that are unmounted",
                    ],
                },
            ],
            Self::MemoryAccess => &[
                Way {
                    backend: Backend::Fentry,
                    programs: &[("memory_fentry", "security_ptrace_access_check")],
                    misses: MEMORY_MISSES,
                },
                Way {
                    backend: Backend::Kprobe,
                    programs: &[("memory_kprobe", "security_ptrace_access_check")],
                    misses: MEMORY_MISSES,
                },
            ],
            Self::SocketCreate => &[
                Way {
                    backend: Backend::Fentry,
                    programs: &[("socket_fentry", "security_socket_create")],
                    misses: &[],
                },
                Way {
                    backend: Backend::Kprobe,
                    programs: &[("socket_kprobe", "security_socket_create")],
                    misses: &[],
                },
            ],
            Self::CgroupLifecycle => &[Way {
                backend: Backend::Tracepoint,
                programs: &[
                    ("cgroup_mkdir", "cgroup_mkdir"),
                    ("cgroup_rmdir", "cgroup_rmdir"),
                    ("cgroup_attach_task", "cgroup_attach_task"),
                ],
                misses: &[],
            }],
        }
    }
}

/// How a hook came to be watched.
#[derive(Clone, Debug)]
pub struct HookReport {
    pub hook: Hook,
    /// `None`: no way works here, and the auditor runs without.
    pub way: Option<Way>,
    /// Its canary fired. Hooks without one stay unproven until their first real event.
    pub proven: bool,
    /// Why better ways are not in use, in the kernel's words.
    pub refused: BTreeMap<&'static str, String>,
    /// Kernel's program ids.
    pub program_ids: BTreeMap<&'static str, u32>,
}

impl HookReport {
    /// Why better ways are not in use: `fentry: WHY; kprobe: WHY`.
    pub fn reasons(&self) -> String {
        super::choice::reasons(&self.refused)
    }

    /// As the `ready` line has it.
    pub fn status(&self) -> HookStatus {
        let misses = self.way.map_or(&[][..], |way| way.misses);
        HookStatus {
            backend: self.way.map_or("none", |way| way.backend.name()).to_owned(),
            state: match self.way {
                None => "unavailable",
                Some(_) if self.proven => "live",
                Some(_) => "unproven",
            }
            .to_owned(),
            misses: misses.iter().map(|miss| (*miss).to_owned()).collect(),
            refused: self
                .refused
                .iter()
                .map(|(backend, why)| ((*backend).to_owned(), why.clone()))
                .collect(),
            programs: self
                .program_ids
                .iter()
                .map(|(name, id)| ((*name).to_owned(), *id))
                .collect(),
        }
    }
}
