//! The acting process, as the kernel described it at the moment of the event.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// All ids are of the host's (initial) namespaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Process {
    pub pid: u32,
    pub tid: u32,
    /// With `pid`, the process's identity: pids are reused.
    #[schemars(with = "String")]
    pub start_time: Timestamp,
    /// Can be forged by the process; `exe_inode` cannot.
    pub comm: String,
    /// Path of the executable within the process's root, from a dentry walk in the kernel; null for a kernel thread.
    pub exe: Option<String>,
    pub exe_inode: Option<InodeId>,
    /// The executable lies on an overlay's upper layer: it came after the image. Null where the kernel cannot tell.
    pub exe_upper_layer: Option<bool>,
    /// The executable has no name left: a memfd, or deleted since.
    pub exe_unlinked: bool,
    /// At most 512 bytes of argv, redacted by default; can be forged by the process.
    pub args: Vec<String>,
    pub uid: u32,
    pub gid: u32,
    /// Effective capabilities by name.
    pub capabilities: Vec<String>,
    /// True when the process does not descend from its container's init: kubectl exec, nsenter. Null in a shared or host PID namespace.
    pub exec_session: Option<bool>,
    pub tty: Option<String>,
    /// Audit login uid of a session on the node; null in containers.
    pub login_uid: Option<u32>,
    /// Nearest first, at most 6.
    pub parents: Vec<Parent>,
    pub namespaces: Namespaces,
    /// The process lives in the host's mount or pid namespace.
    pub host_namespaces: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parent {
    pub pid: u32,
    pub comm: String,
}

/// Inode numbers of the namespaces, as in `/proc/PID/ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Namespaces {
    pub pid: u32,
    pub mnt: u32,
    pub net: u32,
}

/// A file's identity, written `major:minor/inode` as in mountinfo and stat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct InodeId {
    pub major: u32,
    pub minor: u32,
    pub ino: u64,
}

impl std::fmt::Display for InodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}/{}", self.major, self.minor, self.ino)
    }
}

impl Serialize for InodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl std::str::FromStr for InodeId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = || {
            let (device, ino) = text.split_once('/')?;
            let (major, minor) = device.split_once(':')?;
            Some(Self {
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
                ino: ino.parse().ok()?,
            })
        };
        parts().ok_or("expected major:minor/inode")
    }
}

impl<'de> Deserialize<'de> for InodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_identity_is_read_as_it_is_written() {
        let id = InodeId {
            major: 254,
            minor: 0,
            ino: u64::MAX,
        };
        let text = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<InodeId>(&text).unwrap(), id);
        for wrong in ["", "1:2", "1/2", "1:2/", "a:2/3", "1:2/3/4"] {
            assert!(wrong.parse::<InodeId>().is_err(), "{wrong}");
        }
    }
}
