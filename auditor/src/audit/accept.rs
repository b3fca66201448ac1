//! Judges what is accepted on a credential address: the agent never compares its peer with the token, so this is all the
//! evidence that there is on its side.

use jiff::Timestamp;

use super::{
    Judgement, Knowledge, Listener, binding_of,
    evidence::evidence,
    findings::{agent_impersonation, stealth_agent_connection},
    ruling::{Ruling, conclude},
};
use crate::{
    cluster::Pod,
    event::{EndpointKind, FindingId, TokenKind},
    policy::Subject,
};

/// A connection was accepted.
#[derive(Clone, Copy, Debug)]
pub struct AcceptCase<'a> {
    pub time: Timestamp,
    pub endpoint: EndpointKind,
    pub listener: Listener<'a>,
    /// It was accepted in the agent's network namespace.
    pub in_agent_net_ns: bool,
    /// Its connect was seen.
    pub is_matched: bool,
    /// A connect could have been made unseen, or forgotten since.
    pub may_have_missed: bool,
    /// `ADDR:PORT`
    pub peer: &'a str,
    /// Whose the peer's address is.
    pub peer_pod: Option<&'a Pod>,
    pub knowledge: Knowledge<'a>,
}

/// In the order of the design's table.
pub(super) fn rules(case: &AcceptCase<'_>) -> [(FindingId, Ruling); 2] {
    let impersonation = agent_impersonation(
        &case.listener,
        &case.listener.describe(),
        case.endpoint,
        case.in_agent_net_ns,
    );
    [
        (
            FindingId::StealthAgentConnection,
            stealth_agent_connection(case),
        ),
        (FindingId::AgentImpersonation, impersonation),
    ]
}

/// The one that is accused, as exemptions match it.
pub(super) fn subject<'a>(case: &AcceptCase<'a>) -> Subject<'a> {
    let accused = match case.listener {
        Listener::Pod(pod) => Some(pod),
        _ => case.peer_pod,
    };
    Subject {
        namespace: accused.map(|pod| &*pod.namespace),
        service_account: accused.map(|pod| &*pod.service_account),
        ..Subject::default()
    }
}

#[must_use]
pub fn judge_accept(case: &AcceptCase<'_>) -> Judgement {
    let conclusion = conclude(
        rules(case),
        &subject(case),
        case.knowledge.policy,
        case.time,
    );
    Judgement {
        verdict: conclusion.verdict,
        undetermined: conclusion.undetermined,
        relation: None,
        findings: conclusion.findings,
        binding: case
            .peer_pod
            .and_then(|pod| binding_of(pod, TokenKind::PodIdentity, &case.knowledge)),
        evidence: evidence(case.peer_pod, None, case.time, &case.knowledge),
    }
}
