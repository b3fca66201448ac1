//! Files of `/proc` through the functions that read them; for [`crate::fuzzing`].

use super::{listeners, older, proc_file};

/// What is taken from a process's files.
#[derive(Debug, PartialEq, Eq)]
pub struct Status {
    pub start_ns: Option<u64>,
    pub uid: Option<u64>,
    pub capabilities: Option<u64>,
    pub pids: Option<Vec<u32>>,
    pub cgroup: Option<String>,
    pub args: Vec<String>,
}

/// What is taken from tables: listening sockets, mappings of files, open flags.
#[derive(Debug)]
pub struct Table {
    pub listeners: Vec<(u64, std::net::SocketAddr)>,
    /// Inode number and path.
    pub mappings: Vec<(u64, std::path::PathBuf)>,
    pub open_flags: Option<u32>,
}

pub fn status(bytes: &[u8]) -> Status {
    let text = String::from_utf8_lossy(bytes);
    Status {
        start_ns: proc_file::start_ns(&text),
        uid: proc_file::number(&text, "Uid:", 10),
        capabilities: proc_file::number(&text, "CapEff:", 16),
        pids: proc_file::pids(&text),
        cgroup: proc_file::default_cgroup(&text).map(str::to_owned),
        args: super::process::split_args(bytes),
    }
}

pub fn table(bytes: &[u8]) -> Table {
    let text = String::from_utf8_lossy(bytes);
    Table {
        listeners: text.lines().filter_map(listeners::listener).collect(),
        mappings: bytes
            .split(|byte| *byte == b'\n')
            .filter_map(older::mapping)
            .map(|mapping| (mapping.ino, mapping.path))
            .collect(),
        open_flags: older::open_flags(&text),
    }
}
