use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{ARGS_LEN, Header};

/// A process that came into a container from outside executed a program: `kubectl exec`, an exec probe, nsenter.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExecRecord {
    pub header: Header,
    /// CLOCK_BOOTTIME, ns; stays when the process executes another program.
    pub start_time: u64,
    pub cgroup_id: u64,
    /// The thread group's, in the initial pid namespace.
    pub pid: u32,
    pub args_len: u32,
    /// As in `/proc/PID/cmdline`.
    pub args: [u8; ARGS_LEN],
}
