//! Thin layers over what the kernel offers: filters, forks, memory, mounts, namespaces, route netlink.

pub mod deaf;
pub mod fork;
pub mod memory;
pub mod mounts;
pub mod netlink;
pub mod netns;
pub mod passing;
