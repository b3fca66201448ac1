//! Connections that were accepted on credential addresses. What a connect explains is counted; what none explains, and what
//! somebody other than the agent accepts, is written.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use auditor_common::{AcceptRecord, CANARY_ENDPOINT, Counter};
use uuid::Uuid;

use super::{
    Pipeline,
    agent::Holder,
    connects::Endpoint,
    fair::{Class, Fair, Party, about},
    knowledge,
    tuple::{ip, socket},
};
use crate::{
    audit::{AcceptCase, Judgement, judge_accept},
    cluster::Pod,
    event::{AgentAccept, Attribution, Body, EndpointKind, PodRef},
    node::Clock,
};

/// Connections whose listener's pod the cluster has not told of yet. One more, and one of the address that has most goes out as it
/// is.
const WAITING: usize = 256;

#[derive(Debug)]
pub struct Accepts {
    waiting: Fair<AcceptRecord>,
}

impl Default for Accepts {
    fn default() -> Self {
        Self {
            waiting: Fair::new(WAITING),
        }
    }
}

impl Pipeline {
    pub(super) fn on_accept(&mut self, record: &AcceptRecord) {
        if record.endpoint == CANARY_ENDPOINT {
            return;
        }
        self.consider_accept(record, false, false);
    }

    /// Looks again at those whose listener was not known; `last`: nothing may wait any longer.
    pub(super) fn retry_accepts(&mut self, last: bool) {
        let most = self.room_for_retries(last);
        for record in self.accepts.waiting.take(most, |_| true) {
            self.consider_accept(&record, true, last);
        }
    }

    fn consider_accept(&mut self, record: &AcceptRecord, again: bool, last: bool) {
        let Some(endpoint) = self
            .settings
            .endpoints
            .get(record.endpoint as usize)
            .cloned()
        else {
            self.undecodable(&"a connection to an endpoint that was never registered");
            return;
        };
        if endpoint.kind == EndpointKind::Custom {
            self.count_only();
            return;
        }
        self.refresh_sources();
        let is_matched = record.matched != 0;
        let here = self.agent.is_in(record.net_ns);
        let listener = if here && endpoint.kind == EndpointKind::PodIdentityAgent {
            self.holder_of_socket(record.listener_cgroup_id)
        } else {
            self.foreign_holder(record.listener_cgroup_id)
        };
        match (&listener, endpoint.kind) {
            (Holder::Agent | Holder::Unknown, _) if is_matched && here => {
                self.count_only();
                return;
            }
            // `listen` tells of a host's process there. Of one that is older than the auditor nobody would know whether it is
            // on this node at all: a test's stand-in is not.
            (Holder::Host | Holder::Unknown, EndpointKind::Imds) => {
                self.count_only();
                return;
            }
            _ => {}
        }
        let place = (record.listener_cgroup_id, record.net_ns, record.endpoint);
        let missed = if is_matched {
            None
        } else {
            let seen = self.maps.count(Counter::ConnectMatched);
            let time = self.clock.wall(record.header.time);
            self.agent.may_have_missed(time, seen)
        };
        let cluster = self.sources.cluster();
        let peer_pod = cluster.pod_by_ip(ip(record.tuple.dst)).map(Arc::clone);
        let peer = socket(record.tuple.dst, record.tuple.dst_port);
        let judgement = judge_accept(&AcceptCase {
            time: self.clock.wall(record.header.time),
            endpoint: endpoint.kind,
            listener: listener.listener(),
            in_agent_net_ns: here,
            is_matched,
            may_have_missed: missed.is_some(),
            peer: &peer,
            peer_pod: peer_pod.as_deref(),
            knowledge: knowledge(&self.sources, &self.settings),
        });
        if !last && self.may_become_clear(&judgement, record.header.time) {
            let about = about(place);
            if let Some(spare) = self.accepts.waiting.hold(party(record), about, *record) {
                self.consider_accept(&spare, true, true);
            }
            return;
        }
        // Whoever came rightly to the agent's address is told of by his connect; the one that he reached, once.
        if is_matched && (judgement.findings.is_empty() || !self.agent.tell(place)) {
            self.count_only();
            return;
        }
        let listener = match &listener {
            Holder::Pod(pod) => Some(self.sources.cluster().pod_ref(pod)),
            Holder::Agent => self.pod_of_cgroup(record.listener_cgroup_id),
            _ => None,
        };
        self.write_accept(
            record, again, &endpoint, judgement, peer, peer_pod, listener, missed,
        );
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each is one field of the line, and known to the caller only"
    )]
    fn write_accept(
        &mut self,
        record: &AcceptRecord,
        again: bool,
        endpoint: &Endpoint,
        judgement: Judgement,
        peer: String,
        peer_pod: Option<Arc<Pod>>,
        listener: Option<PodRef>,
        missed: Option<&'static str>,
    ) {
        let since = Clock::since(record.header.time);
        let reason = missed.or_else(|| {
            peer_pod
                .is_none()
                .then_some("no pod of this node has the peer's address, or more than one")
        });
        let line = AgentAccept {
            verdict: judgement.verdict,
            undetermined: judgement.undetermined,
            findings: judgement.findings,
            endpoint: endpoint.name.to_string(),
            peer,
            local: socket(record.tuple.src, record.tuple.src_port),
            net_ns: record.net_ns,
            pod: peer_pod
                .as_deref()
                .map(|pod| self.sources.cluster().pod_ref(pod)),
            listener,
            connect_id: self
                .connects
                .id_of(&record.connect)
                .map(|id| id.to_string()),
            binding: judgement.binding,
            evidence: judgement.evidence,
            attribution: Attribution {
                process: if peer_pod.is_some() {
                    "address"
                } else {
                    "unknown"
                }
                .to_owned(),
                owner: None,
                latency_us: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
                cluster_age_ms: self.cluster_age_ms(),
                waited_ms: again.then(|| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
                reason: reason.map(str::to_owned),
            },
        };
        let time = self.clock.wall(record.header.time);
        let party = party(record).id;
        self.emit_of(
            Some(party),
            time,
            Uuid::now_v7(),
            Body::AgentAccept(Box::new(line)),
        );
    }

    /// Who listens where nobody is the agent.
    fn foreign_holder(&mut self, cgroup_id: u64) -> Holder {
        if cgroup_id == 0 {
            return Holder::Unknown;
        }
        match self.cgroups.member_or_look(cgroup_id) {
            crate::node::Member::Pod(owner) => {
                match self.sources.cluster().pod(&owner.pod_uid).cloned() {
                    Some(pod) => Holder::Pod(pod),
                    None => Holder::UnlistedPod(owner.pod_uid.clone()),
                }
            }
            crate::node::Member::Host => Holder::Host,
            crate::node::Member::Unknown => Holder::Unknown,
        }
    }

    fn pod_of_cgroup(&self, cgroup_id: u64) -> Option<PodRef> {
        let crate::node::Member::Pod(owner) = self.cgroups.member(cgroup_id) else {
            return None;
        };
        let cluster = self.sources.cluster();
        cluster.pod(&owner.pod_uid).map(|pod| cluster.pod_ref(pod))
    }
}

/// Who connected is known by his address alone.
fn party(record: &AcceptRecord) -> Party {
    let mut hasher = DefaultHasher::new();
    ip(record.tuple.dst).hash(&mut hasher);
    let class = match record.matched {
        0 => Class::Stranger,
        _ => Class::Own,
    };
    Party {
        class,
        id: hasher.finish(),
    }
}
