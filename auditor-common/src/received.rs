use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{ConnectKey, ConnectState, FileInfo, Header, TakenFrom, TaskContext};

/// [`ReceivedRecord::caller`].
pub mod caller {
    /// An io_uring worker: the system call is that of the thread which made it.
    pub const IO_WORKER: u32 = 1;
    /// A 32-bit system call, whose numbers mean something else.
    pub const COMPAT: u32 = 1 << 1;
}

/// [`HeldRecord::how`].
pub mod held {
    pub const DESCRIPTOR: u32 = 1;
    pub const MAPPING: u32 = 2;
}

/// A descriptor was put into the table of `task`'s process by another one's doing: of a token's file
/// (`kind::RECEIVED_FILE`), or of a connection to a watched endpoint (`kind::RECEIVED_SOCKET`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReceivedRecord {
    pub header: Header,
    /// Number of the system call that the receiver is in.
    pub syscall: u32,
    /// See [`caller`].
    pub caller: u32,
    /// Whom the receiving thread was last allowed to look into; zeroes where nobody. Only `pidfd_getfd(2)` takes from there.
    pub from: TakenFrom,
    /// Holds with `RECEIVED_SOCKET` only.
    pub key: ConnectKey,
    /// Holds with `RECEIVED_SOCKET` only.
    pub connect: ConnectState,
    /// Holds with `RECEIVED_FILE` only.
    pub file: FileInfo,
    pub task: TaskContext,
}

/// A token's file that a process was found to have open, or mapped. Written by an iterator, not into the ring buffer.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HeldRecord {
    pub header: Header,
    /// See [`held`].
    pub how: u32,
    pub reserved: u32,
    pub file: FileInfo,
    /// Without argv: another process's memory is out of an iterator's reach.
    pub task: TaskContext,
}
