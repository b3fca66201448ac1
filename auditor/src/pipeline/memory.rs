//! Looks into other processes' memory. What is about a pod with a token for AWS, and not its own doing, is written.

use std::{sync::Arc, time::Instant};

use auditor_common::{MemoryRecord, OtherTask, backend, caller, ptrace_mode, until_nul};
use uuid::Uuid;

use super::{
    Pipeline,
    actor::{Attributed, Who, doubt},
    containers::{Home, Inhabitant},
    fair::{Class, about},
    held::Attempt,
    knowledge,
    waiting::{Queue, Waiting},
};
use crate::{
    audit::{MemoryCase, Target, judge_memory},
    cluster::Pod,
    event::{
        Attribution, Body, Container, MemoryAccess, MemoryMode, MemoryVia, OtherProcess, Process,
        Relation, Verdict,
    },
    node::{Clock, Member},
};

/// An access, with what was found out of its target at the first look.
#[derive(Debug)]
pub struct Access {
    record: MemoryRecord,
    of: TargetHome,
}

pub type Memory = Queue<Access>;

/// Whose process was looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
enum TargetHome {
    Pod {
        uid: Arc<str>,
        container_id: Option<String>,
    },
    Host,
    /// The agent, which is no pod here.
    HostAgent,
    Unknown,
}

impl Pipeline {
    pub(super) fn on_memory(&mut self, record: &MemoryRecord) {
        // A canary that came after its time.
        if record.task.pid == self.settings.own_tgid {
            return;
        }
        let mut of = self.home_of(&record.target);
        if of == TargetHome::Host && self.agent.is_on_host(record.target.cgroup_id) {
            of = TargetHome::HostAgent;
        }
        // Debuggers and supervisors of the node itself are of no interest, and many.
        if of == TargetHome::Host
            || self.settings.own_cgroup == Some(record.task.cgroup_id)
            || self.kubelet.is(&record.task, &self.cgroups)
        {
            self.count_only();
            return;
        }
        let access = Access {
            record: *record,
            of,
        };
        self.consider_memory(Waiting::first(Box::new(access)), Attempt::First);
    }

    /// Looks again at those whose time has come; `last`: nothing may wait any longer.
    pub(super) fn retry_memory(&mut self, last: bool) {
        let most = self.room_for_retries(last);
        for waiting in self.memory.take_due(Instant::now(), last, most) {
            self.consider_memory(waiting, Attempt::again(last));
        }
    }

    /// Where the runtime put the target, whichever cgroup it is in now.
    fn home_of(&mut self, target: &OtherTask) -> TargetHome {
        let member = self.cgroups.member_or_look(target.cgroup_id);
        let inhabitant = Inhabitant::from(target);
        match (self.containers.home(inhabitant, &self.cgroups), member) {
            (Some(Home::Pod(uid)), Member::Pod(owner)) if *uid == *owner.pod_uid => {
                TargetHome::Pod {
                    uid,
                    container_id: owner.container_id.clone(),
                }
            }
            (Some(Home::Pod(uid)), _) => TargetHome::Pod {
                uid,
                container_id: None,
            },
            (_, Member::Pod(owner)) => TargetHome::Pod {
                uid: owner.pod_uid.as_str().into(),
                container_id: owner.container_id.clone(),
            },
            (_, Member::Host) => TargetHome::Host,
            (_, Member::Unknown) => TargetHome::Unknown,
        }
    }

    fn consider_memory(&mut self, mut waiting: Waiting<Access>, attempt: Attempt) {
        let Access { record, of } = &*waiting.event;
        self.refresh_sources();
        let attributed = self.attribute_again(&record.task, waiting.attributed.take());
        if matches!(attributed.who, Who::Host)
            && is_runtime(&attributed.process, record.task.pid, &record.target)
        {
            self.count_only();
            return;
        }
        let pod = match of {
            TargetHome::Pod { uid, .. } => self.sources.cluster().pod(uid).cloned(),
            TargetHome::Host | TargetHome::HostAgent | TargetHome::Unknown => None,
        };
        if let Some(pod) = &pod {
            self.want_service_account(pod, None);
        }
        let time = self.clock.wall(record.header.time);
        let mut judgement = judge_memory(&MemoryCase {
            time,
            actor: attributed.who.actor(),
            process: &attributed.process,
            target: target(of, pod.as_deref()),
            via: via(record.syscall, record.caller),
            knowledge: knowledge(&self.sources, &self.settings),
        });
        doubt(attributed.by, &mut judgement);
        if judgement.verdict == Verdict::Allowed && judgement.findings.is_empty() {
            self.count_only();
            return;
        }
        if attempt != Attempt::Last && self.may_become_clear(&judgement, record.header.time) {
            let class = match judgement.relation {
                Some(Relation::Own) => Class::Own,
                _ => Class::Stranger,
            };
            let party = self.party(record.task.cgroup_id, class);
            waiting.attributed = Some(attributed);
            let (task, target) = (&record.task, &record.target);
            let about = about((task.exe_dev, task.exe_ino, target.pid, target.start_time));
            if let Some(spare) = self.memory.hold(party, about, waiting, Instant::now()) {
                self.consider_memory(spare, Attempt::Last);
            }
            return;
        }
        let Attributed {
            who,
            by,
            mut process,
        } = attributed;
        self.count_unattributed(&who);
        process.args = self.settings.args.apply(process.args);
        let line = MemoryAccess {
            verdict: judgement.verdict,
            undetermined: judgement.undetermined,
            relation: judgement.relation.unwrap_or(Relation::Unknown),
            findings: judgement.findings,
            process,
            container: who.container(),
            pod: self.pod_ref(&who),
            target: self.other_process(&record.target, of, pod.as_ref()),
            mode: mode(record.mode),
            via: via(record.syscall, record.caller),
            backend: backend_name(record.header.backend).to_owned(),
            binding: judgement.binding,
            evidence: judgement.evidence,
            attribution: Attribution {
                process: by.to_owned(),
                owner: Some(of.attribution().to_owned()),
                latency_us: u64::try_from(Clock::since(record.header.time).as_micros())
                    .unwrap_or(u64::MAX),
                cluster_age_ms: self.cluster_age_ms(),
                waited_ms: attempt.waited_ms(record.header.time),
                reason: who.reason().map(str::to_owned),
            },
            repeats: 0,
        };
        let party = self.party_id(record.task.cgroup_id);
        self.emit_of(
            Some(party),
            time,
            Uuid::now_v7(),
            Body::MemoryAccess(Box::new(line)),
        );
    }

    fn other_process(
        &self,
        task: &OtherTask,
        of: &TargetHome,
        pod: Option<&Arc<Pod>>,
    ) -> OtherProcess {
        let container = match of {
            TargetHome::Pod {
                container_id: Some(id),
                ..
            } => Some(match pod {
                Some(pod) => pod.container_ref(id),
                None => Container {
                    id: id.clone(),
                    name: None,
                    image: None,
                },
            }),
            TargetHome::Pod { .. }
            | TargetHome::Host
            | TargetHome::HostAgent
            | TargetHome::Unknown => None,
        };
        OtherProcess {
            pid: task.pid,
            start_time: self.clock.wall(task.start_time),
            comm: String::from_utf8_lossy(until_nul(&task.comm)).into_owned(),
            container,
            pod: pod.map(|pod| self.sources.cluster().pod_ref(pod)),
        }
    }
}

impl TargetHome {
    /// How the target's pod is known.
    fn attribution(&self) -> &'static str {
        match self {
            Self::Pod { .. } => "cgroup",
            Self::Host | Self::HostAgent => "host",
            Self::Unknown => "unknown",
        }
    }
}

fn target<'a>(of: &'a TargetHome, pod: Option<&'a Pod>) -> Target<'a> {
    match (of, pod) {
        (_, Some(pod)) => Target::Pod(pod),
        (TargetHome::Pod { uid, .. }, None) => Target::UnlistedPod { uid },
        (TargetHome::Host, None) => Target::Host,
        (TargetHome::HostAgent, None) => Target::HostAgent,
        (TargetHome::Unknown, None) => Target::Unknown,
    }
}

/// Whether a process outside every pod is the one that made the target or its container, or descends from it: runc fetches a
/// descriptor from the init that it is about to start (`pidfd_getfd`, for seccomp's notifications), and CRIU, which the shim
/// starts, saves all of a container. Kinship is the kernel's word, and in nobody's hands but the node's.
fn is_runtime(actor: &Process, pid: u32, target: &OtherTask) -> bool {
    // Pid 1 and 2 are everybody's ancestors.
    let is_ancestor = |ancestor: u32| {
        ancestor > 2
            && (pid == ancestor || actor.parents.iter().any(|parent| parent.pid == ancestor))
    };
    (target.parent_pid > 2 && target.parent_pid == pid) || is_ancestor(target.reaper_parent_pid)
}

fn mode(bits: u32) -> MemoryMode {
    if bits & ptrace_mode::FSCREDS == 0 {
        MemoryMode::AttachRealCreds
    } else {
        MemoryMode::AttachFsCreds
    }
}

/// What asked, by the number of the system call. A ring of io_uring and a 32-bit caller have other numbers.
fn via(syscall: u32, flags: u32) -> MemoryVia {
    if flags & (caller::IO_WORKER | caller::COMPAT) != 0 {
        return MemoryVia::Other;
    }
    match libc::c_long::from(syscall) {
        libc::SYS_ptrace => MemoryVia::Ptrace,
        libc::SYS_process_vm_readv => MemoryVia::ProcessVmReadv,
        libc::SYS_process_vm_writev => MemoryVia::ProcessVmWritev,
        libc::SYS_pidfd_getfd => MemoryVia::PidfdGetfd,
        libc::SYS_openat | libc::SYS_openat2 => MemoryVia::ProcFile,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open => MemoryVia::ProcFile,
        _ => MemoryVia::Other,
    }
}

pub(super) fn backend_name(by: u16) -> &'static str {
    match by {
        backend::FENTRY => "fentry",
        _ => "kprobe",
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;
    use crate::{
        event::Parent,
        node::{Clock, describe_process},
    };

    #[test]
    fn the_runtime_is_known_by_kinship() {
        let mut actor = describe_process(
            &auditor_common::TaskContext::new_zeroed(),
            &Clock::now(),
            None,
        );
        let is = |actor: &Process, pid, parent_pid, reaper_parent_pid| {
            let mut target = OtherTask::new_zeroed();
            target.parent_pid = parent_pid;
            target.reaper_parent_pid = reaper_parent_pid;
            is_runtime(actor, pid, &target)
        };
        assert!(is(&actor, 70, 70, 0), "runc and the init that it made");
        assert!(is(&actor, 70, 9, 70), "the shim itself");
        assert!(!is(&actor, 70, 9, 60), "somebody else");
        assert!(!is(&actor, 0, 0, 0), "nothing known");
        let parent = |pid| Parent {
            pid,
            comm: "containerd-shim".into(),
        };
        actor.parents = vec![parent(71), parent(60), parent(1)];
        assert!(is(&actor, 70, 9, 60), "criu, which the shim began");
        assert!(!is(&actor, 70, 9, 61), "a shim, but not this container's");
        assert!(
            !is(&actor, 70, 1, 1),
            "a container whose shim is gone: everybody descends from pid 1"
        );
    }

    #[test]
    fn a_ring_and_a_32_bit_caller_have_other_numbers() {
        let number = |number: libc::c_long| u32::try_from(number).unwrap();
        assert_eq!(via(number(libc::SYS_ptrace), 0), MemoryVia::Ptrace);
        assert_eq!(via(number(libc::SYS_pidfd_getfd), 0), MemoryVia::PidfdGetfd);
        assert_eq!(via(number(libc::SYS_openat), 0), MemoryVia::ProcFile);
        assert_eq!(via(number(libc::SYS_io_uring_enter), 0), MemoryVia::Other);
        for flag in [caller::COMPAT, caller::IO_WORKER] {
            assert_eq!(via(number(libc::SYS_ptrace), flag), MemoryVia::Other);
        }
    }

    #[test]
    fn modes_are_told_by_whose_credentials_counted() {
        assert_eq!(mode(0x12), MemoryMode::AttachRealCreds);
        assert_eq!(mode(0x0a), MemoryMode::AttachFsCreds);
    }
}
