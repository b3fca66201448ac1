//! Mount namespaces to the pods whose they are: a process may enter another pod's and keep its own cgroup.

use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::node::{Budget, Rate, cgroup_of, parse_cgroup_path};

/// Three containers a pod, 250 pods, and those that are gone.
const REMEMBERED: usize = 4096;
/// A namespace that is not known costs a look at every process, and who may make namespaces makes them without end. No more
/// than a twentieth of the time goes into that, and of that no more than a fifth for one pod.
const LOOKS: Rate = Rate {
    one_in: 20,
    most: Duration::from_millis(500),
};
const LOOKS_OF_ONE: Rate = Rate {
    one_in: 100,
    most: Duration::from_millis(100),
};

/// Whose a mount namespace is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The asking pod's, as far as anybody can tell.
    Own,
    /// Of the pod with this UID.
    Other(Arc<str>),
    /// Nobody looked: too many of them were new.
    Unchecked,
}

/// Namespace's inode number to the UID of the pod whose it is.
#[derive(Debug)]
pub struct MountNamespaces {
    owners: HashMap<u32, Owner>,
    order: VecDeque<u32>,
    /// Of looks at all processes, by the asking pod.
    looks: Budget<u64>,
}

impl Default for MountNamespaces {
    fn default() -> Self {
        Self::new(LOOKS, LOOKS_OF_ONE)
    }
}

#[derive(Debug)]
struct Owner {
    pod_uid: Arc<str>,
    /// A process of that pod that was found in it, below the host's /proc. Numbers are reused as soon as a namespace is gone:
    /// nothing accuses but one that is still there.
    witness: Option<PathBuf>,
}

impl MountNamespaces {
    fn new(looks: Rate, looks_of_one: Rate) -> Self {
        Self {
            owners: HashMap::new(),
            order: VecDeque::new(),
            looks: Budget::new(looks, looks_of_one, Instant::now()),
        }
    }

    /// A pid namespace's init in this pod's cgroup has this mount namespace: it is the pod's.
    pub fn learn(&mut self, namespace: u32, pod_uid: &str) {
        self.set(namespace, pod_uid, None);
    }

    /// Whose namespace this is. A container's own processes never come here; who does is known to live in a namespace of
    /// `pod_uid`, or the processes in it are looked at. `asks` stands for that pod.
    pub fn whose(&mut self, namespace: u32, pod_uid: &str, asks: u64, host_proc: &Path) -> Whose {
        let is_known = self.owners.get(&namespace).is_some_and(|owner| {
            *owner.pod_uid == *pod_uid
                || owner.witness.as_deref().is_some_and(|process| {
                    is_in(process, namespace)
                        && pod_of(process).is_some_and(|uid| *uid == *owner.pod_uid)
                })
        });
        if !is_known {
            let begun = Instant::now();
            if !self.looks.allows(asks, begun) {
                return Whose::Unchecked;
            }
            match someone_else_in(namespace, pod_uid, host_proc) {
                Some((other, witness)) => self.set(namespace, &other, Some(witness)),
                None => self.set(namespace, pod_uid, None),
            }
            self.looks.spend(asks, begun.elapsed());
        }
        match self.owners.get(&namespace) {
            Some(owner) if *owner.pod_uid != *pod_uid => Whose::Other(owner.pod_uid.clone()),
            Some(_) | None => Whose::Own,
        }
    }

    fn set(&mut self, namespace: u32, pod_uid: &str, witness: Option<PathBuf>) {
        match self.owners.get_mut(&namespace) {
            Some(owner) if *owner.pod_uid == *pod_uid => {
                if witness.is_some() {
                    owner.witness = witness;
                }
            }
            Some(owner) => {
                *owner = Owner {
                    pod_uid: pod_uid.into(),
                    witness,
                }
            }
            None => {
                self.owners.insert(
                    namespace,
                    Owner {
                        pod_uid: pod_uid.into(),
                        witness,
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

/// A process in a mount namespace that is of another pod than `pod_uid`, and that pod. Needs CAP_SYS_PTRACE; what cannot be read
/// is passed over.
fn someone_else_in(namespace: u32, pod_uid: &str, host_proc: &Path) -> Option<(String, PathBuf)> {
    let processes = std::fs::read_dir(host_proc).ok()?;
    let processes = processes.flatten().map(|entry| entry.path());
    processes
        .filter(|process| is_in(process, namespace))
        .filter_map(|process| Some((pod_of(&process)?, process)))
        .find(|(uid, _)| uid != pod_uid)
}

fn is_in(process: &Path, namespace: u32) -> bool {
    std::fs::read_link(process.join("ns/mnt"))
        .is_ok_and(|link| link.as_os_str() == format!("mnt:[{namespace}]").as_str())
}

/// By the process's cgroup.
pub(super) fn pod_of(process: &Path) -> Option<String> {
    parse_cgroup_path(&cgroup_of(process)?).map(|owner| owner.pod_uid)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    const WEB: &str = "11111111-1111-4111-8111-111111111111";
    const API: &str = "22222222-2222-4222-8222-222222222222";
    const JOB: &str = "33333333-3333-4333-8333-333333333333";

    /// Process `pid` of that pod, in mount namespace 7.
    fn start(proc: &Path, pid: u32, pod_uid: &str) {
        let process = proc.join(pid.to_string());
        fs::create_dir_all(process.join("ns")).unwrap();
        symlink("mnt:[7]", process.join("ns/mnt")).unwrap();
        let container = "c".repeat(64);
        let cgroup = format!("0::/kubepods/burstable/pod{pod_uid}/{container}\n");
        fs::write(process.join("cgroup"), cgroup).unwrap();
    }

    /// The other pod whose namespace 7 is.
    fn other_in(namespaces: &mut MountNamespaces, pod_uid: &str, proc: &Path) -> Option<String> {
        match namespaces.whose(7, pod_uid, 1, proc) {
            Whose::Own => None,
            Whose::Other(uid) => Some(uid.to_string()),
            Whose::Unchecked => panic!("nobody looked"),
        }
    }

    fn end(proc: &Path, pid: u32) {
        fs::remove_dir_all(proc.join(pid.to_string())).unwrap();
    }

    #[test]
    fn who_enters_anothers_namespace_is_told_of_as_long_as_that_one_is_there() {
        let proc = tempfile::tempdir().unwrap();
        let mut namespaces = MountNamespaces::default();
        start(proc.path(), 10, WEB);
        start(proc.path(), 20, API);
        for _ in 0..2 {
            let other = other_in(&mut namespaces, API, proc.path());
            assert_eq!(other.as_deref(), Some(WEB));
        }
    }

    #[test]
    fn a_number_that_was_reused_accuses_nobody() {
        let proc = tempfile::tempdir().unwrap();
        let mut namespaces = MountNamespaces::default();
        start(proc.path(), 10, WEB);
        assert_eq!(other_in(&mut namespaces, WEB, proc.path()), None);
        start(proc.path(), 20, API);
        let other = other_in(&mut namespaces, API, proc.path());
        assert_eq!(other.as_deref(), Some(WEB));
        // Both are gone, and at once the number is a new pod's; and the witness's pid, too.
        end(proc.path(), 10);
        end(proc.path(), 20);
        start(proc.path(), 10, JOB);
        assert_eq!(other_in(&mut namespaces, JOB, proc.path()), None);
    }

    #[test]
    fn of_a_pod_that_is_gone_nothing_accuses_the_next_with_its_number() {
        let proc = tempfile::tempdir().unwrap();
        let mut namespaces = MountNamespaces::default();
        start(proc.path(), 10, WEB);
        assert_eq!(other_in(&mut namespaces, WEB, proc.path()), None);
        end(proc.path(), 10);
        start(proc.path(), 11, API);
        assert_eq!(other_in(&mut namespaces, API, proc.path()), None);
    }

    #[test]
    fn a_pod_that_makes_namespaces_without_end_is_not_looked_after_and_leaves_time_for_others() {
        let proc = tempfile::tempdir().unwrap();
        start(proc.path(), 10, WEB);
        // Nothing comes back while the test runs.
        let rate = |most| Rate {
            one_in: i64::MAX,
            most,
        };
        let looks = rate(Duration::from_secs(3600));
        let mut namespaces = MountNamespaces::new(looks, rate(Duration::from_micros(200)));
        let mut ask = |number, pod, asks| namespaces.whose(number, pod, asks, proc.path());
        let unchecked = (1000..2000).filter(|number| ask(*number, API, 1) == Whose::Unchecked);
        assert!(unchecked.count() > 0);
        assert_eq!(ask(7, API, 1), Whose::Unchecked);
        assert_eq!(ask(7, JOB, 2), Whose::Other(WEB.into()));
    }
}
