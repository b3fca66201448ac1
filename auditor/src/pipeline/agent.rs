//! Which process is the Pod Identity agent, and what can be said of connections that it accepts.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use auditor_common::{Counter, TUPLES};
use jiff::{SignedDuration, Timestamp};

use super::{Pipeline, actor::Who};
use crate::{audit::Listener, cluster::Pod, event::InodeId, node::Member, probe::Maps};

/// A connect that began before the probes were live is accepted soon after, or it is sent again after a second (RFC 6298 2.1).
const START: SignedDuration = SignedDuration::from_secs(2);
/// How long a connect may go unanswered before its socket gives up (`tcp_syn_retries` 6, RFC 1122 4.2.3.5).
const HANDSHAKE: Duration = Duration::from_secs(130);
/// Containers of the agent: one, and the ones before it.
const CONTAINERS: usize = 64;
/// Impostors that were told of.
const TOLD: usize = 1024;

/// Cgroup of the listener, network namespace, and index of the endpoint.
pub type Place = (u64, u32, u32);

/// What is known of the agent. Executables are pinned at first sight: of a container, or of the node where the agent is no pod.
#[derive(Debug)]
pub struct Agent {
    /// `--agent-netns`; null where it could not be read.
    net_ns: Option<u32>,
    live_since: Timestamp,
    host: Option<HostAgent>,
    containers: HashMap<u64, InodeId>,
    container_order: VecDeque<u64>,
    told: VecDeque<Place>,
    /// How many connects had been seen, and when.
    connects: VecDeque<(Instant, u64)>,
    /// When the kernel last left out a run of a probe that watches them.
    missed_connect: Option<Timestamp>,
}

/// As in EKS Auto Mode.
#[derive(Clone, Copy, Debug)]
struct HostAgent {
    cgroup_id: u64,
    /// Null while it was only seen accepting.
    executable: Option<InodeId>,
}

/// Whose a listening socket is, in [`Listener`]'s words, beyond the borrow of what told it.
#[derive(Clone, Debug)]
pub enum Holder {
    Agent,
    Pod(std::sync::Arc<Pod>),
    UnlistedPod(String),
    Host,
    Conflict,
    Unknown,
}

impl Holder {
    pub fn listener(&self) -> Listener<'_> {
        match self {
            Self::Agent => Listener::Agent,
            Self::Pod(pod) => Listener::Pod(pod),
            Self::UnlistedPod(uid) => Listener::UnlistedPod { uid },
            Self::Host => Listener::Host,
            Self::Conflict => Listener::Conflict,
            Self::Unknown => Listener::Unknown,
        }
    }
}

impl Agent {
    pub fn new(net_ns: Option<u32>, live_since: Timestamp) -> Self {
        Self {
            net_ns,
            live_since,
            host: None,
            containers: HashMap::new(),
            container_order: VecDeque::new(),
            told: VecDeque::new(),
            connects: VecDeque::new(),
            missed_connect: None,
        }
    }

    /// Where the agent's namespace is not known, none is accused of being another.
    pub fn is_in(&self, net_ns: u32) -> bool {
        self.net_ns.is_none_or(|agent| agent == net_ns)
    }

    /// Notes that an impostor was told of; whether that is new.
    pub fn tell(&mut self, place: Place) -> bool {
        if self.told.contains(&place) {
            return false;
        }
        if self.told.len() >= TOLD {
            self.told.pop_front();
        }
        self.told.push_back(place);
        true
    }

    /// Whether a cgroup of the host is known to be the agent's, which is no pod then.
    pub fn is_on_host(&self, cgroup_id: u64) -> bool {
        self.host.is_some_and(|host| host.cgroup_id == cgroup_id)
    }

    /// A container's executable, pinned where it is the first: whether it is that one.
    fn admits_in_container(&mut self, cgroup_id: u64, executable: Option<InodeId>) -> bool {
        let Some(executable) = executable else {
            return true;
        };
        if let Some(pinned) = self.containers.get(&cgroup_id) {
            return *pinned == executable;
        }
        self.containers.insert(cgroup_id, executable);
        self.container_order.push_back(cgroup_id);
        if self.container_order.len() > CONTAINERS
            && let Some(oldest) = self.container_order.pop_front()
        {
            self.containers.remove(&oldest);
        }
        true
    }

    /// The same for a process outside every pod.
    fn admits_on_host(&mut self, cgroup_id: u64, executable: Option<InodeId>) -> bool {
        match &mut self.host {
            None => {
                self.host = Some(HostAgent {
                    cgroup_id,
                    executable,
                });
                true
            }
            Some(pinned) => match (pinned.executable, executable) {
                // systemd makes a new cgroup when it restarts the unit.
                (Some(known), Some(executable)) if known == executable => {
                    pinned.cgroup_id = cgroup_id;
                    true
                }
                (Some(_), Some(_)) => false,
                // It was only seen accepting until now.
                (None, Some(_)) if pinned.cgroup_id == cgroup_id => {
                    pinned.executable = executable;
                    true
                }
                (None, Some(_)) => false,
                (_, None) => pinned.cgroup_id == cgroup_id,
            },
        }
    }

    /// Several times a second.
    pub fn sample(&mut self, maps: &Maps) {
        let now = Instant::now();
        self.note_connects(now, maps.count(Counter::ConnectMatched));
    }

    fn note_connects(&mut self, now: Instant, seen: u64) {
        self.connects.push_back((now, seen));
        while self
            .connects
            .get(1)
            .is_some_and(|(at, _)| now.duration_since(*at) >= HANDSHAKE)
        {
            self.connects.pop_front();
        }
    }

    /// The kernel did not run the probe for a connect, which may be one to an agent.
    pub fn note_missed_connect(&mut self, time: Timestamp) {
        self.missed_connect = Some(time);
    }

    /// Why a connect may have been missed, or forgotten since, when an accept of `time` finds none.
    pub fn may_have_missed(&self, time: Timestamp, connects_seen: u64) -> Option<&'static str> {
        if time.duration_since(self.live_since) < START {
            return Some("the auditor had only just started to watch connects");
        }
        let since_missed = self
            .missed_connect
            .map(|missed| time.duration_since(missed));
        if since_missed.is_some_and(|since| since.unsigned_abs() < HANDSHAKE) {
            return Some("the kernel left out a run of the probe that watches connects");
        }
        // Half: the kernel's LRU gives up entries before the whole map is in use (kernel/bpf/bpf_lru_list.c).
        let before = self.connects.front().map_or(0, |(_, seen)| *seen);
        if connects_seen.saturating_sub(before) > u64::from(TUPLES / 2) {
            return Some(
                "so many connects were made lately that the kernel half may have forgotten one",
            );
        }
        None
    }
}

impl Pipeline {
    /// Whether a listening process is the agent, by who it is and its executable; null where that is not to be compared.
    pub(super) fn holder_of_process(
        &mut self,
        who: &Who,
        executable: Option<InodeId>,
        cgroup_id: u64,
    ) -> Holder {
        let admitted = match who {
            Who::Pod { pod, .. } => {
                self.sources.policy().is_agent(pod)
                    && self.agent.admits_in_container(cgroup_id, executable)
            }
            Who::Host => {
                self.may_be_on_host(cgroup_id) && self.agent.admits_on_host(cgroup_id, executable)
            }
            _ => false,
        };
        match who {
            _ if admitted => Holder::Agent,
            Who::Pod { pod, .. } => Holder::Pod(pod.clone()),
            Who::UnlistedPod { owner } => Holder::UnlistedPod(owner.pod_uid.clone()),
            Who::Host => Holder::Host,
            Who::Conflict { .. } => Holder::Conflict,
            Who::Unknown { .. } => Holder::Unknown,
        }
    }

    /// The same of a socket, of which only the cgroup is known that it was made in; 0: not even that.
    pub(super) fn holder_of_socket(&mut self, cgroup_id: u64) -> Holder {
        if cgroup_id == 0 {
            return Holder::Unknown;
        }
        match self.cgroups.member_or_look(cgroup_id) {
            Member::Pod(owner) => match self.sources.cluster().pod(&owner.pod_uid).cloned() {
                Some(pod) if self.sources.policy().is_agent(&pod) => Holder::Agent,
                Some(pod) => Holder::Pod(pod),
                None => Holder::UnlistedPod(owner.pod_uid.clone()),
            },
            Member::Host => {
                if self.may_be_on_host(cgroup_id) && self.agent.admits_on_host(cgroup_id, None) {
                    Holder::Agent
                } else {
                    Holder::Host
                }
            }
            Member::Unknown => Holder::Unknown,
        }
    }

    /// Where a pod of the node is the agent, no process of the host becomes it; one that was it stays so for what it accepted.
    fn may_be_on_host(&self, cgroup_id: u64) -> bool {
        let was = self
            .agent
            .host
            .is_some_and(|host| host.cgroup_id == cgroup_id);
        let policy = self.sources.policy();
        let mut pods = self.sources.cluster().pods();
        was || !pods.any(|pod| pod.active && policy.is_agent(pod))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> Agent {
        Agent::new(Some(7), Timestamp::UNIX_EPOCH)
    }

    fn executable(ino: u64) -> Option<InodeId> {
        Some(InodeId {
            major: 0,
            minor: 1,
            ino,
        })
    }

    #[test]
    fn the_first_executable_of_a_container_is_pinned() {
        let mut agent = agent();
        assert!(agent.admits_in_container(1, executable(5)));
        assert!(agent.admits_in_container(1, executable(5)));
        assert!(!agent.admits_in_container(1, executable(6)));
        assert!(agent.admits_in_container(2, executable(6)), "an upgrade");
        assert!(agent.admits_in_container(1, None), "nothing to compare");
        for cgroup in 10..200 {
            agent.admits_in_container(cgroup, executable(5));
        }
        assert_eq!(agent.containers.len(), CONTAINERS);
    }

    #[test]
    fn on_the_host_there_is_one() {
        let mut agent = agent();
        assert!(agent.admits_on_host(1, None), "seen accepting");
        assert!(!agent.admits_on_host(2, executable(6)), "somebody else");
        assert!(agent.admits_on_host(1, executable(5)));
        assert!(
            !agent.admits_on_host(1, executable(6)),
            "its neighbour in the cgroup"
        );
        assert!(agent.admits_on_host(1, None));
        assert!(!agent.admits_on_host(2, None));
        assert!(agent.admits_on_host(2, executable(5)), "restarted");
        assert!(agent.admits_on_host(2, None));
        assert!(!agent.admits_on_host(1, None), "its old cgroup");
    }

    #[test]
    fn what_may_have_been_missed() {
        let mut agent = agent();
        let second = |n| Timestamp::from_second(n).unwrap();
        assert!(agent.may_have_missed(second(1), 0).is_some());
        assert_eq!(agent.may_have_missed(second(2), 0), None);
        let half = u64::from(TUPLES / 2);
        let start = Instant::now();
        agent.note_connects(start, 100);
        assert_eq!(agent.may_have_missed(second(9), 100 + half), None);
        assert!(agent.may_have_missed(second(9), 101 + half).is_some());
        // Two minutes later it is over.
        agent.note_connects(start + Duration::from_secs(1), 101 + half);
        agent.note_connects(start + Duration::from_secs(129), 101 + half);
        assert!(agent.may_have_missed(second(9), 101 + half).is_some());
        agent.note_connects(start + HANDSHAKE + Duration::from_secs(1), 101 + half);
        assert_eq!(agent.may_have_missed(second(9), 101 + half), None);
    }

    #[test]
    fn an_impostor_is_told_of_once() {
        let mut agent = agent();
        assert!(agent.tell((1, 2, 0)));
        assert!(!agent.tell((1, 2, 0)));
        assert!(agent.tell((1, 3, 0)));
        assert!(agent.is_in(7) && !agent.is_in(8));
    }
}
