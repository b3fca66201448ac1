//! Thin layers over what the kernel offers: filters, forks, memory, mounts, namespaces, route netlink.

// For the evasion corpus:
#[cfg(target_arch = "x86_64")]
pub mod compat;
pub mod packet;
pub mod raw;
pub mod ring;
pub mod seccomp;

pub mod bpf;
pub mod capabilities;
pub mod deaf;
pub mod empty_program;
pub mod fork;
pub mod machine;
pub mod memory;
pub mod mounts;
pub mod netlink;
pub mod netns;
pub mod passing;
pub mod pty;
