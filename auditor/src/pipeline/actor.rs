//! Who did it: the process's pod by its cgroup, checked against its namespaces.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use auditor_common::{TaskContext, task_flags};

use super::{
    Pipeline,
    containers::Home,
    fair::{Class, Party},
    namespaces::{Asker, Whose},
};
use crate::{
    audit::{self, Judgement},
    cluster::Pod,
    event::{Container, PodRef, Process, Relation},
    node::{CgroupOwner, Member, describe_process},
};

/// An [`audit::Actor`] that outlives the record.
#[derive(Clone, Debug)]
pub enum Who {
    Pod {
        pod: Arc<Pod>,
        container: Option<Container>,
    },
    UnlistedPod {
        owner: Arc<CgroupOwner>,
    },
    Host,
    Conflict {
        candidates: Vec<String>,
    },
    Unknown {
        reason: &'static str,
    },
}

/// Who, and how that is known.
#[derive(Clone, Debug)]
pub struct Attributed {
    pub who: Who,
    /// `cgroup`, `cgroup-ancestor`, `cgroup-only`, `host`, `conflict`, `unknown`.
    pub by: &'static str,
    pub process: Process,
}

const CGROUP: &str = "cgroup";
const CGROUP_ANCESTOR: &str = "cgroup-ancestor";
/// The cgroup names a pod, and whether the process's mount namespace agrees was not looked at.
const CGROUP_ONLY: &str = "cgroup-only";

/// Of somebody who may be another than his cgroup says nothing is allowed; what he did against the rules he did all the same.
pub fn doubt(by: &str, judgement: &mut Judgement) {
    if by == CGROUP_ONLY {
        judgement.lack("namespaces");
    }
}

/// What is used is the user's own, and that is no mere guess.
pub fn is_surely_own(by: &str, relation: Option<Relation>) -> bool {
    relation == Some(Relation::Own) && by != CGROUP_ONLY
}

/// What the namespaces say of whom the cgroup names.
enum Identity {
    Agrees,
    Other(String),
    Unchecked,
}

impl Attributed {
    /// Whether a later look would find the same: the cluster has told of the pod, or there is none to tell of.
    pub fn is_settled(&self) -> bool {
        match self.who {
            _ if self.by == CGROUP_ONLY => false,
            Who::Pod { .. } | Who::Host | Who::Conflict { .. } => true,
            Who::UnlistedPod { .. } | Who::Unknown { .. } => false,
        }
    }
}

impl Who {
    pub fn actor(&self) -> audit::Actor<'_> {
        match self {
            Self::Pod { pod, container } => audit::Actor::Pod {
                pod,
                container: container.as_ref(),
            },
            Self::UnlistedPod { owner } => audit::Actor::UnlistedPod {
                uid: &owner.pod_uid,
            },
            Self::Host => audit::Actor::Host,
            Self::Conflict { candidates } => audit::Actor::Conflict { candidates },
            Self::Unknown { .. } => audit::Actor::Unknown,
        }
    }

    pub fn container(&self) -> Option<Container> {
        match self {
            Self::Pod { container, .. } => container.clone(),
            Self::UnlistedPod { owner } => owner.container_id.clone().map(|id| Container {
                id,
                name: None,
                image: None,
            }),
            Self::Host | Self::Conflict { .. } | Self::Unknown { .. } => None,
        }
    }

    pub fn pod(&self) -> Option<&Arc<Pod>> {
        match self {
            Self::Pod { pod, .. } => Some(pod),
            Self::UnlistedPod { .. }
            | Self::Host
            | Self::Conflict { .. }
            | Self::Unknown { .. } => None,
        }
    }

    /// Why attribution failed, where it did.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::UnlistedPod { .. } => Some("the cluster has not told of this pod"),
            Self::Unknown { reason } => Some(reason),
            Self::Pod { .. } | Self::Host | Self::Conflict { .. } => None,
        }
    }
}

impl Pipeline {
    /// Describes the process and says whose it is.
    pub(super) fn attribute(&mut self, task: &TaskContext) -> Attributed {
        let process = describe_process(task, &self.clock, self.settings.host_mnt_ns);
        self.attribute_as(task, process, None)
    }

    /// The same at a later look: `before` is what the last one found, if there was one.
    pub(super) fn attribute_again(
        &mut self,
        task: &TaskContext,
        before: Option<Attributed>,
    ) -> Attributed {
        match before {
            None => self.attribute(task),
            Some(before) if before.is_settled() => before,
            Some(Attributed { by, process, .. }) => self.attribute_as(task, process, Some(by)),
        }
    }

    fn attribute_as(
        &mut self,
        task: &TaskContext,
        mut process: Process,
        before: Option<&str>,
    ) -> Attributed {
        let (who, by) = self.who(task, before);
        if let Who::Pod { pod, .. } = &who
            && (pod.share_process_namespace || pod.host_pid)
        {
            // The container's init is not pid 1 there.
            process.exec_session = None;
        }
        Attributed { who, by, process }
    }

    fn who(&mut self, task: &TaskContext, before: Option<&str>) -> (Who, &'static str) {
        if task.flags & task_flags::KERNEL_THREAD != 0 {
            return (
                Who::Unknown {
                    reason: "a kernel thread acted for somebody",
                },
                "unknown",
            );
        }
        let member = self.cgroups.member_or_look(task.cgroup_id);
        let home = self.containers.home(task, &self.cgroups);
        let owner = match member {
            Member::Pod(owner) => owner,
            Member::Host => {
                // In a pod's container, and in no pod's cgroup: it moved, or somebody of the host entered.
                return match home {
                    Some(Home::Pod(uid)) => (
                        Who::Conflict {
                            candidates: vec!["host".to_owned(), self.name_of(&uid)],
                        },
                        "conflict",
                    ),
                    Some(Home::Host | Home::Unknown) | None => (Who::Host, "host"),
                };
            }
            Member::Unknown => {
                return (
                    Who::Unknown {
                        reason: "a cgroup that nothing told of",
                    },
                    "unknown",
                );
            }
        };
        let pod = self.sources.cluster().pod(&owner.pod_uid).cloned();
        let by = match self.identity(task, &owner, pod.as_deref(), home, before) {
            Identity::Other(other) => {
                let candidates = vec![self.name_of(&owner.pod_uid), other];
                return (Who::Conflict { candidates }, "conflict");
            }
            Identity::Unchecked => CGROUP_ONLY,
            Identity::Agrees if owner.nested => CGROUP_ANCESTOR,
            Identity::Agrees => CGROUP,
        };
        match pod {
            Some(pod) => {
                let container = owner
                    .container_id
                    .as_deref()
                    .map(|id| pod.container_ref(id));
                (Who::Pod { container, pod }, by)
            }
            None => (Who::UnlistedPod { owner }, by),
        }
    }

    /// Whom the namespaces name, where that is not whom the cgroup names. A pod may live in the host's by its spec: one
    /// whose spec is not known yet is not accused of it.
    fn identity(
        &mut self,
        task: &TaskContext,
        owner: &CgroupOwner,
        pod: Option<&Pod>,
        home: Option<Home>,
        before: Option<&str>,
    ) -> Identity {
        let is_host = |is_host| match is_host {
            true => Identity::Other("host".to_owned()),
            false => Identity::Agrees,
        };
        match home {
            Some(Home::Pod(uid)) if *uid != *owner.pod_uid => {
                return Identity::Other(self.name_of(&uid));
            }
            Some(Home::Host) => return is_host(true),
            Some(Home::Pod(_) | Home::Unknown) => {}
            None => {
                if pod.is_some_and(|pod| !pod.host_pid) {
                    return is_host(true);
                }
            }
        }
        if self.settings.host_mnt_ns == Some(task.mnt_ns) {
            // From a container's init down, somebody entered the host's mounts: still that pod.
            let descends = task.flags & task_flags::ROOT_KNOWN != 0 && task.root_nspid == 1;
            return is_host(!descends && pod.is_some_and(|pod| !pod.host_pid));
        }
        if task.mnt_ns == task.reaper_mnt_ns && task.container_pid_ns != 0 {
            // Later the number may be another's.
            if before.is_none() {
                self.namespaces.learn(task.mnt_ns, &owner.pod_uid);
            }
            return Identity::Agrees;
        }
        let asker = Asker {
            pod_uid: &owner.pod_uid,
            party: id_of_pod(&owner.pod_uid),
            pid: task.pid,
            tid: task.tid,
            start_time: task.start_time,
        };
        let (namespaces, host_proc) = (&mut self.namespaces, &self.settings.host_proc);
        let whose = match before {
            None => namespaces.whose(task.mnt_ns, &asker, host_proc),
            // What the first look found stays so.
            Some(CGROUP | CGROUP_ANCESTOR) => Whose::Own,
            Some(_) => namespaces.whose_still(task.mnt_ns, &asker, host_proc),
        };
        match whose {
            Whose::Own => Identity::Agrees,
            Whose::Other(uid) => Identity::Other(self.name_of(&uid)),
            Whose::Unchecked => Identity::Unchecked,
        }
    }

    /// Whose share of a queue something of this cgroup takes.
    pub(super) fn party(&self, cgroup_id: u64, class: Class) -> Party {
        let id = self.party_id(cgroup_id);
        Party { class, id }
    }

    /// The same number for all containers of a pod.
    pub(super) fn party_id(&self, cgroup_id: u64) -> u64 {
        match self.cgroups.member(cgroup_id) {
            Member::Pod(owner) => id_of_pod(&owner.pod_uid),
            Member::Host | Member::Unknown => cgroup_id,
        }
    }

    fn name_of(&self, pod_uid: &str) -> String {
        self.sources
            .cluster()
            .pod(pod_uid)
            .map_or_else(|| format!("pod {pod_uid}"), |pod| pod.full_name())
    }

    pub(super) fn count_unattributed(&self, who: &Who) {
        if let Some(reason) = who.reason() {
            self.metrics.add_unattributed(reason);
        }
    }

    pub(super) fn pod_ref(&self, who: &Who) -> Option<PodRef> {
        who.pod().map(|pod| self.sources.cluster().pod_ref(pod))
    }
}

/// A number for a pod: two pods with one would share a share, and 2^64 are enough.
fn id_of_pod(pod_uid: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    pod_uid.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_the_cgroup_alone_nothing_is_surely_ones_own() {
        for (by, relation, expected) in [
            (CGROUP, Some(Relation::Own), true),
            (CGROUP_ANCESTOR, Some(Relation::Own), true),
            (CGROUP_ONLY, Some(Relation::Own), false),
            (CGROUP, Some(Relation::SameServiceAccount), false),
            (CGROUP, None, false),
        ] {
            assert_eq!(is_surely_own(by, relation), expected, "{by} {relation:?}");
        }
    }
}
