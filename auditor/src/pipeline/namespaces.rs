//! Mount namespaces to the pods whose they are: a process may enter another pod's and keep its own cgroup.

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    sync::Arc,
};

use crate::node::parse_cgroup_path;

/// Three containers a pod, 250 pods, and those that are gone.
const REMEMBERED: usize = 4096;

/// Namespace's inode number to pod UID. Numbers are reused after a namespace is gone: the newest word counts.
#[derive(Debug, Default)]
pub struct MountNamespaces {
    owners: HashMap<u32, Arc<str>>,
    order: VecDeque<u32>,
}

impl MountNamespaces {
    /// A pid namespace's init in this pod's cgroup has this mount namespace: it is the pod's.
    pub fn learn(&mut self, namespace: u32, pod_uid: &str) {
        match self.owners.get_mut(&namespace) {
            Some(owner) if **owner == *pod_uid => {}
            Some(owner) => *owner = pod_uid.into(),
            None => {
                self.owners.insert(namespace, pod_uid.into());
                self.order.push_back(namespace);
                if self.order.len() > REMEMBERED
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.owners.remove(&oldest);
                }
            }
        }
    }

    /// The pod, other than `pod_uid`, whose namespace this is. Looks at the processes that live in it where nothing is known:
    /// seldom, since a container's own processes never come here.
    pub fn other_owner(
        &mut self,
        namespace: u32,
        pod_uid: &str,
        host_proc: &Path,
    ) -> Option<Arc<str>> {
        if !self.owners.contains_key(&namespace) {
            let found = owners_in_proc(namespace, host_proc);
            let owner = found
                .iter()
                .find(|uid| **uid != pod_uid)
                .map_or(pod_uid, String::as_str);
            self.learn(namespace, owner);
        }
        self.owners
            .get(&namespace)
            .filter(|owner| ***owner != *pod_uid)
            .cloned()
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
