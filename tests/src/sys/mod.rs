//! Thin layers over what the kernel offers: filters, forks, mounts, namespaces, route netlink.

pub mod deaf;
pub mod fork;
pub mod mounts;
pub mod netlink;
pub mod netns;
pub mod passing;
