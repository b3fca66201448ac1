//! Who did it: the process's pod by its cgroup, checked against its namespaces.

use std::sync::Arc;

use auditor_common::{TaskContext, task_flags};

use super::{Pipeline, containers::Home};
use crate::{
    audit,
    cluster::Pod,
    event::{Container, PodRef, Process},
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
    /// `cgroup`, `cgroup-ancestor`, `host`, `conflict`, `unknown`.
    pub by: &'static str,
    pub process: Process,
}

impl Attributed {
    /// Whether a later look would find the same: the cluster has told of the pod, or there is none to tell of.
    pub fn is_settled(&self) -> bool {
        match self.who {
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
        let mut process = describe_process(task, &self.clock, self.settings.host_mnt_ns);
        let (who, by) = self.who(task);
        if let Who::Pod { pod, .. } = &who
            && (pod.share_process_namespace || pod.host_pid)
        {
            // The container's init is not pid 1 there.
            process.exec_session = None;
        }
        Attributed { who, by, process }
    }

    fn who(&mut self, task: &TaskContext) -> (Who, &'static str) {
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
        if let Some(other) = self.other_identity(task, &owner, pod.as_deref(), home) {
            let candidates = vec![self.name_of(&owner.pod_uid), other];
            return (Who::Conflict { candidates }, "conflict");
        }
        let by = if owner.nested {
            "cgroup-ancestor"
        } else {
            "cgroup"
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
    fn other_identity(
        &mut self,
        task: &TaskContext,
        owner: &CgroupOwner,
        pod: Option<&Pod>,
        home: Option<Home>,
    ) -> Option<String> {
        match home {
            Some(Home::Pod(uid)) if *uid != *owner.pod_uid => return Some(self.name_of(&uid)),
            Some(Home::Host) => return Some("host".to_owned()),
            Some(Home::Pod(_) | Home::Unknown) => {}
            None => {
                if pod.is_some_and(|pod| !pod.host_pid) {
                    return Some("host".to_owned());
                }
            }
        }
        if self.settings.host_mnt_ns == Some(task.mnt_ns) {
            // From a container's init down, somebody entered the host's mounts: still that pod.
            let descends = task.flags & task_flags::ROOT_KNOWN != 0 && task.root_nspid == 1;
            return (!descends && pod.is_some_and(|pod| !pod.host_pid)).then(|| "host".to_owned());
        }
        if task.mnt_ns == task.reaper_mnt_ns && task.container_pid_ns != 0 {
            self.namespaces.learn(task.mnt_ns, &owner.pod_uid);
            return None;
        }
        let other =
            self.namespaces
                .other_owner(task.mnt_ns, &owner.pod_uid, &self.settings.host_proc)?;
        Some(self.name_of(&other))
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
