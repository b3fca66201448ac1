use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// System call numbers of this architecture that open a file: the kernel half is one object for all.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SyscallNumbers {
    /// `u64::MAX` where the architecture has no such call (arm64 has neither open nor creat).
    pub open: u64,
    pub creat: u64,
    pub openat: u64,
    pub openat2: u64,
    pub open_by_handle_at: u64,
}

/// Set once at load; the verifier sees constants and removes what is switched off.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Config {
    pub syscalls: SyscallNumbers,
    /// The auditor's own tgid in the initial pid namespace: canaries count only from it.
    pub own_tgid: u32,
    /// 1: nothing is folded.
    pub no_flood_control: u32,
}
