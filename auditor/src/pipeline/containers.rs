//! Containers' pid namespaces to the pods whose they are. The first word stays: a container's init that moves into another
//! pod's cgroup takes nobody along.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use auditor_common::{OtherTask, TaskContext};

use crate::node::{Cgroups, Member};

/// Three containers a pod, 250 pods, and those that are gone.
const REMEMBERED: usize = 4096;

/// Whose a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// The pod of this UID.
    Pod(Arc<str>),
    /// Its init is outside every pod.
    Host,
    Unknown,
}

/// What names the container of a process, and tells whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Inhabitant {
    container_pid_ns: u32,
    reaper_start_time: u64,
    reaper_cgroup_id: u64,
    reaper_origin_cgroup_id: u64,
}

impl From<&TaskContext> for Inhabitant {
    fn from(task: &TaskContext) -> Self {
        Self {
            container_pid_ns: task.container_pid_ns,
            reaper_start_time: task.reaper_start_time,
            reaper_cgroup_id: task.reaper_cgroup_id,
            reaper_origin_cgroup_id: task.reaper_origin_cgroup_id,
        }
    }
}

impl From<&OtherTask> for Inhabitant {
    fn from(task: &OtherTask) -> Self {
        Self {
            container_pid_ns: task.container_pid_ns,
            reaper_start_time: task.reaper_start_time,
            reaper_cgroup_id: task.reaper_cgroup_id,
            reaper_origin_cgroup_id: task.reaper_origin_cgroup_id,
        }
    }
}

/// A namespace's number is reused; with its init's start it is not.
type Key = (u32, u64);

#[derive(Debug, Default)]
pub struct Containers {
    pods: HashMap<Key, Arc<str>>,
    order: VecDeque<Key>,
}

impl Containers {
    /// Whose container the task is in; `None` outside containers, in the initial pid namespace.
    pub fn home(&mut self, task: impl Into<Inhabitant>, cgroups: &Cgroups) -> Option<Home> {
        let task = task.into();
        if task.container_pid_ns == 0 {
            return None;
        }
        let key = (task.container_pid_ns, task.reaper_start_time);
        if let Some(pod) = self.pods.get(&key) {
            return Some(Home::Pod(Arc::clone(pod)));
        }
        // Where the runtime made the init's cgroup namespace says more than where the init is now.
        let origin = cgroups.member(task.reaper_origin_cgroup_id);
        let now = cgroups.member(task.reaper_cgroup_id);
        match (origin, now) {
            (Member::Pod(owner), _) | (_, Member::Pod(owner)) => {
                let pod: Arc<str> = owner.pod_uid.as_str().into();
                self.remember(key, Arc::clone(&pod));
                Some(Home::Pod(pod))
            }
            (_, Member::Host) => Some(Home::Host),
            (_, Member::Unknown) => Some(Home::Unknown),
        }
    }

    fn remember(&mut self, key: Key, pod: Arc<str>) {
        self.pods.insert(key, pod);
        self.order.push_back(key);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.pods.remove(&oldest);
        }
    }
}
