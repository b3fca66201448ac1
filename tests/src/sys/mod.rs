//! Thin layers over what the kernel offers: forks, mounts, namespaces, route netlink.

pub mod fork;
pub mod mounts;
pub mod netlink;
pub mod netns;
