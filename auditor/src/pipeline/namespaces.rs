//! Mount namespaces to the pods whose they are: a process may enter another pod's and keep its own cgroup.

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::node::parse_cgroup_path;

/// Three containers a pod, 250 pods, and those that are gone.
const REMEMBERED: usize = 4096;
/// How long a look at the processes counts. Numbers are reused as soon as a namespace is gone, so nothing older may accuse.
const FRESH: Duration = Duration::from_secs(1);

/// Namespace's inode number to the UID of the pod whose init has it.
#[derive(Debug, Default)]
pub struct MountNamespaces {
    owners: HashMap<u32, Owner>,
    order: VecDeque<u32>,
}

#[derive(Debug)]
struct Owner {
    pod_uid: Arc<str>,
    /// When the processes in it were last looked at.
    looked: Option<Instant>,
}

impl MountNamespaces {
    /// A pid namespace's init in this pod's cgroup has this mount namespace: it is the pod's.
    pub fn learn(&mut self, namespace: u32, pod_uid: &str) {
        self.set(namespace, pod_uid, None);
    }

    /// The pod, other than `pod_uid`, whose namespace this is. A container's own processes never come here; who does is
    /// known to live in a namespace of `pod_uid`, or the processes in it are looked at.
    pub fn other_owner(
        &mut self,
        namespace: u32,
        pod_uid: &str,
        host_proc: &Path,
    ) -> Option<Arc<str>> {
        let is_known = self.owners.get(&namespace).is_some_and(|owner| {
            *owner.pod_uid == *pod_uid
                || owner.looked.is_some_and(|looked| looked.elapsed() < FRESH)
        });
        if !is_known {
            let found = owners_in_proc(namespace, host_proc);
            let owner = found
                .iter()
                .find(|uid| **uid != pod_uid)
                .map_or(pod_uid, String::as_str);
            self.set(namespace, owner, Some(Instant::now()));
        }
        self.owners
            .get(&namespace)
            .map(|owner| &owner.pod_uid)
            .filter(|owner| ***owner != *pod_uid)
            .cloned()
    }

    fn set(&mut self, namespace: u32, pod_uid: &str, looked: Option<Instant>) {
        match self.owners.get_mut(&namespace) {
            Some(owner) if *owner.pod_uid == *pod_uid => owner.looked = looked.or(owner.looked),
            Some(owner) => {
                *owner = Owner {
                    pod_uid: pod_uid.into(),
                    looked,
                }
            }
            None => {
                self.owners.insert(
                    namespace,
                    Owner {
                        pod_uid: pod_uid.into(),
                        looked,
                    },
                );
                self.order.push_back(namespace);
                if self.order.len() > REMEMBERED
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.owners.remove(&oldest);
                }
            }
        }
    }
}

/// Pods of the processes in a mount namespace. Needs CAP_SYS_PTRACE; what cannot be read is passed over.
fn owners_in_proc(namespace: u32, host_proc: &Path) -> Vec<String> {
    let wanted = format!("mnt:[{namespace}]");
    let Ok(entries) = std::fs::read_dir(host_proc) else {
        return Vec::new();
    };
    let mut owners = Vec::new();
    for entry in entries.flatten() {
        let process = entry.path();
        if !std::fs::read_link(process.join("ns/mnt"))
            .is_ok_and(|link| link.as_os_str() == wanted.as_str())
        {
            continue;
        }
        let Ok(cgroups) = std::fs::read_to_string(process.join("cgroup")) else {
            continue;
        };
        let uid = cgroups
            .lines()
            .find_map(|line| line.strip_prefix("0::"))
            .and_then(parse_cgroup_path)
            .map(|owner| owner.pod_uid);
        if let Some(uid) = uid
            && !owners.contains(&uid)
        {
            owners.push(uid);
        }
    }
    owners
}
