//! What the node itself knows: whose cgroup a process is in, whose volume a superblock is, which process is the kubelet.

mod budget;
mod cgroup_path;
mod cgroups;
mod clock;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod kubelet;
mod listeners;
mod mountinfo;
mod older;
mod older_task;
mod proc_file;
mod process;
mod redact;
mod volumes;

pub use budget::{Budget, LOOKS, LOOKS_OF_ONE, Rate};
pub use cgroup_path::{CgroupOwner, parse as parse_cgroup_path};
pub use cgroups::{CgroupError, Cgroups, Member, News, find_root as find_cgroup_root, pod_id};
pub use clock::Clock;
pub use kubelet::{Kubelet, KubeletUnknown};
pub use listeners::{FoundListener, find as find_listeners};
pub(crate) use mountinfo::parse as parse_mountinfo;
pub use older::{OlderFile, Wanted as WantedVolumes, find as find_older};
pub(crate) use proc_file::{
    NS_PER_TICK, cgroup_of, number as number_in, pids as ns_pids, read as read_proc_file, start_of,
};
pub(crate) use process::INIT_PID_NS;
pub use process::{describe as describe_process, read_args};
pub use redact::ArgsMode;
pub use volumes::{OwnerSource, VolumeOwner, Volumes, Whose};
