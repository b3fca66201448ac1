//! Judges who listens on a credential address.

use jiff::Timestamp;

use super::{
    Actor, Judgement, Knowledge,
    evidence::evidence,
    findings::{agent_impersonation, identity_mismatch},
    ruling::{Ruling, conclude},
};
use crate::{
    cluster::Pod,
    event::{EndpointKind, FindingId, Process},
};

/// Who holds a listening socket.
#[derive(Clone, Copy, Debug)]
pub enum Listener<'a> {
    /// The Pod Identity agent: a pod that policy names, or a process outside every pod where no pod of the node is one, by
    /// the executable that it had at first sight.
    Agent,
    /// In a pod that policy names, but another executable than the agent's, or a pod that policy does not name.
    Pod(&'a Pod),
    UnlistedPod {
        uid: &'a str,
    },
    /// Outside every pod, and not the agent.
    Host,
    /// Cgroup and namespaces disagree.
    Conflict,
    Unknown,
}

/// A socket began to listen on a credential address.
#[derive(Clone, Copy, Debug)]
pub struct ListenCase<'a> {
    pub time: Timestamp,
    pub actor: Actor<'a>,
    pub process: &'a Process,
    pub listener: Listener<'a>,
    pub endpoint: EndpointKind,
    /// The socket's network namespace is the agent's.
    pub in_agent_net_ns: bool,
    pub knowledge: Knowledge<'a>,
}

impl Listener<'_> {
    /// As messages name it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Agent => "the Pod Identity agent".to_owned(),
            Self::Pod(pod) => pod.full_name(),
            Self::UnlistedPod { uid } => format!("pod {uid}"),
            Self::Host => "a host process".to_owned(),
            Self::Conflict | Self::Unknown => "an unattributed process".to_owned(),
        }
    }
}

/// In the order of the design's table.
pub(super) fn rules(case: &ListenCase<'_>) -> [(FindingId, Ruling); 2] {
    let who = match case.listener {
        Listener::Agent => case.listener.describe(),
        _ => case.actor.describe(case.process),
    };
    let impersonation =
        agent_impersonation(&case.listener, &who, case.endpoint, case.in_agent_net_ns);
    [
        (FindingId::AgentImpersonation, impersonation),
        (FindingId::IdentityMismatch, identity_mismatch(&case.actor)),
    ]
}

#[must_use]
pub fn judge_listen(case: &ListenCase<'_>) -> Judgement {
    let conclusion = conclude(
        rules(case),
        &case.actor.subject(case.process, None),
        case.knowledge.policy,
        case.time,
    );
    let (pod, container) = (case.actor.pod(), case.actor.container_name());
    let mut evidence = evidence(pod, container, case.time, &case.knowledge);
    if let Actor::Conflict { candidates } = case.actor {
        evidence.candidates = candidates.to_vec();
    }
    Judgement {
        verdict: conclusion.verdict,
        undetermined: conclusion.undetermined,
        relation: None,
        findings: conclusion.findings,
        binding: None,
        evidence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::testing::{Scene, event_time, ids},
        event::Verdict,
    };

    #[test]
    fn a_pod_that_listens_for_the_agent_is_named() {
        let scene = Scene::new();
        let case = |listener, actor| ListenCase {
            time: event_time(),
            actor,
            process: &scene.process,
            listener,
            endpoint: EndpointKind::PodIdentityAgent,
            in_agent_net_ns: true,
            knowledge: scene.knowledge(),
        };
        let web = scene.pod("web");
        let actor = Actor::Pod {
            pod: web,
            container: None,
        };
        let judgement = judge_listen(&case(Listener::Pod(web), actor));
        assert_eq!(judgement.verdict, Verdict::Violation);
        assert_eq!(
            judgement.findings[0].message,
            "shop/web listens on the address of the Pod Identity agent, and is not the agent"
        );
        let judgement = judge_listen(&case(Listener::Agent, Actor::Host));
        assert_eq!(judgement.verdict, Verdict::Allowed);
        assert!(judgement.findings.is_empty());
    }

    #[test]
    fn a_process_of_two_identities_is_both() {
        let scene = Scene::new();
        let candidates = ["kube-system/agent".to_owned(), "shop/web".to_owned()];
        let judgement = judge_listen(&ListenCase {
            time: event_time(),
            actor: Actor::Conflict {
                candidates: &candidates,
            },
            process: &scene.process,
            listener: Listener::Conflict,
            endpoint: EndpointKind::PodIdentityAgent,
            in_agent_net_ns: true,
            knowledge: scene.knowledge(),
        });
        assert_eq!(
            ids(&judgement.findings),
            [FindingId::AgentImpersonation, FindingId::IdentityMismatch]
        );
        assert_eq!(judgement.evidence.candidates, candidates);
    }
}
