//! Mount namespaces to the pods whose they are: a process may enter another pod's and keep its own cgroup.

use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use crate::node::{
    Budget, LOOKS, LOOKS_OF_ONE, NS_PER_TICK, Rate, cgroup_of, parse_cgroup_path, start_of,
};

/// Three containers a pod, 250 pods, and those that are gone.
const REMEMBERED: usize = 4096;

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

/// The process that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Of its cgroup.
    pub pod_uid: &'a str,
    /// Stands for that pod.
    pub party: u64,
    pub pid: u32,
    pub tid: u32,
    /// CLOCK_BOOTTIME, ns.
    pub start_time: u64,
}

impl Asker<'_> {
    /// While it is, the namespace's number is nobody else's.
    fn is_still_in(&self, namespace: u32, host_proc: &Path) -> bool {
        let process = host_proc.join(self.pid.to_string());
        // /proc tells the start to 10 ms.
        start_of(&process).is_some_and(|start| start.abs_diff(self.start_time) < NS_PER_TICK)
            && is_in(&process.join("task").join(self.tid.to_string()), namespace)
    }
}

/// Namespace's inode number to the UID of the pod whose it is.
#[derive(Debug)]
pub struct MountNamespaces {
    owners: HashMap<u32, Owner>,
    order: VecDeque<u32>,
    /// Of looks at all processes, by the asking pod.
    /// A namespace that is not known costs a look at every process, and who may make namespaces makes them without end.
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
    /// the asker's pod, or the processes in it are looked at.
    pub fn whose(&mut self, namespace: u32, asker: &Asker<'_>, host_proc: &Path) -> Whose {
        let Asker { pod_uid, party, .. } = *asker;
        let is_known = self.owners.get(&namespace).is_some_and(|owner| {
            *owner.pod_uid == *pod_uid
                || owner.witness.as_deref().is_some_and(|process| {
                    is_in(process, namespace)
                        && pod_of(process).is_some_and(|uid| *uid == *owner.pod_uid)
                })
        });
        if !is_known {
            let begun = Instant::now();
            if !self.looks.allows(party, begun) {
                return Whose::Unchecked;
            }
            match someone_else_in(namespace, pod_uid, host_proc) {
                Some((other, witness)) => self.set(namespace, &other, Some(witness)),
                None => self.set(namespace, pod_uid, None),
            }
            self.looks.spend(party, begun.elapsed());
        }
        match self.owners.get(&namespace) {
            Some(owner) if *owner.pod_uid != *pod_uid => Whose::Other(owner.pod_uid.clone()),
            Some(_) | None => Whose::Own,
        }
    }

    /// The same, some time after the event. Of a namespace that the asker has left, or died in, nothing can be told any more: who else
    /// was in it may be gone with him, and its number may be another's.
    pub fn whose_still(&mut self, namespace: u32, asker: &Asker<'_>, host_proc: &Path) -> Whose {
        if !asker.is_still_in(namespace, host_proc) {
            return Whose::Unchecked;
        }
        let whose = self.whose(namespace, asker, host_proc);
        if asker.is_still_in(namespace, host_proc) {
            whose
        } else {
            Whose::Unchecked
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
    use std::{fs, os::unix::fs::symlink, time::Duration};

    use super::*;

    const WEB: &str = "11111111-1111-4111-8111-111111111111";
    const API: &str = "22222222-2222-4222-8222-222222222222";
    const JOB: &str = "33333333-3333-4333-8333-333333333333";

    /// Process `pid` of that pod, in mount namespace 7.
    fn start(proc: &Path, pid: u32, pod_uid: &str) {
        let process = proc.join(pid.to_string());
        fs::create_dir_all(process.join("ns")).unwrap();
        symlink("mnt:[7]", process.join("ns/mnt")).unwrap();
        let thread = process.join("task").join(pid.to_string());
        fs::create_dir_all(thread.join("ns")).unwrap();
        symlink("mnt:[7]", thread.join("ns/mnt")).unwrap();
        // It began with tick 5.
        let stat = format!("{pid} (x) S {}5 0", "0 ".repeat(18));
        fs::write(process.join("stat"), stat).unwrap();
        let container = "c".repeat(64);
        let cgroup = format!("0::/kubepods/burstable/pod{pod_uid}/{container}\n");
        fs::write(process.join("cgroup"), cgroup).unwrap();
    }

    /// Process 20, of that pod.
    fn asker(pod_uid: &str, party: u64) -> Asker<'_> {
        Asker {
            pod_uid,
            party,
            pid: 20,
            tid: 20,
            start_time: 5 * NS_PER_TICK + 1,
        }
    }

    /// The other pod whose namespace 7 is.
    fn other_in(namespaces: &mut MountNamespaces, pod_uid: &str, proc: &Path) -> Option<String> {
        match namespaces.whose(7, &asker(pod_uid, 1), proc) {
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
    fn of_who_was_not_checked_nothing_is_known_once_he_is_gone() {
        let proc = tempfile::tempdir().unwrap();
        let never = Rate {
            one_in: i64::MAX,
            most: Duration::ZERO,
        };
        let api = asker(API, 1);
        start(proc.path(), 10, WEB);
        start(proc.path(), 20, API);
        let mut namespaces = MountNamespaces::new(never, never);
        assert_eq!(namespaces.whose(7, &api, proc.path()), Whose::Unchecked);
        // Now there is time.
        let mut namespaces = MountNamespaces::default();
        let other = Whose::Other(WEB.into());
        assert_eq!(namespaces.whose_still(7, &api, proc.path()), other);
        end(proc.path(), 10);
        assert_eq!(namespaces.whose_still(7, &api, proc.path()), Whose::Own);
        let mut namespaces = MountNamespaces::default();
        end(proc.path(), 20);
        assert_eq!(
            namespaces.whose_still(7, &api, proc.path()),
            Whose::Unchecked
        );
        // The number went to a pod that has done nothing.
        start(proc.path(), 10, WEB);
        assert_eq!(
            namespaces.whose_still(7, &api, proc.path()),
            Whose::Unchecked
        );
        // And the pid, too.
        start(proc.path(), 20, API);
        let later = Asker {
            start_time: 7 * NS_PER_TICK,
            ..api
        };
        assert_eq!(
            namespaces.whose_still(7, &later, proc.path()),
            Whose::Unchecked
        );
        assert_eq!(namespaces.whose_still(7, &api, proc.path()), other);
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
        let mut ask =
            |number, pod, party| namespaces.whose(number, &asker(pod, party), proc.path());
        let unchecked = (1000..2000).filter(|number| ask(*number, API, 1) == Whose::Unchecked);
        assert!(unchecked.count() > 0);
        assert_eq!(ask(7, API, 1), Whose::Unchecked);
        assert_eq!(ask(7, JOB, 2), Whose::Other(WEB.into()));
    }
}
