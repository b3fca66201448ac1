//! Token files that processes were found to have open or mapped: opened before the start, inherited, or taken in a way that no
//! hook sees. Only what is not the owner's own is told, and once.

use std::collections::{HashSet, VecDeque};

use auditor_common::{
    FileInfo, Header, OpenRecord, TaskContext, VolumeIdentity, class, held, kind,
};

use super::{
    Pipeline,
    files::inode_of,
    held::{Attempt, Found},
};
use crate::{
    event::Via,
    node::{NS_PER_TICK, OlderFile},
};

/// Foreign opens that are remembered, so that a later look does not tell of them again.
const REMEMBERED: usize = 16_384;

/// Where `/proc` tells of a process, its start is known to a tick. A process (a pid is reused, with its start it is not) and a file.
type Key = (u32, u64, (VolumeIdentity, u64));

/// What has been told of.
#[derive(Debug, Default)]
pub struct Told {
    known: HashSet<Key>,
    order: VecDeque<Key>,
}

impl Told {
    /// Whether it is news.
    pub fn note(&mut self, task: &TaskContext, file: &FileInfo) -> bool {
        let key = (task.pid, task.start_time / NS_PER_TICK, inode_of(file));
        if !self.known.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

impl Pipeline {
    /// What one look at the processes found.
    pub fn on_older(&mut self, mut found: OlderFile) {
        let record = &mut found.record;
        if record.file.class == class::CANARY {
            return;
        }
        let of_process = |path: &Option<String>| {
            path.as_deref()
                .and_then(|path| self.cgroups.id_of_process(path))
        };
        if let Some(id) = of_process(&found.cgroup) {
            record.task.cgroup_id = id;
        }
        if let Some(id) = of_process(&found.reaper_cgroup) {
            record.task.reaper_cgroup_id = id;
        }
        self.totals.found += 1;
        let open = OpenRecord {
            header: Header {
                kind: kind::OPEN,
                len: size_of::<OpenRecord>() as u32,
                ..record.header
            },
            file: record.file,
            task: record.task,
        };
        let via = if record.how == held::MAPPING {
            Via::Mapped
        } else {
            Via::Held
        };
        let found = Found {
            via,
            ..Found::default()
        };
        self.consider_open(&open, found, Attempt::First);
    }
}

/// Whether it was found, not seen to happen.
pub(super) fn is_found(via: Via) -> bool {
    matches!(via, Via::Held | Via::Mapped)
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    #[test]
    fn a_process_and_a_file_are_news_once() {
        let mut task = TaskContext::new_zeroed();
        (task.pid, task.start_time) = (7, 123_456_789);
        let mut file = FileInfo::new_zeroed();
        (file.identity.fsid, file.ino) = (3, 5);
        let mut told = Told::default();
        assert!(told.note(&task, &file));
        // Whether the superblock's address is known makes no difference.
        file.identity.superblock = 0xffff_8880_0000_0000;
        assert!(!told.note(&task, &file));
        // As `/proc` tells it.
        task.start_time = 120_000_000;
        assert!(!told.note(&task, &file));
        file.ino = 6;
        assert!(told.note(&task, &file), "another file");
        task.start_time = 200_000_000;
        assert!(told.note(&task, &file), "the pid went to another process");
        task.pid = 8;
        assert!(told.note(&task, &file), "a child that inherited it");
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut told = Told::default();
        let task = TaskContext::new_zeroed();
        let mut file = FileInfo::new_zeroed();
        for ino in 0..=REMEMBERED as u64 {
            file.ino = ino;
            assert!(told.note(&task, &file));
        }
        assert_eq!(told.known.len(), REMEMBERED);
        assert!(!told.note(&task, &file));
        file.ino = 0;
        assert!(told.note(&task, &file));
    }
}
