//! The wire format between the kernel half (`auditor-ebpf`) and the userspace half (`auditor`), and nothing else.
//!
//! Everything here is `repr(C)`, without padding, and valid for every bit pattern: a record can be read in place from
//! the ring buffer, and a field that the kernel half left alone holds rubbish but never undefined behaviour. This crate
//! must never depend on aya-ebpf, which brings its own `memcpy` into whatever links it.
#![no_std]

mod accept;
mod config;
mod connect;
mod counters;
mod denied;
mod exec;
mod flood;
mod lifecycle;
mod maps;
mod memory;
mod offsets;
mod open;
mod received;
mod socket;
mod task;
mod text;

pub use accept::{AcceptRecord, ListenRecord};
pub use config::{Config, SyscallNumbers};
pub use connect::{
    Address, CANARY_ENDPOINT, ConnectAttempt, ConnectKey, ConnectRecord, ConnectState, EndpointKey,
    OutcomeRecord, TUPLES, Tuple, TupleState,
};
pub use counters::{COUNTERS, Counter};
pub use denied::{DENIED_PATH_LEN, DeniedRecord};
pub use exec::ExecRecord;
pub use flood::{Bucket, FLOOD_KEYS, FloodKey, FloodState, PER_CGROUP, PER_EXECUTABLE, PER_VICTIM};
pub use lifecycle::{CGROUP_PATH_LEN, CgroupRecord};
pub use maps::{VolumeEntry, VolumeIdentity, class};
pub use memory::{MEMORY_FOLD_NS, MemoryKey, MemoryRecord, OtherTask, TakenFrom, ptrace_mode};
pub use offsets::{ABSENT, FIELDS, FieldSpec, Offsets};
pub use open::{FileInfo, MOUNT_PATH_LEN, OpenRecord, VOLUME_PATH_LEN};
pub use received::{HeldRecord, ReceivedRecord, caller, held};
pub use socket::{SOCKET_FOLD_NS, SocketKey, SocketKind, SocketRecord};
pub use task::{ARGS_LEN, EXE_PATH_LEN, PARENTS, ParentTask, TaskContext, flags as task_flags};

pub use text::{components, prefix, until_nul};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// First byte of every record's [`Header::kind`].
pub mod kind {
    pub const OPEN: u16 = 1;
    pub const CONNECT: u16 = 2;
    /// The handshake ended, one way or the other.
    pub const OUTCOME: u16 = 3;
    pub const CLOSED: u16 = 4;
    pub const CGROUP_MKDIR: u16 = 5;
    pub const CGROUP_RMDIR: u16 = 6;
    pub const CGROUP_ATTACH: u16 = 7;
    pub const ACCEPT: u16 = 8;
    pub const LISTEN: u16 = 9;
    /// A command of an exec session.
    pub const EXEC: u16 = 10;
    /// An open that the kernel refused.
    pub const DENIED: u16 = 11;
    /// Another process's memory was asked for.
    pub const MEMORY: u16 = 14;
    /// A packet or raw TCP socket was asked for.
    pub const SOCKET_CREATE: u16 = 15;
    /// A token's descriptor arrived.
    pub const RECEIVED_FILE: u16 = 12;
    /// The descriptor of a connection to a watched endpoint arrived.
    pub const RECEIVED_SOCKET: u16 = 13;
    /// A token's file was found open or mapped.
    pub const HELD: u16 = 16;
}

/// Which program wrote a record.
pub mod backend {
    pub const FENTRY: u16 = 1;
    pub const KPROBE: u16 = 2;
    pub const SYSCALL: u16 = 3;
    pub const TRACEPOINT: u16 = 4;
    pub const ITERATOR: u16 = 5;
    /// Userspace's own look at /proc.
    pub const PROC: u16 = 6;
}

/// Starts every record.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// See [`kind`].
    pub kind: u16,
    /// See [`backend`].
    pub backend: u16,
    /// Whole length in bytes, this header included.
    pub len: u32,
    /// CLOCK_BOOTTIME, ns.
    pub time: u64,
}
